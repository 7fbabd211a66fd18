# What the module promises, checked with mocked providers: no credentials, and nothing is made anywhere.
# tests/agreement/test_terraform.py checks what needs the providers' own schemas, or the code beside it.

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

# Planned, so that it is quick; the applied values are for tests/agreement/test_terraform_life.py.
run "everything_set" {
  command = plan
  variables {
    addon_audiences    = ["1234-abc.apps.googleusercontent.com"]
    addon_domains      = ["example.com", "example.org"]
    adopt_seconds      = 3600
    budget             = { billing_account = "012345-ABCDEF-678901", amount = 50 }
    calendar_secrets   = ["ann"]
    extra_requirements = ["acme-rooms==1.2.0"]
    extra_sources      = { "acme_rooms.py" = "versions.tf" }
    settings           = { coalesce_seconds = 5, max_attempts = 3, concurrency = 4 }
    secret_versions    = { my-web = 1 }
    secret_values      = { my-web = "{\"token\": \"t\"}" }
  }

  assert {
    condition     = toset(keys(google_cloudfunctions2_function.main)) == toset(["create-conference", "maintain", "manage-calendars", "receive-notification", "sync-calendar"])
    error_message = "An add-on brings its function."
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
    condition     = local.shipped["acme_rooms.py"] == file("versions.tf") && endswith(local.shipped["requirements.txt"], "\nacme-rooms==1.2.0\n")
    error_message = "An adapter of one's own is shipped with what it needs."
  }
  assert {
    condition     = keys(output.secrets_to_fill) == ["conference-sync-calendar-ann", "conference-sync-webex"]
    error_message = "What Terraform has filled needs no filling."
  }
  assert {
    condition     = google_billing_budget.main[0].amount[0].specified_amount[0].units == "50"
    error_message = "The budget is what was named."
  }
  assert {
    condition = alltrue(flatten([for a in local.dashboard_tiles : [for b in local.dashboard_tiles :
      a == b || a.xPos + a.width <= b.xPos || b.xPos + b.width <= a.xPos || a.yPos + a.height <= b.yPos || b.yPos + b.height <= a.yPos
    ]]))
    error_message = "No tile of the dashboard lies on another."
  }
}

run "switches" {
  command = plan
  variables {
    alert_email = null
    backup_days = 0
    delegation  = false
    firestore   = { database = "shared-data", create = false }
    queue       = { paused = true }
  }
  assert {
    condition     = length(google_firestore_database.main) == 0 && length(google_firestore_backup_schedule.main) == 0 && alltrue([for field in google_firestore_field.indexed : field.database == "shared-data"])
    error_message = "An existing database is used, not made."
  }
  assert {
    condition     = alltrue([for binding in google_project_iam_member.database : strcontains(binding.condition[0].expression, "databases/shared-data\"")])
    error_message = "The right is on that database."
  }
  assert {
    condition     = google_cloud_tasks_queue.main.desired_state == "PAUSED" && google_cloud_tasks_queue.main.rate_limits[0].max_dispatches_per_second == 50
    error_message = "One word pauses the queue, and changes nothing else."
  }
  assert {
    condition     = length(google_service_account_iam_member.delegation) == 0 && length(google_monitoring_notification_channel.email) == 0
    error_message = "What is not wanted is not made."
  }
}

run "wrong_values" {
  command = plan
  variables {
    addon_domains           = ["Example"]
    allowed_subject_domains = ["*@example.com"]
    backup_days             = 99
    budget                  = { billing_account = "mine", amount = 50 }
    conferencing_providers = [
      { name = "webex", type = "webex", solutions = ["Webex"] },
      { name = "webex", type = "webex" },
    ]
    extra_sources  = { "sync/config.py" = "versions.tf" }
    firestore      = { database = "x" }
    instances      = { min_sync = 20 }
    lag_objective  = { goal = 99 }
    manage_ingress = "PUBLIC"
    name           = "Conference-Sync"
    operators      = ["allUsers"]
    project        = "123456789012"
    public_urls    = { maintain = "https://example.com" }
    queue          = { max_dispatches_per_second = 1000, logged = 2 }
    region         = "europe"
    runtime        = "python310"
  }
  expect_failures = [
    var.addon_domains, var.allowed_subject_domains, var.backup_days, var.budget,
    var.conferencing_providers, var.extra_sources, var.firestore, var.instances, var.lag_objective, var.manage_ingress,
    var.name, var.operators, var.project, var.public_urls, var.queue, var.region, var.runtime,
  ]
}

run "an_option_of_another_type" {
  command = plan
  variables {
    conferencing_providers = [{ name = "teams", type = "teams", solutions = ["Teams"], mail = false }]
  }
  expect_failures = [var.conferencing_providers]
}

run "a_misspelt_option" {
  command = plan
  variables {
    conferencing_providers = [{ name = "zoom", type = "zoom", solutions = ["Zoom"], options = "{\"hots\": 1}" }]
  }
  expect_failures = [var.conferencing_providers]
}

# Rules that look at two variables: each on values that are right by themselves.
run "wrong_together" {
  command = plan
  variables {
    addon_audiences = ["1234-abc.apps.googleusercontent.com"]
    addon_domains   = ["example.com"]
    delegation      = false
    public_ingress  = "ALLOW_INTERNAL_AND_GCLB"
    secret_versions = { webex = 1 }
  }
  expect_failures = [var.addon_audiences, var.public_ingress, var.secret_versions]
}
