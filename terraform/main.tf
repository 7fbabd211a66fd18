# APIs, and what several files share.

locals {
  apis = [
    "artifactregistry.googleapis.com",
    "calendar-json.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "cloudscheduler.googleapis.com",
    "cloudtasks.googleapis.com",
    "firestore.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
  ]

  # Each serves the target of the same name in main.py, with underscores.
  function_names = ["maintain", "manage-calendars", "receive-notification", "sync-calendar"]

  # Cloud Run's deterministic addresses. They are known before the functions exist, which the functions need: each one
  # is told the worker's, the worker too. https://cloud.google.com/run/docs/triggering/https-request
  url = {
    for function in local.function_names :
    function => "https://${var.name}-${function}-${data.google_project.main.number}.${var.region}.run.app"
  }
}

data "google_project" "main" {
  project_id = var.project
}

resource "google_project_service" "main" {
  for_each = toset(local.apis)

  service = each.key
  # Others may use the API too; the teardown of this system must not take it from them.
  disable_on_destroy = false
}
