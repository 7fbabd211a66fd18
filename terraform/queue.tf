# One queue: a task brings one calendar, or one event, up to date.

resource "google_cloud_tasks_queue" "main" {
  name     = "${var.name}-queue"
  location = var.region

  # The kill switch. A deleted queue's name is blocked for days, so nothing here should ever replace it.
  desired_state = var.queue.paused ? "PAUSED" : "RUNNING"

  rate_limits {
    max_dispatches_per_second = var.queue.max_dispatches_per_second
    # No more than the worker takes: Cloud Run answers 429 to the rest, and 429 slows the whole queue down.
    max_concurrent_dispatches = var.instances.max_sync * local.worker_concurrency
  }

  retry_config {
    # For ever, that is until Cloud Tasks' own 31 days: there is no dead-letter queue, a task given up is a change lost.
    # What cannot succeed is taken off by the worker, which parks it and answers 200. No max_retry_duration: none.
    max_attempts = -1
    # A calendar that another run has (409) is free within seconds; a dead run's lease lapses after a minute. So the
    # tries come after 2, 4, 8, 16, 32, 64 s: quick at first, and past the lease with the sixth.
    min_backoff   = "2s"
    max_doublings = 5
    # Then 128, 192, 256, 300, 300, … s: after an outage of hours every calendar is back within five minutes, and
    # during it a thousand waiting calendars knock three times a second.
    max_backoff = "300s"
  }

  stackdriver_logging_config {
    sampling_ratio = var.queue.logged
  }

  depends_on = [google_project_service.main]
}
