# The database: four collections (sync/store/firestore.py).

locals {
  # The fields that queries ask for, by collection. No other field is indexed: nobody asks for it, every index entry is
  # stored and written, and one on a field that only grows (times) would send all writes to the same place.
  indexed = {
    calendars   = ["status"]
    conferences = []
    failures    = ["state", "event.calendar_id", "next_try"]
    links       = ["event.calendar_id", "conference_key", "letting_go_since", "approximation.again_at"]
  }
}

resource "google_firestore_database" "main" {
  count = var.firestore.create ? 1 : 0

  name        = var.firestore.database
  location_id = coalesce(var.firestore.location, var.region)
  type        = "FIRESTORE_NATIVE"

  # A week of old versions: links cannot be rebuilt from Calendar alone.
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"

  delete_protection_state = var.protect_data ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy         = var.protect_data ? "ABANDON" : "DELETE"

  depends_on = [google_project_service.main]
}

# A collection's rule for all fields that have none of their own: no index.
resource "google_firestore_field" "unindexed" {
  for_each = local.indexed

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

# A conference that is gone is remembered for a while, so that it is not made again; then it may go.
resource "google_firestore_field" "expiry" {
  database   = var.firestore.database
  collection = "conferences"
  field      = "expires_at"

  index_config {}
  ttl_config {}

  depends_on = [google_firestore_database.main]
}
