# The database: four collections (sync/store/firestore.py), their indexes, and a daily backup.

locals {
  # The fields that queries ask for, by collection. No other field has an index: each index entry costs storage and a
  # write, and an index on a field that only grows, such as a time, sends all writes to one place.
  indexed = {
    calendars   = ["status", "failing.runs"]
    conferences = []
    failures    = ["state", "event.calendar_id", "next_try"]
    # The last three find what the previous release wrote; they go with the code that reads it.
    links = [
      "event.calendar_id", "conference_key", "due_at", "letting_go_since", "approximation.again_at", "creating",
    ]
  }
}

resource "google_firestore_database" "main" {
  count = var.firestore.create ? 1 : 0

  project     = var.project
  name        = var.firestore.database
  location_id = coalesce(var.firestore.location, var.region)
  type        = "FIRESTORE_NATIVE"

  # Seven days of old versions, to the minute: links cannot be rebuilt from Calendar alone.
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"

  delete_protection_state = var.protect_data ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  # ABANDON: terraform destroy, and a switch to a restored database, leave the data where it is.
  deletion_policy = var.protect_data ? "ABANDON" : "DELETE"

  depends_on = [google_project_service.main]
}

# Point-in-time recovery dies with the database; a backup outlives it. Restoring: docs/operate.md.
resource "google_firestore_backup_schedule" "main" {
  count = var.backup_days > 0 ? 1 : 0

  project   = var.project
  database  = var.firestore.database
  retention = "${var.backup_days * 86400}s"

  daily_recurrence {}

  depends_on = [google_firestore_database.main]
}

# A collection's rule for all fields that have none of their own: no index.
resource "google_firestore_field" "unindexed" {
  for_each = local.indexed

  project    = var.project
  database   = var.firestore.database
  collection = each.key
  field      = "*"

  index_config {}

  depends_on = [google_firestore_database.main]
}

resource "google_firestore_field" "indexed" {
  for_each = {
    for pair in flatten([for collection, fields in local.indexed : [
      for field in fields : { collection = collection, field = field }
    ]]) : "${pair.collection}/${pair.field}" => pair
  }

  project    = var.project
  database   = var.firestore.database
  collection = each.value.collection
  field      = each.value.field

  index_config {
    indexes {
      order       = "ASCENDING"
      query_scope = "COLLECTION"
    }
  }

  depends_on = [google_firestore_database.main]
}

# A deleted conference is remembered until expires_at, so that it is not made again. Then Firestore removes the document.
resource "google_firestore_field" "expiry" {
  project    = var.project
  database   = var.firestore.database
  collection = "conferences"
  field      = "expires_at"

  index_config {}
  ttl_config {}

  depends_on = [google_firestore_database.main]
}
