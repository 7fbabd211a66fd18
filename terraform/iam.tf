# Who may do what. One identity for each function, one each for Cloud Tasks, Cloud Scheduler and the build. Every right is
# on the smallest resource that takes it. No key is ever made. The whole as a table: docs/operate.md.

locals {
  # The accounts' names, after NAME-.
  identities = { for identity in concat(local.function_names, ["tasks", "scheduler", "build"]) :
    identity => split("-", identity)[0]
  }

  # The functions that use Calendar and keep state.
  stateful = concat(["sync-calendar", "manage-calendars", "maintain"], local.addon ? ["create-conference"] : [])

  # The functions that call conferencing systems: to change conferences, to create one, to explain an event.
  callers_of_providers = concat(["sync-calendar", "manage-calendars"], local.addon ? ["create-conference"] : [])

  secret_reader = "roles/secretmanager.secretAccessor"

  # Who has which role on which secret.
  secret_access = merge(
    # Channel keys: receive-notification checks tokens, the others sign them.
    { for function in setsubtract(local.function_names, ["sync-calendar"]) : "channel-key/${function}" => {
      secret = google_secret_manager_secret.channel_key.id, role = local.secret_reader, identity = function
    } },
    # Conferencing systems' credentials. Webex hands out a new refresh token: the function that is given it stores a new
    # version and destroys the old one.
    merge([for provider in var.conferencing_providers : merge([for function in local.callers_of_providers : merge(
      { "provider/${provider.name}/${function}" = {
        secret = google_secret_manager_secret.provider[provider.name].id, role = local.secret_reader, identity = function
      } },
      { for role in ["roles/secretmanager.secretVersionManager"] : "provider/${provider.name}/${function}/replace" => {
        secret = google_secret_manager_secret.provider[provider.name].id, role = role, identity = function
      } if provider.type == "webex" },
    )]...)]...),
    # Users' own tokens. create-conference needs none: it acts as the add-on's user, by delegation.
    { for pair in setproduct(var.calendar_secrets, setsubtract(local.stateful, ["create-conference"])) :
      "calendar/${pair[0]}/${pair[1]}" => {
        secret = google_secret_manager_secret.calendar[pair[0]].id, role = local.secret_reader, identity = pair[1]
    } },
  )
}

resource "google_service_account" "main" {
  for_each = local.identities

  project      = var.project
  account_id   = "${var.name}-${each.value}"
  display_name = "${var.name}: ${each.key}"

  depends_on = [google_project_service.main]
}

# Every function enqueues: notifications, continuations and retries, replays, what is due.
resource "google_cloud_tasks_queue_iam_member" "enqueuer" {
  for_each = toset(local.function_names)

  project  = var.project
  name     = google_cloud_tasks_queue.main.name
  location = google_cloud_tasks_queue.main.location
  role     = "roles/cloudtasks.enqueuer"
  member   = google_service_account.main[each.key].member
}

# A function that enqueues must be allowed to act as the identity that its tasks carry: that one account only.
resource "google_service_account_iam_member" "tasks" {
  for_each = toset(local.function_names)

  service_account_id = google_service_account.main["tasks"].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.main[each.key].member
}

# The functions that keep state use the database. Firestore takes rights on the project only. The condition narrows this
# right to the one database. https://cloud.google.com/firestore/docs/manage-databases
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

# Spans go to the project: the role has nothing smaller.
resource "google_project_iam_member" "traces" {
  for_each = toset(local.google_traces ? local.function_names : [])

  project = var.project
  role    = "roles/telemetry.tracesWriter"
  member  = google_service_account.main[each.key].member
}

# Delegation without a key file: a function asks IAM to sign (signJwt) as the function's own account, hence the right of
# each account on itself.
resource "google_service_account_iam_member" "delegation" {
  for_each = toset(var.delegation ? local.stateful : [])

  service_account_id = google_service_account.main[each.key].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_service_account.main[each.key].member
}

# Who may call which function (the table in functions.tf): everyone the public ones, Cloud Tasks the worker, Cloud
# Scheduler maintain, operators manage-calendars. Without the invoker check allUsers needs no right, and gets none.
resource "google_cloud_run_v2_service_iam_member" "caller" {
  for_each = merge([for function, row in local.functions : {
    for caller, member in row.callers : "${function}/${caller}" => { function = function, member = member }
  }]...)

  project  = var.project
  name     = google_cloudfunctions2_function.main[each.value.function].name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.value.member
}

# Operators replay with gcloud and pull the kill switch: they make and run tasks, pause and resume the queue. The
# ready-made roles would also let them purge and delete the queue, and read the bodies of tasks.
resource "google_project_iam_custom_role" "operator" {
  project = var.project
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

  project  = var.project
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

# Operators see logs, dashboard and alerts. Both roles exist for projects only, so they cover the whole project.
resource "google_project_iam_member" "operator" {
  for_each = { for pair in setproduct(var.operators, ["roles/logging.viewer", "roles/monitoring.viewer"]) :
    "${pair[0]}/${pair[1]}" => { member = pair[0], role = pair[1] }
  }

  project = var.project
  role    = each.value.role
  member  = each.value.member

  depends_on = [google_project_service.main]
}

# The build account writes its log,
resource "google_project_iam_member" "build_log" {
  project = var.project
  role    = "roles/logging.logWriter" # logs belong to the project: there is nothing smaller
  member  = google_service_account.main["build"].member
}

# reads the sources, from our bucket and from the bucket into which Cloud Functions copies them,
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

# and pushes images into our repository.
resource "google_artifact_registry_repository_iam_member" "build_image" {
  project    = var.project
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
