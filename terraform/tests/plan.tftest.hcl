# What the root promises, checked against providers that are mocked: no credentials, nothing is made anywhere.

mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
}

mock_provider "archive" {}

variables {
  project     = "demo-project"
  region      = "europe-west1"
  operators   = ["group:ops@example.com"]
  alert_email = "ops@example.com"

  conferencing_providers = [
    { name = "my-web", type = "rest", solutions = ["My Web"], base_url = "https://meet.example.com/api" },
    { name = "webex", type = "webex", solutions = ["Webex"], uris = ["https://*.webex.com/meet/{id}"] },
  ]

  iam_settle_seconds = 0
  secret_values      = {}
}

# Applied, so that every argument is evaluated, also those that a plan does not know yet.
run "defaults" {
  assert {
    condition     = toset(keys(google_cloudfunctions2_function.main)) == toset(["maintain", "manage-calendars", "receive-notification", "sync-calendar"])
    error_message = "The four functions, no more."
  }
  assert {
    condition = alltrue([
      for key, function in google_cloudfunctions2_function.main :
      function.build_config[0].entry_point == replace(key, "-", "_") && function.name == "conference-sync-${key}"
    ])
    error_message = "Functions are named after their targets, in kebab case."
  }
  assert {
    condition = alltrue([
      for function in google_cloudfunctions2_function.main :
      function.service_config[0].environment_variables["THREADS"] == tostring(function.service_config[0].max_instance_request_concurrency)
    ])
    error_message = "A function serves as many requests as it is sent: THREADS is its concurrency."
  }
  assert {
    condition = alltrue([
      for function in google_cloudfunctions2_function.main :
      function.service_config[0].max_instance_request_concurrency == 1 || tonumber(function.service_config[0].available_cpu) >= 1
    ])
    error_message = "More than one request at once needs a whole CPU."
  }
  assert {
    condition = { for key, function in google_cloudfunctions2_function.main : key => function.service_config[0].ingress_settings } == {
      maintain             = "ALLOW_INTERNAL_ONLY"
      manage-calendars     = "ALLOW_ALL"
      receive-notification = "ALLOW_ALL"
      sync-calendar        = "ALLOW_INTERNAL_ONLY"
    }
    error_message = "Cloud Tasks and Cloud Scheduler come from inside; Calendar and operators do not."
  }
  assert {
    condition     = [for key, binding in google_cloud_run_v2_service_iam_member.caller : key if contains(["allUsers", "allAuthenticatedUsers"], binding.member)] == ["receive-notification/everyone"]
    error_message = "Nothing is public but the notification function."
  }
  assert {
    condition     = google_cloudfunctions2_function.main["receive-notification"].service_config[0].environment_variables["SYNC_WORKER_URL"] == "https://conference-sync-sync-calendar-123456789012.europe-west1.run.app"
    error_message = "The worker's address is its deterministic one."
  }
  assert {
    condition     = google_cloud_tasks_queue.main.rate_limits[0].max_concurrent_dispatches == google_cloudfunctions2_function.main["sync-calendar"].service_config[0].max_instance_count * google_cloudfunctions2_function.main["sync-calendar"].service_config[0].max_instance_request_concurrency
    error_message = "The queue sends no more than the worker takes."
  }
  assert {
    condition     = google_cloud_tasks_queue.main.retry_config[0].max_attempts == -1 && google_cloud_tasks_queue.main.desired_state == "RUNNING"
    error_message = "Tasks are tried until they are done, from the start."
  }
  assert {
    condition     = can(regex("^[0-9]+ [*] [*] [*] [*]$", google_cloud_scheduler_job.maintain.schedule)) && google_cloud_scheduler_job.maintain.retry_config[0].retry_count > 0
    error_message = "maintain is called every hour, and again if that failed."
  }
  assert {
    condition     = google_firestore_database.main[0].delete_protection_state == "DELETE_PROTECTION_ENABLED" && google_firestore_database.main[0].deletion_policy == "ABANDON"
    error_message = "The data is guarded."
  }
  assert {
    condition     = google_firestore_field.expiry.collection == "conferences" && google_firestore_field.expiry.field == "expires_at" && length(google_firestore_field.expiry.ttl_config) == 1
    error_message = "Dead conferences expire."
  }
  assert {
    condition     = toset([for key, binding in google_secret_manager_secret_iam_member.main : key if binding.role != "roles/secretmanager.secretAccessor"]) == toset(["provider/webex/replace"])
    error_message = "Only webex's secret may be replaced by the worker; every other right is to read."
  }
  assert {
    condition     = toset(keys(google_service_account_iam_member.delegation)) == toset(["maintain", "manage-calendars", "sync-calendar"])
    error_message = "Who speaks to Calendar may sign as itself."
  }
  assert {
    condition     = toset(keys(output.secrets_to_fill)) == toset(["conference-sync-my-web", "conference-sync-webex"])
    error_message = "Secrets without a value are named."
  }
  assert {
    condition     = contains(local.sources, "main.py") && contains(local.sources, "requirements.txt") && contains(local.sources, "sync/engine.py") && length([for file in local.sources : file if !endswith(file, ".py") && file != "requirements.txt"]) == 0
    error_message = "Sources, and nothing else, are shipped."
  }
}

run "everything_set" {
  variables {
    calendar_secrets = ["ann"]
    settings         = { coalesce_seconds = 5, max_attempts = 3, concurrency = 4 }
    secret_versions  = { my-web = 1 }
    secret_values    = { my-web = "{\"token\": \"t\"}" }
  }

  assert {
    condition     = google_cloudfunctions2_function.main["receive-notification"].service_config[0].environment_variables["SYNC_COALESCE_SECONDS"] == "5" && google_cloudfunctions2_function.main["sync-calendar"].service_config[0].environment_variables["SYNC_MAX_ATTEMPTS"] == "3"
    error_message = "Settings reach the functions that read them."
  }
  assert {
    condition     = !contains(keys(google_cloudfunctions2_function.main["sync-calendar"].service_config[0].environment_variables), "SYNC_CHANNEL_KEY") && !contains(keys(google_cloudfunctions2_function.main["receive-notification"].service_config[0].environment_variables), "SYNC_PROVIDERS")
    error_message = "No function is told what it does not read."
  }
  assert {
    condition = [for provider in jsondecode(google_cloudfunctions2_function.main["sync-calendar"].service_config[0].environment_variables["SYNC_PROVIDERS"]) : keys(provider)] == [
      ["base_url", "name", "secret", "solutions", "type", "uris"], ["name", "secret", "solutions", "type", "uris"],
    ]
    error_message = "SYNC_PROVIDERS keeps the order, and holds what was given and the secret."
  }
  assert {
    condition     = google_secret_manager_secret_version.provider["my-web"].secret_data == null && google_secret_manager_secret_version.channel_key.secret_data == null
    error_message = "No value is in the state."
  }
  assert {
    condition     = keys(output.secrets_to_fill) == ["conference-sync-calendar-ann", "conference-sync-webex"]
    error_message = "What Terraform has filled needs no filling."
  }
  assert {
    condition     = jsondecode(google_monitoring_dashboard.main.dashboard_json).mosaicLayout.columns == 12
    error_message = "The dashboard is JSON."
  }
  assert {
    condition = alltrue(flatten([for a in local.dashboard_tiles : [for b in local.dashboard_tiles :
      a == b || a.xPos + a.width <= b.xPos || b.xPos + b.width <= a.xPos || a.yPos + a.height <= b.yPos || b.yPos + b.height <= a.yPos
    ]]))
    error_message = "No tile of the dashboard lies on another."
  }
}

run "existing_database" {
  command = plan
  variables {
    firestore = { database = "shared-data", create = false }
  }
  assert {
    condition     = length(google_firestore_database.main) == 0 && alltrue([for field in google_firestore_field.indexed : field.database == "shared-data"])
    error_message = "An existing database is used, not made."
  }
  assert {
    condition     = alltrue([for binding in google_project_iam_member.database : strcontains(binding.condition[0].expression, "databases/shared-data\"")])
    error_message = "The right is on that database."
  }
}

run "kill_switch" {
  command = plan
  variables {
    queue = { paused = true }
  }
  assert {
    condition     = google_cloud_tasks_queue.main.desired_state == "PAUSED" && google_cloud_tasks_queue.main.rate_limits[0].max_dispatches_per_second == 50
    error_message = "One word pauses the queue, and changes nothing else."
  }
}

run "teardown" {
  command = plan
  variables {
    protect_data = false
    delegation   = false
    alert_email  = null
  }
  assert {
    condition     = google_firestore_database.main[0].deletion_policy == "DELETE" && google_firestore_database.main[0].delete_protection_state == "DELETE_PROTECTION_DISABLED"
    error_message = "Told so, the data goes too."
  }
  assert {
    condition     = length(google_service_account_iam_member.delegation) == 0 && length(google_monitoring_notification_channel.email) == 0
    error_message = "What is not wanted is not made."
  }
}

run "wrong_values" {
  command = plan
  variables {
    conferencing_providers = [
      { name = "webex", type = "webex", solutions = ["Webex"] },
      { name = "webex", type = "webex" },
    ]
    instances      = { min_sync = 20 }
    name           = "Conference-Sync"
    operators      = ["allUsers"]
    project        = "123456789012"
    queue          = { max_dispatches_per_second = 1000, logged = 2 }
    region         = "europe"
    runtime        = "python310"
    firestore      = { database = "x" }
    manage_ingress = "PUBLIC"
  }
  expect_failures = [
    var.conferencing_providers, var.firestore, var.instances, var.manage_ingress, var.name, var.operators, var.project,
    var.queue, var.region, var.runtime,
  ]
}

run "webex_keeps_its_own_secret" {
  command = plan
  variables {
    secret_versions = { webex = 1 }
  }
  expect_failures = [var.secret_versions]
}
