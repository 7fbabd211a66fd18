# The Google APIs, and what several files share: names, addresses, labels.

locals {
  apis = concat([
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
  ], var.budget == null ? [] : ["billingbudgets.googleapis.com"], local.google_traces ? ["telemetry.googleapis.com"] : [])

  # Other endpoints need no right of ours.
  google_traces = startswith(coalesce(var.trace_url, "none"), "https://telemetry.googleapis.com/")

  # Each function runs the target of the same name in main.py, written with underscores. create-conference answers
  # add-ons, so it exists only where an add-on is named.
  addon          = length(var.addon_audiences) > 0
  public         = concat(["receive-notification"], local.addon ? ["create-conference"] : [])
  function_names = concat(["maintain", "manage-calendars", "sync-calendar"], local.public)

  # The Cloud Run service that callers of a function reach, by the function.
  service = { for function in local.function_names : function =>
    contains(local.public, function) && !var.invoker_check ? "${var.name}-${function}-open" : "${var.name}-${function}"
  }

  # Cloud Run's deterministic addresses. They are known before the services exist: the functions need the worker's
  # address in their environment. https://cloud.google.com/run/docs/triggering/https-request
  url = merge(
    { for function, service in local.service :
    function => "https://${service}-${data.google_project.main.number}.${var.region}.run.app" },
    { for function, url in var.public_urls : function => url if contains(local.public, function) },
  )

  labels = merge({ application = var.name }, var.labels)
}

data "google_project" "main" {
  project_id = var.project
}

resource "google_project_service" "main" {
  for_each = toset(local.apis)

  project = var.project
  service = each.key
  # Others may use the API too; the teardown of this system must not take it from them.
  disable_on_destroy = false
}

# Where the installation lives, as the first apply recorded it. A queue and a database cannot move: the queue would be
# replaced (the name of a deleted one is blocked for days), and another database would start empty. queue.tf compares.
resource "terraform_data" "home" {
  input = {
    project           = var.project
    region            = var.region
    database_location = coalesce(var.firestore.location, var.region)
  }

  lifecycle {
    ignore_changes = [input]
  }
}
