# The four functions, from one table, and the sources they are built from.

locals {
  # Everything but the table's own differences. Below one CPU a function takes one request at a time, and starting is
  # CPU time: a sixth of a CPU, the platform's default, takes some four seconds to import what the worker needs.
  functions = {
    # Public. 80 at once: a request waits for Cloud Tasks most of its time. 60 s: two secrets and two tasks, each with
    # its own limit, come to 30.
    receive-notification = {
      memory      = "512Mi"
      concurrency = 80
      timeout     = 60
      min         = var.instances.min_receive
      max         = var.instances.max_receive
      ingress     = "ALLOW_ALL"
      callers     = { everyone = "allUsers" }
      environment = merge(local.environment.enqueue, local.environment.channel_key, {
        # Names the trace in its log records.
        GOOGLE_CLOUD_PROJECT  = var.project
        SYNC_COALESCE_SECONDS = var.settings.coalesce_seconds
      })
    }

    # Private, called by Cloud Tasks. 8 runs at once, each with up to SYNC_CONCURRENCY calls under way; 1 GiB holds a
    # page of events for each. 590 s: the platform ends a run before Cloud Tasks gives up waiting (600 s,
    # sync/config.py, DISPATCH_DEADLINE) and brings the task again; the run itself stops 20 to 30 s before that.
    sync-calendar = {
      memory      = "1Gi"
      concurrency = local.worker_concurrency
      timeout     = 590
      min         = var.instances.min_sync
      max         = var.instances.max_sync
      ingress     = "ALLOW_INTERNAL_ONLY"
      callers     = { tasks = google_service_account.main["tasks"].member }
      environment = merge(local.environment.enqueue, local.environment.store, {
        SYNC_PROVIDERS            = local.providers_json
        SYNC_DELETE_GRACE_SECONDS = var.settings.delete_grace_seconds
        SYNC_WINDOW_DAYS          = var.settings.window_days
        SYNC_RECONCILE_SECONDS    = var.settings.reconcile_seconds
        SYNC_RETRY_SECONDS        = var.settings.retry_seconds
        SYNC_MAX_ATTEMPTS         = var.settings.max_attempts
        SYNC_CONCURRENCY          = var.settings.concurrency
      })
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
      environment = merge(local.environment.enqueue, local.environment.store, local.environment.channels)
    }

    # Private, called by Cloud Scheduler. One at a time; two instances, so that a retry does not meet a full house.
    maintain = {
      memory      = "512Mi"
      concurrency = 1
      timeout     = 590
      min         = 0
      max         = 2
      ingress     = "ALLOW_INTERNAL_ONLY"
      callers     = { scheduler = google_service_account.main["scheduler"].member }
      environment = merge(local.environment.enqueue, local.environment.store, local.environment.channels, {
        SYNC_DELETE_GRACE_SECONDS = var.settings.delete_grace_seconds
        SYNC_RECONCILE_SECONDS    = var.settings.reconcile_seconds
      })
    }
  }

  # Runs that one instance of the worker has under way; the queue is bounded by it too.
  worker_concurrency = 8

  # Names: sync/config.py. Each function gets what it reads and no more.
  environment = {
    channel_key = { SYNC_CHANNEL_KEY = google_secret_manager_secret.channel_key.id }
    channels = {
      SYNC_CHANNEL_KEY         = google_secret_manager_secret.channel_key.id
      SYNC_CHANNEL_TTL_SECONDS = var.settings.channel_ttl_seconds
      SYNC_NOTIFICATION_URL    = local.url["receive-notification"]
    }
    enqueue = {
      SYNC_QUEUE                 = google_cloud_tasks_queue.main.id
      SYNC_TASKS_SERVICE_ACCOUNT = google_service_account.main["tasks"].email
      SYNC_WORKER_URL            = local.url["sync-calendar"]
    }
    store = {
      GOOGLE_CLOUD_PROJECT    = var.project
      SYNC_FIRESTORE_DATABASE = var.firestore.database
    }
  }

  providers_json = jsonencode([
    for provider in var.conferencing_providers : merge(
      provider.options,
      { for key in ["base_url", "token_url"] : key => provider[key] if provider[key] != null },
      {
        name      = provider.name
        type      = provider.type
        solutions = provider.solutions
        uris      = provider.uris
        secret    = google_secret_manager_secret.provider[provider.name].id
      },
    )
  ])

  # What is shipped; .gcloudignore says the same, and a test compares them.
  root        = "${path.module}/.."
  sources     = sort(setunion(["main.py", "requirements.txt"], fileset(local.root, "sync/**/*.py")))
  source_hash = sha256(join("\n", [for file in local.sources : "${file} ${filesha256("${local.root}/${file}")}"]))
}

data "archive_file" "source" {
  type        = "zip"
  output_path = "${path.module}/source.zip"

  dynamic "source" {
    for_each = local.sources
    content {
      filename = source.value
      content  = file("${local.root}/${source.value}")
    }
  }
}

# Zips of the sources, nothing else.
resource "google_storage_bucket" "source" {
  #checkov:skip=CKV_GCP_62:Nobody but the build reads these zips of public code; access logs would tell nothing.
  name                        = "${var.project}-${var.name}-source"
  location                    = var.region
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
      days_since_noncurrent_time = 30
    }
  }

  depends_on = [google_project_service.main]
}

resource "google_storage_bucket_object" "source" {
  # The content's hash in the name: a changed object of the same name would not be noticed, and nothing deployed.
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
  repository_id = var.name
  location      = var.region
  format        = "DOCKER"
  description   = "Images of ${var.name}'s functions"

  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions {
      keep_count = 5
    }
  }
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "2592000s"
    }
  }

  depends_on = [google_project_service.main]
}

resource "google_cloudfunctions2_function" "main" {
  #checkov:skip=CKV_GCP_124:Internal but for the function that Calendar calls and, by a variable, the operators' one; a test reads the plan.
  for_each = local.functions

  name     = "${var.name}-${each.key}"
  location = var.region

  build_config {
    runtime           = var.runtime
    entry_point       = replace(each.key, "-", "_")
    service_account   = google_service_account.main["build"].id
    docker_repository = google_artifact_registry_repository.main.id

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
    min_instance_count               = each.value.min
    max_instance_count               = each.value.max
    ingress_settings                 = each.value.ingress
    service_account_email            = google_service_account.main[each.key].email

    environment_variables = merge(
      # The server has four threads for each CPU unless told otherwise: the platform would send more than it serves.
      { THREADS = tostring(each.value.concurrency) },
      { for variable, value in each.value.environment : variable => tostring(value) if value != null },
    )
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
