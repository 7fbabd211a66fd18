# Metrics from the functions' log lines, a service level objective, alerts, a budget. dashboard.tf shows the metrics.
# Messages and fields are those that sync/ and main.py log; tests/agreement/test_terraform.py compares them.

locals {
  metric_prefix = "${replace(var.name, "-", "_")}_"
  log_filter = join(" AND ", [
    "resource.type=\"cloud_run_revision\"",
    "resource.labels.service_name=(${join(" OR ", [for service in values(local.service) : "\"${service}\""])})",
  ])

  run_messages = ["calendar synced", "event synced"]

  # Records counted, by labels taken from their fields.
  counters = merge({
    runs           = { messages = local.run_messages, labels = ["kind"] }
    runs_failed    = { messages = ["run failed"], labels = [] }
    events_retried = { messages = ["event failed, a retry task has it"], labels = ["action", "error"] }
    events_parked  = { messages = ["event failed and is parked"], labels = ["action", "error"] }
    refused        = { messages = ["notification refused"], labels = [] }
    not_enqueued   = { messages = ["notification not enqueued"], labels = [] }
    became_broken  = { messages = ["calendar is broken", "channel not renewed: Calendar refuses it"], labels = [] }
    provider_calls = { messages = ["provider called"], labels = ["provider", "action", "outcome"] }
    tasks_dropped  = { messages = ["task dropped", "task for an unknown calendar dropped"], labels = [] }
    }, local.addon ? {
    addon_created = { messages = ["conference created for the add-on"], labels = ["provider", "outcome"] }
    addon_refused = { messages = ["add-on token refused"], labels = ["reason"] }
    addon_failed  = { messages = ["add-on creation failed"], labels = ["provider"] }
  } : {})

  # Numbers read from one field of records: what a run did, how things stand by the hourly maintain, how long a person
  # waited for the add-on.
  values = merge({
    changes          = { messages = local.run_messages, field = "changes", unit = "1" }
    created          = { messages = local.run_messages, field = "conferences_created", unit = "1" }
    updated          = { messages = local.run_messages, field = "conferences_updated", unit = "1" }
    deleted          = { messages = local.run_messages, field = "conferences_deleted", unit = "1" }
    lag              = { messages = local.run_messages, field = "lag_seconds", unit = "s" }
    calendars        = { messages = ["maintained"], field = "calendars", unit = "1" }
    broken           = { messages = ["maintained"], field = "broken", unit = "1" }
    polled           = { messages = ["maintained"], field = "polled", unit = "1" }
    stale            = { messages = ["maintained"], field = "stale", unit = "1" }
    parked           = { messages = ["maintained"], field = "parked", unit = "1" }
    channels_due     = { messages = ["maintained"], field = "expiring", unit = "1" }
    channels_refused = { messages = ["maintained"], field = "not_renewed", unit = "1" }
    }, local.addon ? {
    addon_seconds = { messages = ["conference created for the add-on"], field = "seconds", unit = "s" }
  } : {})

  # A metric's name in PromQL. `level` is a value as maintain last reported it, `total` its sum over a span of time.
  promql = { for name in concat(keys(local.counters), keys(local.values)) : name => "logging_googleapis_com:user_${local.metric_prefix}${name}" }
  sample = "{monitored_resource=\"cloud_run_revision\"}"
  level = { for name in keys(local.values) : name =>
    "sum(increase(${local.promql[name]}_sum${local.sample}[2h])) / sum(increase(${local.promql[name]}_count${local.sample}[2h]))"
  }
  total = { for name in keys(local.values) : name => "sum(increase(${local.promql[name]}_sum${local.sample}[5m]))" }
  count = { for name in keys(local.counters) : name => "increase(${local.promql[name]}${local.sample}[5m])" }

  requests_filter = { for function in local.function_names : function => join(" AND ", [
    "metric.type=\"run.googleapis.com/request_count\"",
    "resource.type=\"cloud_run_revision\"",
    "resource.labels.service_name=\"${local.service[function]}\"",
  ]) }
  # The filter for records that have one of these messages.
  filter = { for name, metric in merge(local.counters, local.values, local.log_alerts) :
    name => "${local.log_filter} AND jsonPayload.message=(${join(" OR ", [for message in metric.messages : "\"${message}\""])})${lookup(metric, "more", "")}"
  }
  queue_filter = "resource.type=\"cloud_tasks_queue\" AND resource.labels.queue_id=\"${google_cloud_tasks_queue.main.name}\""
}

resource "google_logging_metric" "counter" {
  for_each = local.counters

  project = var.project
  name    = "${local.metric_prefix}${each.key}"
  filter  = local.filter[each.key]

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"

    dynamic "labels" {
      for_each = each.value.labels
      content {
        key        = labels.value
        value_type = "STRING"
      }
    }
  }
  label_extractors = { for label in each.value.labels : label => "EXTRACT(jsonPayload.${label})" }

  depends_on = [google_project_service.main]
}

resource "google_logging_metric" "value" {
  for_each = local.values

  project = var.project
  name    = "${local.metric_prefix}${each.key}"
  # A record without the field says nothing about the number, and must not count as a nought.
  filter          = "${local.filter[each.key]} AND jsonPayload.${each.value.field}>=0"
  value_extractor = "EXTRACT(jsonPayload.${each.value.field})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = each.value.unit
  }

  bucket_options {
    # Powers of two from half a second (or half an event) to 2^23, which is 97 days.
    exponential_buckets {
      num_finite_buckets = 24
      growth_factor      = 2
      scale              = 0.5
    }
  }

  depends_on = [google_project_service.main]
}

resource "google_monitoring_notification_channel" "email" {
  count = var.alert_email == null ? 0 : 1

  project      = var.project
  display_name = "${var.name}: alerts"
  type         = "email"
  labels       = { email_address = var.alert_email }

  depends_on = [google_project_service.main]
}

locals {
  # Alerts on one log line. The incident carries the fields in `labels`, so it says which and why.
  log_alerts = {
    "failure parked" = {
      wanted   = true
      messages = ["event failed and is parked"]
      labels   = ["calendar", "failure", "action", "error"]
      severity = "ERROR"
      runbook  = <<-EOT
        An event could not be applied and waits as a failure; its conference is out of step. Others are not held up.

        1. Read its reason: GET /failures at manage-calendars (output `commands`, status); `failure` above is its id.
        2. Mend what the reason names: the event, the provider's account, its secret.
        3. POST /failures/ID/retry. It is also retried once a day, and whenever the event changes.
        4. Not worth mending: DELETE /failures/ID.
      EOT
    }
    "calendar broken" = {
      wanted   = true
      messages = ["calendar is broken", "channel not renewed: Calendar refuses it", "calendar is polled: its tokens expire at once"]
      labels   = ["calendar", "reason"]
      severity = "ERROR"
      runbook  = <<-EOT
        One calendar is not synced, because we may not read it any more; `reason` says what to do. `calendar` is a digest:
        GET /calendars?status=broken at manage-calendars tells the id.

        - unauthorized_client, access_denied: authorise the client ids of output `calendar_identities` in the Workspace
          console for https://www.googleapis.com/auth/calendar.events; it may take a day to work.
        - invalid_grant: the user is gone or suspended, or has withdrawn the token: start the calendar with another access.
        - not found, no access: share the calendar again, or DELETE /calendars/ID.
        - polled: nothing to do. It is synced at intervals, because Calendar forgets its tokens.

        Mended: PUT /calendars/ID again, or wait: it is tried once an hour.
      EOT
    }
    "provider credentials refused" = {
      wanted = true
      messages = [
        "a provider refuses our credentials",
        "a new refresh token could not be stored; until it is, it dies with this instance",
      ]
      labels   = ["reason"]
      severity = "CRITICAL"
      runbook  = <<-EOT
        A conferencing system refuses our credentials: none of its conferences is kept in step. Nothing is lost, tasks
        come again until it works.

        1. Find the secret in `reason`; check the account at the provider.
        2. Add a version: gcloud secrets versions add SECRET --data-file=-
        3. It is read at the next refusal; no deployment is needed. Retries come within five minutes.
        4. "could not be stored": the worker lacks secretVersionManager on the secret (terraform apply), or Secret Manager
           is down; the old refresh token may stop working with the next instance.
      EOT
    }
    "calendar keeps failing" = {
      wanted   = true
      messages = ["run failed"]
      # 10 runs in a row take about half an hour: a calendar's retries come after 30, 60, 120, 240, 300, 300 … s.
      more     = " AND jsonPayload.runs>=10"
      labels   = ["calendar", "reason"]
      severity = "WARNING"
      runbook  = <<-EOT
        One calendar fails run after run, so its changes wait. Nothing is lost: its one retry comes every five minutes.
        `calendar` is a digest; GET /calendars shows `failing` with the reason, and since when.

        1. A provider or Calendar is down: `reason` names it; wait, other calendars show the same.
        2. A limit (429, quota): see docs/access.md, quotas, and the provider's `calls_per_second`.
        3. Only this calendar, and no outage: keep the log of a run (severity>=WARNING) and report it.
      EOT
    }
    "not our fault to heal" = {
      wanted   = true
      messages = ["notification not enqueued", "request failed", "channel keys not read anew"]
      more     = " AND severity>=ERROR" # keys that are not read anew are a warning as long as the old ones serve
      labels   = ["reason"]
      severity = "WARNING"
      runbook  = <<-EOT
        Cloud Tasks, Firestore or Secret Manager did not answer, or a secret is missing; `reason` says which. Calendar
        repeats a notification that was answered 503, and maintain catches up what is missed within hours. If it goes on:
        check https://status.cloud.google.com, then the permissions in docs/operate.md.
      EOT
    }
    "add-on creation fails" = {
      wanted   = local.addon
      messages = ["add-on creation failed"]
      labels   = ["provider", "reason"]
      severity = "ERROR"
      runbook  = <<-EOT
        Somebody chose a conference in Calendar and got none. `provider` and `reason` say what refused. The person was told
        to try again; a repetition makes no second conference.

        1. A provider that is down or limits us: wait, its own alert comes with it.
        2. A provider that refuses a user: give that user a licence there, or set `host` in its entry.
        3. 403 of Calendar: the client id of create-conference (output `calendar_identities`) is not authorised in the
           Workspace console; docs/access.md, delegation.
      EOT
    }
  }
}

resource "google_monitoring_alert_policy" "log" {
  for_each = { for name, alert in local.log_alerts : name => alert if alert.wanted }

  project      = var.project
  display_name = "${var.name}: ${each.key}"
  combiner     = "OR"
  severity     = each.value.severity
  enabled      = !contains(var.muted_alerts, each.key)

  conditions {
    display_name = each.key
    condition_matched_log {
      filter           = local.filter[each.key]
      label_extractors = { for label in each.value.labels : label => "EXTRACT(jsonPayload.${label})" }
    }
  }

  alert_strategy {
    auto_close = "86400s"
    notification_rate_limit {
      period = "900s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = each.value.runbook
  }
  notification_channels = local.notified

  depends_on = [google_project_service.main]
}

locals {
  notified = concat(var.notification_channels, google_monitoring_notification_channel.email[*].id)
}

# PromQL: such an alert may be created before its metric has a first point.
resource "google_monitoring_alert_policy" "channels" {
  project      = var.project
  display_name = "${var.name}: channels expire"
  combiner     = "OR"
  severity     = "ERROR"
  enabled      = !contains(var.muted_alerts, "channels expire")

  conditions {
    display_name = "channels near expiry, or not renewed"
    condition_prometheus_query_language {
      query                     = "(${local.level.channels_due} > 0) or (${local.level.channels_refused} > 0)"
      duration                  = "3600s"
      evaluation_interval       = "300s"
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      Channels were not renewed in two calls of maintain. When one expires its calendar rings no more; it is still synced
      every SYNC_RECONCILE_SECONDS, so changes come late, but none is lost.

      1. Log: message "channel not renewed"; its `reason` is Calendar's.
      2. Refused address or certificate: compare SYNC_NOTIFICATION_URL with output `urls`.
      3. rateLimitExceeded, quotaExceeded: wait; ask for quota in the console if it comes back.
      4. maintain does not run: see the alert "maintain missing".
    EOT
  }
  notification_channels = local.notified

  depends_on = [google_logging_metric.value]
}

resource "google_monitoring_alert_policy" "addon_refused" {
  count = local.addon ? 1 : 0

  project      = var.project
  display_name = "${var.name}: add-on tokens refused"
  combiner     = "OR"
  severity     = "WARNING"
  enabled      = !contains(var.muted_alerts, "add-on tokens refused")

  conditions {
    # 20 an hour: a person with a wrong account tries twice or thrice, so this is a wrong setting or an attack.
    display_name = "more than 20 tokens refused in an hour"
    condition_prometheus_query_language {
      query                     = "sum(increase(${local.promql.addon_refused}${local.sample}[1h])) > 20"
      duration                  = "0s"
      evaluation_interval       = "300s"
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      create-conference refuses the tokens that it is shown. A refused call costs nothing and creates nothing.

      1. Metric ${local.metric_prefix}addon_refused, by `reason`: an audience or a domain that is ours is missing in
         addon_audiences or addon_domains.
      2. The add-on was published anew under another script project: its OAuth client id changed; add it.
      3. Neither: somebody tries to get in. Nothing is to be done, unless the calls cost too many instances
         (instances.max_create).
    EOT
  }
  notification_channels = local.notified

  depends_on = [google_logging_metric.counter]
}

# The service level objective on the lag: which share of runs brought their changes to the conference in time.
resource "google_monitoring_custom_service" "main" {
  project      = var.project
  service_id   = var.name
  display_name = var.name

  depends_on = [google_project_service.main]
}

resource "google_monitoring_slo" "lag" {
  project             = var.project
  service             = google_monitoring_custom_service.main.service_id
  slo_id              = "lag"
  display_name        = "${var.lag_objective.goal * 100} % of runs finish within ${var.lag_objective.seconds} s after the change"
  goal                = var.lag_objective.goal
  rolling_period_days = 28 # four weeks, so that each holds as many weekends

  request_based_sli {
    distribution_cut {
      distribution_filter = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.value["lag"].name}\" resource.type=\"cloud_run_revision\""
      range {
        min = 0
        max = var.lag_objective.seconds
      }
    }
  }

  # A metric is known to Monitoring some minutes after it was made; building the functions takes longer.
  depends_on = [google_cloudfunctions2_function.main]
}

resource "google_monitoring_alert_policy" "burn" {
  project      = var.project
  display_name = "${var.name}: lag objective burns"
  combiner     = "OR"
  severity     = "WARNING"
  enabled      = !contains(var.muted_alerts, "lag objective burns")

  # How fast the allowance of late runs is used up, as a multiple of the rate that would use it up in 28 days. 14.4 for an
  # hour is 2 % of the allowance, 6 for six hours are 5 %. https://sre.google/workbook/alerting-on-slos/
  dynamic "conditions" {
    for_each = { "1 hour" = { window = "3600s", rate = 14.4 }, "6 hours" = { window = "21600s", rate = 6 } }
    content {
      display_name = "burns ${conditions.value.rate} times too fast for ${conditions.key}"
      condition_threshold {
        filter          = "select_slo_burn_rate(\"${google_monitoring_slo.lag.name}\", \"${conditions.value.window}\")"
        comparison      = "COMPARISON_GT"
        threshold_value = conditions.value.rate
        duration        = "0s"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      Too many changes reach their conference late (lag_objective). In a small installation a few late runs suffice.

      1. Dashboard, "Tasks waiting" and "Task attempts by answer": see the alert "queue age".
      2. "Provider calls by outcome": a provider that fails or limits us delays its own events.
      3. "Notifications by answer" at nought: Calendar does not ring, and calendars are only synced at intervals; see the
         alert "no notification for a day".
    EOT
  }
  notification_channels = local.notified
}

resource "google_monitoring_alert_policy" "queue" {
  project      = var.project
  display_name = "${var.name}: queue age"
  combiner     = "OR"
  severity     = "WARNING"
  enabled      = !contains(var.muted_alerts, "queue age")

  conditions {
    display_name = "tasks start more than 5 minutes late"
    condition_threshold {
      filter          = "metric.type=\"cloudtasks.googleapis.com/queue/task_attempt_delays\" AND ${local.queue_filter}"
      comparison      = "COMPARISON_GT"
      threshold_value = 300000 # ms, the longest pause between two tries (queue.tf)
      duration        = "600s"
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_PERCENTILE_95"
      }
    }
  }
  conditions {
    display_name = "more than 1,000 tasks wait for an hour"
    condition_threshold {
      filter          = "metric.type=\"cloudtasks.googleapis.com/queue/depth\" AND ${local.queue_filter}"
      comparison      = "COMPARISON_GT"
      threshold_value = 1000
      duration        = "3600s"
      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_MIN"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      Changes wait before they are applied. Nothing is lost: a task is kept for 31 days.

      1. Paused? gcloud tasks queues describe QUEUE --location REGION; resume, or var.queue.paused.
      2. Dashboard, "Task attempts by answer": 500 means a provider or Calendar is down (log: message "run failed"); 429
         that the worker has too few instances (instances.max_sync); 403 that the task account may not call it.
      3. 200 only, and many: a great change. Raise queue.max_dispatches_per_second if the providers bear it.
    EOT
  }
  notification_channels = local.notified

  depends_on = [google_project_service.main]
}

resource "google_monitoring_alert_policy" "errors" {
  project      = var.project
  display_name = "${var.name}: function errors"
  combiner     = "OR"
  severity     = "ERROR"
  enabled      = !contains(var.muted_alerts, "function errors")

  conditions {
    display_name = "a fifth of a function's requests fail for 15 minutes"
    condition_threshold {
      filter             = "${local.all_requests} AND metric.labels.response_code_class=\"5xx\""
      denominator_filter = local.all_requests
      comparison         = "COMPARISON_GT"
      threshold_value    = 0.2
      duration           = "900s"
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["resource.label.service_name"]
      }
      denominator_aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["resource.label.service_name"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      A function answers 5xx. The service's name is in the incident.

      - receive-notification: no task could be created; Calendar rings again, maintain catches up the rest.
      - sync-calendar: a provider or Calendar does not answer (message "run failed"), or the function crashes (Error
        Reporting has the stack). The queue brings every task again.
      - all of them since a deployment: docs/operate.md, rollback.
      - "configuration:" in the log: the sentence names the variable and the mend.
    EOT
  }
  notification_channels = local.notified

  depends_on = [google_project_service.main]
}

locals {
  all_requests = join(" AND ", [
    "metric.type=\"run.googleapis.com/request_count\"",
    "resource.type=\"cloud_run_revision\"",
    "resource.labels.service_name=one_of(${join(",", [for service in values(local.service) : "\"${service}\""])})",
  ])

  # Alerts on silence: successful requests to a function that should come, and how long none may.
  silences = {
    "no notification for a day" = {
      function = "receive-notification"
      seconds  = 84600 # 23.5 hours, the longest that Monitoring looks back
      runbook  = <<-EOT
        Calendar has not rung for a day. A quiet weekend in a small installation is no fault: then mute this alert
        (muted_alerts). Else:

        1. Change an event of a watched calendar. If receive-notification's log shows a request within a minute, all is well.
        2. Requests answered 403: the channel key was replaced instead of added to (docs/operate.md, rotate the channel key).
        3. No request: GET /calendars shows `channel: null` or an expiry in the past: log of maintain.
        4. Until mended, calendars are synced every SYNC_RECONCILE_SECONDS.
      EOT
    }
    "maintain missing" = {
      function = "maintain"
      seconds  = 10800
      runbook  = <<-EOT
        maintain has not succeeded for three hours: channels are not renewed, nothing is caught up or retried.

        1. gcloud scheduler jobs describe NAME-maintain --location REGION: paused, or its last attempt's status.
        2. 403: the scheduler's account lost run.invoker. 500: log, message "run failed". 504: too many calendars
           for one call; it goes on at the next.
        3. gcloud scheduler jobs run NAME-maintain --location REGION
      EOT
    }
  }
}

resource "google_monitoring_alert_policy" "silence" {
  for_each = local.silences

  project      = var.project
  display_name = "${var.name}: ${each.key}"
  combiner     = "OR"
  severity     = "WARNING"
  enabled      = !contains(var.muted_alerts, each.key)

  conditions {
    display_name = each.key
    condition_absent {
      filter   = "${local.requests_filter[each.value.function]} AND metric.labels.response_code_class=\"2xx\""
      duration = "${each.value.seconds}s"
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = each.value.runbook
  }
  notification_channels = local.notified

  depends_on = [google_project_service.main]
}

# What the whole project costs, against what it may cost.
resource "google_billing_budget" "main" {
  count = var.budget == null ? 0 : 1

  billing_account = var.budget.billing_account
  display_name    = "${var.name}: cost of a month"

  budget_filter {
    projects        = ["projects/${data.google_project.main.number}"]
    calendar_period = "MONTH"
  }

  amount {
    specified_amount {
      units = tostring(var.budget.amount)
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1]
    content {
      threshold_percent = threshold_rules.value
    }
  }

  all_updates_rule {
    # A budget takes five channels at most.
    monitoring_notification_channels = slice(local.notified, 0, min(5, length(local.notified)))
    disable_default_iam_recipients   = length(local.notified) > 0
  }

  depends_on = [google_project_service.main]
}
