# Cloud Scheduler calls maintain once an hour.

locals {
  # A minute of this installation's own, the same at every apply: at the full hour everybody's jobs start.
  schedule_minute = parseint(substr(sha256("${var.project}/${var.name}"), 0, 6), 16) % 60
}

resource "google_cloud_scheduler_job" "maintain" {
  project     = var.project
  name        = "${var.name}-maintain"
  region      = var.region
  description = "Renews channels, catches up calendars, retries what is parked"

  # Every hour. SCHEDULE_PERIOD in sync/operate/channels.py says the same: channels are renewed two periods before they
  # expire.
  schedule  = "${local.schedule_minute} * * * *"
  time_zone = "Etc/UTC"
  # 600 s: a little more than maintain's own limit (functions.tf).
  attempt_deadline = "600s"

  # After 30, 60, 120, 240, 300 s: five tries within a quarter of an hour, so away from the tick that failed.
  retry_config {
    retry_count          = 5
    min_backoff_duration = "30s"
    max_backoff_duration = "300s"
    max_doublings        = 4
  }

  http_target {
    http_method = "POST"
    uri         = local.url["maintain"]

    oidc_token {
      service_account_email = google_service_account.main["scheduler"].email
      audience              = local.url["maintain"]
    }
  }

  depends_on = [google_cloudfunctions2_function.main]
}
