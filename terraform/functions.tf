# The functions, from one table, and the sources they are built from.

locals {
  # One row for each function. All have one CPU: below one a function takes one request at a time, and the platform's
  # default of a sixth takes some four seconds to import what the worker needs. `timeout` is in seconds. `settings` names
  # what the function reads besides its `environment`.
  table = {
    # Public, called by Calendar. 80 at once: a request mostly waits for Cloud Tasks. 512 MiB is the least that the second
    # generation runs with, and holds the imports (some 80 MB) and 80 requests. 60 s: reading two secrets and creating
    # two tasks, each with a limit of its own, come to 30.
    receive-notification = {
      memory      = "512Mi"
      concurrency = 80
      timeout     = 60
      min         = var.instances.min_receive
      max         = var.instances.max_receive
      ingress     = var.public_ingress
      callers     = local.everyone
      # The project names the trace in its log records.
      environment = merge(local.environment.enqueue, local.environment.channel_key, { GOOGLE_CLOUD_PROJECT = var.project })
      settings    = ["coalesce_seconds"]
    }

    # Public, called by the add-on; the code checks the user's token. 30 s: Apps Script waits no longer for an answer.
    # 8 at once: each waits for Calendar and for a conferencing system.
    create-conference = {
      memory      = "512Mi"
      concurrency = 8
      timeout     = 30
      min         = var.instances.min_create
      max         = var.instances.max_create
      ingress     = var.public_ingress
      callers     = local.everyone
      environment = merge(local.environment.enqueue, local.environment.stateful, local.environment.channels)
      settings    = ["addon_audiences", "addon_domains", "adopt_seconds", "channel_ttl_seconds", "subject_domains"]
    }

    # Private, called by Cloud Tasks. 8 runs at once, each with up to SYNC_CONCURRENCY provider calls under way. 1 GiB
    # holds a page of events for each. 590 s: the platform ends a run before Cloud Tasks gives up waiting (600 s,
    # DISPATCH_DEADLINE in sync/config.py) and delivers the task again. The run itself stops 20 to 30 s earlier.
    sync-calendar = {
      memory      = "1Gi"
      concurrency = local.worker_concurrency
      timeout     = 590
      min         = var.instances.min_sync
      max         = var.instances.max_sync
      ingress     = "ALLOW_INTERNAL_ONLY"
      callers     = { tasks = google_service_account.main["tasks"].member }
      environment = merge(local.environment.enqueue, local.environment.stateful)
      settings = [
        "adopt_seconds", "concurrency", "delete_grace_seconds", "max_attempts", "reconcile_seconds", "retry_seconds",
        "subject_domains", "window_days",
      ]
    }

    # Called by operators, from wherever they are: IAM decides. 300 s: stopping a calendar forgets its links one by one.
    manage-calendars = {
      memory      = "512Mi"
      concurrency = 8
      timeout     = 300
      min         = 0
      max         = var.instances.max_manage
      ingress     = var.manage_ingress
      callers     = { for member in var.operators : member => member }
      environment = merge(local.environment.enqueue, local.environment.stateful, local.environment.channels)
      settings    = ["channel_ttl_seconds", "subject_domains"]
    }

    # Private, called by Cloud Scheduler. One request at a time. Two instances: a retry finds a free one while the first
    # call still runs.
    maintain = {
      memory      = "512Mi"
      concurrency = 1
      timeout     = 590
      min         = 0
      max         = 2
      ingress     = "ALLOW_INTERNAL_ONLY"
      callers     = { scheduler = google_service_account.main["scheduler"].member }
      environment = merge(local.environment.enqueue, local.environment.stateful, local.environment.channels)
      settings    = ["adopt_seconds", "channel_ttl_seconds", "delete_grace_seconds", "reconcile_seconds", "subject_domains"]
    }
  }

  functions = { for function in local.function_names : function => merge(local.table[function], {
    entry_point = replace(function, "-", "_")
    environment = merge(
      local.table[function].environment,
      # The server has four threads for each CPU unless told otherwise: the platform would send more than it serves.
      { THREADS = tostring(local.table[function].concurrency) },
      # What is left out keeps the code's default.
      { for setting in concat(local.table[function].settings, ["trace_url"]) :
      "SYNC_${upper(setting)}" => tostring(local.settings[setting]) if local.settings[setting] != null },
    )
  }) }

  # SYNC_ variables that may be left out, by their names in small letters.
  settings = merge(var.settings, { adopt_seconds = var.adopt_seconds, trace_url = var.trace_url }, { for setting, words in {
    addon_audiences = var.addon_audiences
    addon_domains   = var.addon_domains
    subject_domains = var.allowed_subject_domains
  } : setting => length(words) == 0 ? null : join(" ", sort(words)) })

  # The variables that sync/config.py reads. Each function gets those that it reads and no more.
  environment = {
    channel_key = { SYNC_CHANNEL_KEY = local.secret.channel_key }
    channels = {
      SYNC_CHANNEL_KEY      = local.secret.channel_key
      SYNC_NOTIFICATION_URL = local.url["receive-notification"]
    }
    enqueue = {
      SYNC_QUEUE                 = local.queue
      SYNC_TASKS_SERVICE_ACCOUNT = google_service_account.main["tasks"].email
      SYNC_WORKER_URL            = local.url["sync-calendar"]
    }
    # For those that keep state and use Calendar. All know the providers; who may read their secrets: iam.tf.
    stateful = {
      GOOGLE_CLOUD_PROJECT    = var.project
      SYNC_FIRESTORE_DATABASE = var.firestore.database
      SYNC_PROVIDERS          = local.providers_json
    }
  }

  # Without the invoker check everyone may call and needs no right.
  everyone = var.invoker_check ? { everyone = "allUsers" } : {}

  # Runs that one instance of the worker has under way; queue.tf reckons with it too.
  worker_concurrency = 8

  # What an entry of SYNC_PROVIDERS may say: for every type, and further options of each type that the project brings. An
  # adapter of one's own knows its options itself.
  provider_common = ["name", "type", "solutions", "uris", "hosts", "calls_per_second"]
  provider_options = {
    rest  = ["base_url"]
    teams = ["base_url", "token_url", "host"]
    webex = ["base_url", "token_url", "host", "mail", "site_url"]
    zoom = [
      "base_url", "token_url", "all_day", "host", "mail", "max_occurrences", "time_zone", "unsupported_recurrence",
    ]
  }
  providers_json = jsonencode([
    for provider in var.conferencing_providers : merge(
      jsondecode(provider.options),
      { for option, value in provider : option => value
      if option != "options" && value != null && try(length(value) > 0, true) },
      { secret = local.secret.provider[provider.name] },
    )
  ])

  # What is shipped, by path in the archive. .gcloudignore says the same, and a test compares the two.
  root = "${path.module}/.."
  shipped = merge(
    { for file in fileset(local.root, "sync/**/*.py") : file => file("${local.root}/${file}") },
    { for path, file in var.extra_sources : path => file(file) },
    {
      "main.py"          = file("${local.root}/main.py")
      "requirements.txt" = join("\n", concat([trimspace(file("${local.root}/requirements.txt"))], var.extra_requirements, [""]))
    },
  )
  source_hash = sha256(jsonencode(local.shipped))
}

data "archive_file" "source" {
  type        = "zip"
  output_path = "${path.module}/source-${var.project}-${var.name}.zip"

  dynamic "source" {
    for_each = local.shipped
    content {
      filename = source.key
      content  = source.value
    }
  }
}

# Zips of the sources, nothing else.
resource "google_storage_bucket" "source" {
  #checkov:skip=CKV_GCP_62:Nobody but the build reads these zips of public code; access logs would tell nothing.
  project                     = var.project
  name                        = "${var.project}-${var.name}-source"
  location                    = var.region
  labels                      = local.labels
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true

  versioning {
    enabled = true
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 30 # days: long enough to look at what a rollback would bring
    }
  }

  depends_on = [google_project_service.main]
}

resource "google_storage_bucket_object" "source" {
  # The content's hash is in the name: a changed object of the same name would not be noticed, and nothing deployed.
  name   = "source-${local.source_hash}.zip"
  bucket = google_storage_bucket.source.name
  source = data.archive_file.source.output_path

  lifecycle {
    create_before_destroy = true
  }
}

# Images that the builds make. The default repository would keep them all for ever.
resource "google_artifact_registry_repository" "main" {
  #checkov:skip=CKV_GCP_84:Google's own keys encrypt these images of public code; a key of ours would be one more thing to lose.
  project       = var.project
  repository_id = var.name
  location      = var.region
  labels        = local.labels
  format        = "DOCKER"
  description   = "Images of ${var.name}'s functions"

  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions {
      keep_count = 5 # of each function: a rollback of some releases needs no build
    }
  }
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "2592000s" # 30 days
    }
  }

  depends_on = [google_project_service.main]
}

resource "google_cloudfunctions2_function" "main" {
  #checkov:skip=CKV_GCP_124:Internal but for the public functions and, by a variable, the operators' one; a test reads the plan.
  for_each = local.functions

  project  = var.project
  name     = "${var.name}-${each.key}"
  location = var.region
  labels   = local.labels

  build_config {
    runtime           = var.runtime
    entry_point       = each.value.entry_point
    service_account   = google_service_account.main["build"].id
    docker_repository = google_artifact_registry_repository.main.id

    # The build compiles our sources, and the image then dates them all 1980. Python would take its compiled files for
    # stale, and compile anew at each start: a sixth more processor time. With this variable it knows them by a hash of
    # the source (PEP 552). The value is that date, 1980-01-01T00:00:01Z.
    # https://github.com/GoogleCloudPlatform/buildpacks/blob/main/cmd/python/functions_framework/lib/lib.go
    # https://github.com/buildpacks/lifecycle/issues/249
    # https://docs.python.org/3/library/py_compile.html#py_compile.PycInvalidationMode
    environment_variables = { SOURCE_DATE_EPOCH = "315532801" }

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source.name
      }
    }

    # Security fixes of the base image without a deployment.
    automatic_update_policy {}
  }

  service_config {
    available_memory                 = each.value.memory
    available_cpu                    = "1"
    timeout_seconds                  = each.value.timeout
    max_instance_request_concurrency = each.value.concurrency
    min_instance_count               = local.service[each.key] == "${var.name}-${each.key}" ? each.value.min : 0
    max_instance_count               = each.value.max
    # A public function without the invoker check is called as the service below, and this one by nobody.
    ingress_settings      = local.service[each.key] == "${var.name}-${each.key}" ? each.value.ingress : "ALLOW_INTERNAL_ONLY"
    service_account_email = google_service_account.main[each.key].email
    environment_variables = each.value.environment
  }

  # Built and started with everything in place: a function without its rights fails in ways that look like bugs.
  depends_on = [
    terraform_data.iam_settled,
    google_cloud_tasks_queue_iam_member.enqueuer,
    google_firestore_database.main,
    google_project_iam_member.database,
    google_secret_manager_secret_iam_member.main,
    google_service_account_iam_member.tasks,
  ]
}

# Where the organisation forbids allUsers (invoker_check = false): each public function once more, as a Cloud Run service
# that runs the function's image without the invoker check. A function has no such setting of its own, and Cloud
# Functions would undo a change of the service that it keeps.
# https://cloud.google.com/run/docs/authenticating/public
data "google_cloud_run_v2_service" "built" {
  for_each = toset(var.invoker_check ? [] : local.public)

  project  = var.project
  name     = google_cloudfunctions2_function.main[each.key].name
  location = var.region

  depends_on = [google_cloudfunctions2_function.main]
}

resource "google_cloud_run_v2_service" "open" {
  for_each = data.google_cloud_run_v2_service.built

  project              = var.project
  name                 = local.service[each.key]
  location             = var.region
  labels               = local.labels
  ingress              = var.public_ingress == "ALLOW_ALL" ? "INGRESS_TRAFFIC_ALL" : "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  invoker_iam_disabled = true
  deletion_protection  = false # holds no data; terraform destroy takes it along

  template {
    service_account                  = google_service_account.main[each.key].email
    timeout                          = "${local.functions[each.key].timeout}s"
    max_instance_request_concurrency = local.functions[each.key].concurrency

    scaling {
      min_instance_count = local.functions[each.key].min
      max_instance_count = local.functions[each.key].max
    }

    containers {
      image          = each.value.template[0].containers[0].image
      base_image_uri = each.value.template[0].containers[0].base_image_uri

      resources {
        cpu_idle          = true # billed for requests, not for idle time
        startup_cpu_boost = true
        limits            = { cpu = "1", memory = local.functions[each.key].memory }
      }

      dynamic "env" {
        for_each = merge(local.functions[each.key].environment, { FUNCTION_TARGET = local.functions[each.key].entry_point })
        content {
          name  = env.key
          value = env.value
        }
      }
    }
  }
}
