# What one needs next.

locals {
  manage_call = "curl -sS -H \"Authorization: Bearer $(gcloud auth print-identity-token)\""
  manage_url  = local.url["manage-calendars"]
  queue_flags = "--location=${var.region} --project=${var.project}"
  task_create = join(" ", [
    "gcloud tasks create-http-task --queue=${google_cloud_tasks_queue.main.name} ${local.queue_flags}",
    "--url=${local.url["sync-calendar"]} --method=POST --header=Content-Type:application/json",
    "--oidc-service-account-email=${google_service_account.main["tasks"].email}",
    "--oidc-token-audience=${local.url["sync-calendar"]}",
  ])
  first_access = var.delegation ? "{\"subject\": \"ann@example.com\"}" : "{}"

  commands = {
    first_calendar = "${local.manage_call} -X PUT -H 'Content-Type: application/json' -d '${local.first_access}' '${local.manage_url}/calendars/CALENDAR'"
    status         = "${local.manage_call} '${local.manage_url}/calendars'"
    failures       = "${local.manage_call} '${local.manage_url}/failures'"
    replay         = "${local.manage_call} -X POST '${local.manage_url}/calendars/CALENDAR/sync'"
    replay_all     = <<-EOT
      next=; while :; do
        page=$(${local.manage_call} "${local.manage_url}/calendars?page_token=$next")
        jq -r '.calendars[].calendar_id | @uri' <<<"$page" | while read -r id; do
          ${local.manage_call} -X POST "${local.manage_url}/calendars/$id/sync"
        done
        next=$(jq -r '.next_page_token // empty' <<<"$page"); [ -n "$next" ] || break
      done
    EOT
    replay_task    = "${local.task_create} --body-content='{\"calendar_id\": \"ann@example.com\"}'"
    replay_event   = "${local.task_create} --body-content='{\"calendar_id\": \"ann@example.com\", \"event_id\": \"EVENT\"}'"
    pause          = "gcloud tasks queues pause ${google_cloud_tasks_queue.main.name} ${local.queue_flags}"
    resume         = "gcloud tasks queues resume ${google_cloud_tasks_queue.main.name} ${local.queue_flags}"
    logs           = "gcloud logging read '${local.log_filter} AND severity>=WARNING' --project=${var.project} --freshness=1d"
    test_alert = join(" ", [
      "gcloud logging write test-alert '{\"message\": \"calendar is broken\", \"calendar\": \"test\", \"reason\": \"a test of the alert\"}'",
      "--payload-type=json --severity=ERROR --project=${var.project} --monitored-resource-type=cloud_run_revision",
      "--monitored-resource-labels=service_name=${local.service["maintain"]},location=${var.region}",
    ])
  }
}

output "calendar_identities" {
  description = "Who uses Calendar: authorise these client ids for delegation, or share calendars with these addresses."
  value = { for function in local.stateful : function => {
    email     = google_service_account.main[function].email
    client_id = google_service_account.main[function].unique_id
  } }
}

output "commands" {
  description = "To paste into a shell. CALENDAR is the percent-encoded id: jq -rn --arg id ann@example.com '$id|@uri'"
  value       = join("\n", [for name, command in local.commands : "# ${name}\n${trimspace(command)}\n"])
}

output "dashboard_url" {
  description = "Is every calendar in step?"
  value       = "https://console.cloud.google.com/monitoring/dashboards/builder/${basename(google_monitoring_dashboard.main.id)}?project=${var.project}"
}

output "queue" {
  description = "The queue's full name."
  value       = local.queue
}

output "secrets_to_fill" {
  description = "Secrets whose value is still the operator's to add, and how. Forms: the README's list of providers."
  value = merge(
    { for name, secret in google_secret_manager_secret.provider : secret.secret_id =>
      "gcloud secrets versions add ${secret.secret_id} --project=${var.project} --data-file=-"
    if !contains(keys(var.secret_versions), name) },
    { for secret in google_secret_manager_secret.calendar : secret.secret_id =>
    "gcloud secrets versions add ${secret.secret_id} --project=${var.project} --data-file=-" },
  )
}

output "urls" {
  description = "Addresses of the functions."
  value       = local.url
}
