# One queue: a task brings one calendar, or one event, up to date.

locals {
  # The name that the functions are given, put together here, so that a plan shows it.
  queue = "projects/${var.project}/locations/${var.region}/queues/${google_cloud_tasks_queue.main.name}"
}

resource "google_cloud_tasks_queue" "main" {
  project  = var.project
  name     = "${var.name}-queue"
  location = var.region

  # The kill switch.
  desired_state = var.queue.paused ? "PAUSED" : "RUNNING"

  rate_limits {
    max_dispatches_per_second = var.queue.max_dispatches_per_second
    # No more than the worker takes: Cloud Run answers 429 to the rest, and 429 slows the whole queue down.
    max_concurrent_dispatches = var.instances.max_sync * local.worker_concurrency
  }

  retry_config {
    # -1: without end, that is for Cloud Tasks' own 31 days. There is no dead-letter queue, so a task that is given up is
    # a change lost. The worker takes off what cannot succeed: it parks the event and answers 200.
    max_attempts = -1
    # A calendar that another run holds (409) is free within seconds, and a dead run's lease lapses after a minute. Tries
    # come after 2, 4, 8, 16, 32, 64 s: quick at first, and past the lease with the sixth.
    min_backoff   = "2s"
    max_doublings = 5
    # Then 128, 192, 256, 300, 300, … s. After an outage of hours every task is tried within five minutes where the rate
    # allows, and during the outage a thousand waiting tasks make three tries a second. With very many calendars the rate
    # decides: docs/scale.md.
    max_backoff = "300s"
  }

  stackdriver_logging_config {
    sampling_ratio = var.queue.logged
  }

  lifecycle {
    precondition {
      condition = terraform_data.home.output == {
        project           = var.project
        region            = var.region
        database_location = coalesce(var.firestore.location, var.region)
      }
      error_message = "This installation lives in another project, region or database location. Queue and database cannot move; make a second installation and stop this one (docs/operate.md, another region)."
    }
  }

  depends_on = [google_project_service.main]
}
