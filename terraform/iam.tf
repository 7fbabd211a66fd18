# Who may do what. One identity for each function, one each for Cloud Tasks, Cloud Scheduler and the build; every right
# on the smallest resource that takes it. No key is ever made. The whole as a table: docs/operate.md.

locals {
  identities = {
    receive-notification = "receive"
    sync-calendar        = "sync"
    manage-calendars     = "manage"
    maintain             = "maintain"
    tasks                = "tasks"
    scheduler            = "scheduler"
    build                = "build"
  }

  # The functions that speak to Calendar, and keep state.
  stateful = ["sync-calendar", "manage-calendars", "maintain"]

  # Who may read which secret: (secret, role, identity).
  secret_access = merge(
    # Channel keys: who checks tokens, and who signs them.
    { for function in ["receive-notification", "manage-calendars", "maintain"] : "channel-key/${function}" => {
      secret = google_secret_manager_secret.channel_key.id, role = "roles/secretmanager.secretAccessor", identity = function
    } },
    # Conferencing systems' credentials: the worker alone.
    { for provider in var.conferencing_providers : "provider/${provider.name}" => {
      secret   = google_secret_manager_secret.provider[provider.name].id, role = "roles/secretmanager.secretAccessor",
      identity = "sync-calendar"
    } },
    # Webex hands out a new refresh token: the worker stores it as a new version and destroys the old one.
    { for provider in var.conferencing_providers : "provider/${provider.name}/replace" => {
      secret   = google_secret_manager_secret.provider[provider.name].id, role = "roles/secretmanager.secretVersionManager",
      identity = "sync-calendar"
    } if provider.type == "webex" },
    # Users' own tokens: every function that speaks to Calendar.
    { for pair in setproduct(var.calendar_secrets, local.stateful) : "calendar/${pair[0]}/${pair[1]}" => {
      secret = google_secret_manager_secret.calendar[pair[0]].id, role = "roles/secretmanager.secretAccessor", identity = pair[1]
    } },
  )
}

resource "google_service_account" "main" {
  for_each = local.identities

  account_id   = "${var.name}-${each.value}"
  display_name = "${var.name}: ${each.key}"

  depends_on = [google_project_service.main]
}

# Every function enqueues: notifications, continuations and retries, replays, what is due.
resource "google_cloud_tasks_queue_iam_member" "enqueuer" {
  for_each = toset(local.function_names)

  name     = google_cloud_tasks_queue.main.name
  location = google_cloud_tasks_queue.main.location
  role     = "roles/cloudtasks.enqueuer"
  member   = google_service_account.main[each.key].member
}

# … and so must be allowed to act as the identity that its tasks carry: that one account only.
resource "google_service_account_iam_member" "tasks" {
  for_each = toset(local.function_names)

  service_account_id = google_service_account.main["tasks"].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.main[each.key].member
}

# The three that keep state use the database. Firestore takes rights on the project only; the condition narrows this one
# to the one database. https://cloud.google.com/firestore/docs/manage-databases
resource "google_project_iam_member" "database" {
  for_each = toset(local.stateful)

  project = var.project
  role    = "roles/datastore.user"
  member  = google_service_account.main[each.key].member

  condition {
    title      = "${var.name}-database"
    expression = "resource.name == \"projects/${var.project}/databases/${var.firestore.database}\""
  }
}

resource "google_secret_manager_secret_iam_member" "main" {
  for_each = local.secret_access

  secret_id = each.value.secret
  role      = each.value.role
  member    = google_service_account.main[each.value.identity].member
}

# Delegation without a key file: a function asks IAM to sign as the function itself, hence the right on itself.
resource "google_service_account_iam_member" "delegation" {
  for_each = toset(var.delegation ? local.stateful : [])

  service_account_id = google_service_account.main[each.key].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_service_account.main[each.key].member
}

# Who may call which function (the table in functions.tf): everyone the notification function, Cloud Tasks the worker,
# Cloud Scheduler maintain, operators manage-calendars.
resource "google_cloud_run_v2_service_iam_member" "caller" {
  for_each = merge([for function, row in local.functions : {
    for caller, member in row.callers : "${function}/${caller}" => { function = function, member = member }
  }]...)

  name     = google_cloudfunctions2_function.main[each.value.function].name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.value.member
}

# Operators replay with gcloud, and pull the kill switch: tasks made and run, the queue paused and resumed. No purging and
# no deleting, which the ready-made roles include, and no reading of task bodies.
resource "google_project_iam_custom_role" "operator" {
  role_id = "${replace(var.name, "-", "_")}_operator"
  title   = "${var.name}: operates the queue"
  permissions = [
    "cloudtasks.queues.get",
    "cloudtasks.queues.pause",
    "cloudtasks.queues.resume",
    "cloudtasks.tasks.create",
    "cloudtasks.tasks.get",
    "cloudtasks.tasks.list",
    "cloudtasks.tasks.run",
  ]

  depends_on = [google_project_service.main]
}

resource "google_cloud_tasks_queue_iam_member" "operator" {
  for_each = var.operators

  name     = google_cloud_tasks_queue.main.name
  location = google_cloud_tasks_queue.main.location
  role     = google_project_iam_custom_role.operator.id
  member   = each.key
}

# A task made by hand carries the tasks' identity, too.
resource "google_service_account_iam_member" "operator" {
  for_each = var.operators

  service_account_id = google_service_account.main["tasks"].name
  role               = "roles/iam.serviceAccountUser"
  member             = each.key
}

# The build account writes its log, …
resource "google_project_iam_member" "build_log" {
  project = var.project
  role    = "roles/logging.logWriter" # logs belong to the project: there is nothing smaller
  member  = google_service_account.main["build"].member
}

# … reads the sources, from our bucket and from the one into which Cloud Functions copies them, …
resource "google_project_iam_member" "build_source" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = google_service_account.main["build"].member

  condition {
    title = "${var.name}-sources"
    expression = join(" || ", [
      for bucket in [google_storage_bucket.source.name, "gcf-v2-sources-${data.google_project.main.number}-${var.region}"] :
      "resource.name == \"projects/_/buckets/${bucket}\" || resource.name.startsWith(\"projects/_/buckets/${bucket}/\")"
    ])
  }
}

# … and pushes images into our repository.
resource "google_artifact_registry_repository_iam_member" "build_image" {
  repository = google_artifact_registry_repository.main.name
  location   = google_artifact_registry_repository.main.location
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.main["build"].member
}

# A build that starts before its rights have spread fails with a message about something else.
resource "terraform_data" "iam_settled" {
  triggers_replace = [google_service_account.main["build"].unique_id]

  provisioner "local-exec" {
    command = "sleep ${var.iam_settle_seconds}"
  }

  depends_on = [
    google_artifact_registry_repository_iam_member.build_image,
    google_project_iam_member.build_log,
    google_project_iam_member.build_source,
  ]
}
