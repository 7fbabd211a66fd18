# Secrets. A value is given write-only, or drawn here and forgotten, or added by the operator. The state holds no value.

locals {
  # The names that the functions are given, without a version: they read the newest. Put together here, so that a plan
  # shows them.
  secret = {
    channel_key = "projects/${var.project}/secrets/${google_secret_manager_secret.channel_key.secret_id}"
    provider = { for name, secret in google_secret_manager_secret.provider :
    name => "projects/${var.project}/secrets/${secret.secret_id}" }
  }
}

resource "google_secret_manager_secret" "channel_key" {
  project   = var.project
  secret_id = "${var.name}-channel-key"
  labels    = local.labels

  replication {
    auto {}
  }

  depends_on = [google_project_service.main]
}

# Drawn anew in every run. Secret Manager receives the key of the run that stores a version.
ephemeral "random_password" "channel_key" {
  length  = 64 # characters, about 380 bits; HMAC-SHA-256 needs 256
  special = false
}

resource "google_secret_manager_secret_version" "channel_key" {
  secret                 = google_secret_manager_secret.channel_key.id
  secret_data_wo         = ephemeral.random_password.channel_key.result
  secret_data_wo_version = tostring(var.channel_key_version)

  # A version that replaces this one must not leave a moment without any key.
  lifecycle {
    create_before_destroy = true
  }
}

resource "google_secret_manager_secret" "provider" {
  for_each = toset(var.conferencing_providers[*].name)

  project   = var.project
  secret_id = "${var.name}-${each.key}"
  labels    = local.labels

  replication {
    auto {}
  }

  depends_on = [google_project_service.main]
}

resource "google_secret_manager_secret_version" "provider" {
  for_each = var.secret_versions

  secret                 = google_secret_manager_secret.provider[each.key].id
  secret_data_wo         = var.secret_values[each.key]
  secret_data_wo_version = tostring(each.value)

  lifecycle {
    create_before_destroy = true
  }
}

# Users' own OAuth tokens. The operator adds the values.
resource "google_secret_manager_secret" "calendar" {
  for_each = var.calendar_secrets

  project   = var.project
  secret_id = "${var.name}-calendar-${each.key}"
  labels    = local.labels

  replication {
    auto {}
  }

  depends_on = [google_project_service.main]
}
