# What one needs next.

locals {
  manage_call = "curl -sS -H \"Authorization: Bearer $(gcloud auth print-identity-token)\" ${local.url["manage-calendars"]}"
  queue_flags = "--queue=${google_cloud_tasks_queue.main.name} --location=${var.region} --project=${var.project}"
  task_create = join(" ", [
    "gcloud tasks create-http-task ${local.queue_flags} --url=${local.url["sync-calendar"]} --method=POST",
    "--header=Content-Type:application/json",
    "--oidc-service-account-email=${google_service_account.main["tasks"].email}",
    "--oidc-token-audience=${local.url["sync-calendar"]}",
  ])
}

output "calendar_identities" {
  description = "Who speaks to Calendar: share calendars with these addresses, or authorise these client ids for delegation."
  value = { for function in local.stateful : function => {
    email     = google_service_account.main[function].email
    client_id = google_service_account.main[function].unique_id
  } }
}

output "commands" {
  description = "To run next. CALENDAR is the percent-encoded id: jq -rn --arg id ann@example.com '$id|@uri'"
  value = {
    first_calendar = "${local.manage_call}/calendars/CALENDAR -X PUT -H 'Content-Type: application/json' -d '${var.delegation ? "{\"subject\": \"ann@example.com\"}" : "{}"}'"
    status         = "${local.manage_call}/calendars"
    failures       = "${local.manage_call}/failures"
    replay         = "${local.manage_call}/calendars/CALENDAR/sync -X POST"
    replay_all     = <<-EOT
      next=; while :; do
        page=$(${local.manage_call}"/calendars?page_token=$next")
        jq -r '.calendars[].calendar_id | @uri' <<<"$page" | while read -r id; do
          ${local.manage_call}/calendars/$id/sync -X POST
        done
        next=$(jq -r '.next_page_token // empty' <<<"$page"); [ -n "$next" ] || break
      done
    EOT
    replay_task    = "${local.task_create} --body-content='{\"calendar_id\": \"ann@example.com\"}'"
    replay_event   = "${local.task_create} --body-content='{\"calendar_id\": \"ann@example.com\", \"event_id\": \"EVENT\"}'"
    pause          = "gcloud tasks queues pause ${google_cloud_tasks_queue.main.name} --location=${var.region} --project=${var.project}"
    resume         = "gcloud tasks queues resume ${google_cloud_tasks_queue.main.name} --location=${var.region} --project=${var.project}"
    logs           = "gcloud logging read '${local.log_filter} AND severity>=WARNING' --project=${var.project} --freshness=1d"
  }
}

output "dashboard_url" {
  description = "Is every calendar in step?"
  value       = "https://console.cloud.google.com/monitoring/dashboards/builder/${basename(google_monitoring_dashboard.main.id)}?project=${var.project}"
}

output "queue" {
  description = "The queue's full name."
  value       = google_cloud_tasks_queue.main.id
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
