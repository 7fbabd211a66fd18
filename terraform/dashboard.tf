# The dashboard: its first row answers "is every calendar in step?", the last says which is not, and why.

locals {
  # Nought is good, one is worth a look. 0.5, because the API leaves out values that are 0, and every plan would then show
  # a difference.
  red_above_nought = [{ value = 0.5, color = "RED", direction = "ABOVE" }]

  scorecards = [
    { title = "Calendars watched", query = local.level.calendars, thresholds = [] },
    { title = "Broken", query = local.level.broken, thresholds = local.red_above_nought },
    { title = "Not synced in time", query = local.level.stale, thresholds = local.red_above_nought },
    { title = "Polled (cannot be watched)", query = local.level.polled, thresholds = [] },
    { title = "Failures parked", query = local.level.parked, thresholds = local.red_above_nought },
    { title = "Channels near expiry", query = local.level.channels_due, thresholds = local.red_above_nought },
  ]

  # Charts of PromQL, and of Google's own metrics by filter; three in a row.
  charts = concat([
    {
      title = "From change to conference: seconds, median and 95th percentile"
      promql = { for quantile in ["0.5", "0.95"] : quantile =>
        "histogram_quantile(${quantile}, sum by (le) (increase(${local.promql.lag}_bucket${local.sample}[15m])))"
      }
      filters = {}
    },
    {
      title   = "Notifications by answer (204 taken, 403 refused, 503 not enqueued)"
      promql  = {}
      filters = { "$${metric.labels.response_code}" = { filter = local.requests_filter["receive-notification"], by = ["metric.label.response_code"] } }
    },
    {
      title   = "Task attempts by answer (409: another run has the calendar)"
      promql  = {}
      filters = { "$${metric.labels.response_code}" = { filter = "metric.type=\"cloudtasks.googleapis.com/queue/task_attempt_count\" AND ${local.queue_filter}", by = ["metric.label.response_code"] } }
    },
    {
      title   = "Runs by kind"
      promql  = { kind = "sum by (kind) (${local.count.runs})" }
      filters = {}
    },
    {
      title   = "Changes met; conferences created, updated, deleted"
      promql  = { for name in ["changes", "created", "updated", "deleted"] : name => local.total[name] }
      filters = {}
    },
    {
      title = "Provider calls by outcome"
      promql = {
        outcome = "sum by (provider, outcome) (${local.count.provider_calls})"
      }
      filters = {}
    },
    {
      title = "Failures: runs, events, calendars, notifications, tasks"
      promql = { for name in [
        "runs_failed", "events_retried", "events_parked", "became_broken", "refused", "not_enqueued", "tasks_dropped",
        ] : name =>
        "sum(${local.count[name]})"
      }
      filters = {}
    },
    {
      title   = "Tasks waiting"
      promql  = {}
      filters = { depth = { filter = "metric.type=\"cloudtasks.googleapis.com/queue/depth\" AND ${local.queue_filter}", by = [] } }
    },
    {
      title   = "Requests failing (5xx) by function"
      promql  = {}
      filters = { "$${resource.labels.service_name}" = { filter = "${local.all_requests} AND metric.labels.response_code_class=\"5xx\"", by = ["resource.label.service_name"] } }
    },
    ], local.addon ? [
    {
      title   = "Add-on: conferences created, by provider and outcome"
      promql  = { outcome = "sum by (provider, outcome) (${local.count.addon_created})" }
      filters = {}
    },
    {
      title = "Add-on: seconds that a person waited, median and 95th percentile"
      promql = { for quantile in ["0.5", "0.95"] : quantile =>
        "histogram_quantile(${quantile}, sum by (le) (increase(${local.promql.addon_seconds}_bucket${local.sample}[15m])))"
      }
      filters = {}
    },
    {
      title = "Add-on: tokens refused, creations failed"
      promql = { for name in ["addon_refused", "addon_failed"] : name =>
        "sum(${local.count[name]})"
      }
      filters = {}
    },
  ] : [])

  # Below the row of cards, two units high, and the charts, three units a row.
  dashboard_foot = 2 + 3 * ceil(length(local.charts) / 3)

  dashboard_tiles = concat(
    [for place, card in local.scorecards : {
      xPos   = 2 * place
      yPos   = 0
      width  = 2
      height = 2
      widget = {
        title = card.title
        scorecard = merge(
          { timeSeriesQuery = { prometheusQuery = card.query } },
          { for key, value in { thresholds = card.thresholds } : key => value if length(value) > 0 },
        )
      }
    }],
    [for place, chart in local.charts : {
      xPos   = 4 * (place % 3)
      yPos   = 2 + 3 * floor(place / 3)
      width  = 4
      height = 3
      widget = {
        title = chart.title
        xyChart = {
          dataSets = concat(
            [for legend, query in chart.promql : merge(
              { plotType = "LINE", timeSeriesQuery = { prometheusQuery = query } },
              # Queries by label name their series themselves.
              { for key, value in { legendTemplate = legend } : key => value if !startswith(query, "sum by (") },
            )],
            [for legend, source in chart.filters : {
              plotType       = "STACKED_BAR"
              legendTemplate = legend
              timeSeriesQuery = {
                timeSeriesFilter = {
                  filter = source.filter
                  aggregation = {
                    alignmentPeriod    = "300s"
                    perSeriesAligner   = strcontains(source.filter, "queue/depth") ? "ALIGN_MAX" : "ALIGN_DELTA"
                    crossSeriesReducer = "REDUCE_SUM"
                    groupByFields      = source.by
                  }
                }
              }
            }],
          )
        }
      }
    }],
    [{
      xPos   = 0
      yPos   = local.dashboard_foot
      width  = 9
      height = 5
      widget = {
        title = "Which and why: what needs a person"
        logsPanel = {
          filter        = "${local.log_filter} severity>=ERROR"
          resourceNames = ["projects/${var.project}"]
        }
      }
      }, {
      xPos   = 9
      yPos   = local.dashboard_foot
      width  = 3
      height = 5
      widget = {
        title = "How to read this"
        text = {
          format  = "MARKDOWN"
          content = <<-EOT
            All red cards at nought and the lag below a minute: every calendar is in step.

            The cards show what the hourly `maintain` last found. Not nought? The log beside names the calendar (a digest)
            and the reason; `GET /calendars?status=broken` and `GET /failures` name it in clear. What to do stands in each
            alert, and in docs/operate.md.
          EOT
        }
      }
    }],
  )
}

resource "google_monitoring_dashboard" "main" {
  project = var.project
  dashboard_json = jsonencode({
    displayName = "${var.name}: is every calendar in step?"
    mosaicLayout = {
      columns = 12
      # Places that are 0 are left out, as the API does.
      tiles = [for tile in local.dashboard_tiles : { for key, value in tile : key => value if value != 0 }]
    }
  })

  depends_on = [google_logging_metric.counter, google_logging_metric.value]
}
