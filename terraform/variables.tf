# Five to fill in: project, region, conferencing_providers, operators, alert_email. The others have defaults, which also
# apply where a caller of the module passes null.

variable "addon_audiences" {
  description = <<-EOT
    OAuth client ids of the add-ons whose users may have conferences created. Empty: the function create-conference is
    not deployed.
  EOT
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for audience in var.addon_audiences : can(regex("^[^[:space:]]+$", audience))])
    error_message = "An audience is an OAuth client id, such as 1234-abc.apps.googleusercontent.com, without blanks."
  }
  validation {
    condition     = length(var.addon_audiences) == 0 || length(var.addon_domains) > 0
    error_message = "Name the domains of the add-on's users in addon_domains, or every token is refused."
  }
  validation {
    condition     = length(var.addon_audiences) == 0 || var.delegation
    error_message = "create-conference acts as the add-on's users, which needs delegation = true."
  }
}

variable "addon_domains" {
  description = "Workspace domains whose users may use the add-on, such as example.com."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for domain in var.addon_domains : can(regex("^[a-z0-9-]+([.][a-z0-9-]+)+$", domain))])
    error_message = "A domain is a name such as example.com, in lower case."
  }
}

variable "adopt_seconds" {
  description = "After so many seconds a conference that the add-on created and no event carries is deleted; null: the code's default."
  type        = number
  default     = null
}

variable "alert_email" {
  description = "Address that alerts are sent to; null: alerts show in the console only. See also notification_channels."
  type        = string
  default     = null
}

variable "allowed_subject_domains" {
  description = <<-EOT
    Domains of the users as whom calendars may be started ({"subject": …}). Empty: every domain that an administrator
    has authorised for delegation.
  EOT
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for domain in var.allowed_subject_domains : can(regex("^[a-z0-9-]+([.][a-z0-9-]+)+$", domain))])
    error_message = "A domain is a name such as example.com, in lower case."
  }
}

variable "backup_days" {
  description = <<-EOT
    Days that a daily backup of the database is kept, at most 98 (Firestore's fourteen weeks). 0: no backups, for a database
    that somebody else backs up, since Firestore takes one daily schedule for each database.
  EOT
  type        = number
  default     = 14
  nullable    = false

  validation {
    condition     = contains(range(99), var.backup_days)
    error_message = "A whole number of days from 0 to 98."
  }
}

variable "budget" {
  description = <<-EOT
    Tells the alerts' addressees when the project's cost of a month reaches 50, 90 and 100 % of `amount`, in whole units
    of the billing account's currency. Needs the right to set budgets on that account. null: no budget.
  EOT
  type = object({
    billing_account = string
    amount          = number
  })
  default = null

  validation {
    condition     = var.budget == null || (can(regex("^[0-9A-F]{6}(-[0-9A-F]{6}){2}$", var.budget.billing_account)) && try(var.budget.amount >= 1 && floor(var.budget.amount) == var.budget.amount, false))
    error_message = "billing_account has the form 012345-ABCDEF-678901, and amount is a whole number from 1."
  }
}

variable "calendar_secrets" {
  description = <<-EOT
    Secrets to create for users' own OAuth tokens, one name each. Calendars started with
    {"credentials_secret": "projects/PROJECT/secrets/NAME-calendar-ITEM"} use them. The values are added with gcloud.
  EOT
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for item in var.calendar_secrets : can(regex("^[a-z0-9-]{1,60}$", item))])
    error_message = "Each item is 1 to 60 lower-case letters, digits or hyphens."
  }
}

variable "channel_key_version" {
  description = "Raise it to store a fresh random channel key. Never to rotate a key in use: see docs/operate.md."
  type        = number
  default     = 1
  nullable    = false
}

variable "conferencing_providers" {
  description = <<-EOT
    Conferencing systems, in the order in which they are matched: SYNC_PROVIDERS without "secret". For each system a
    secret called NAME-PROVIDER is created. Meanings, and what may be left out: docs/providers.md.
  EOT
  type = list(object({
    name = string
    type = string

    # How its conferences are recognised, and whose may be followed.
    solutions = optional(list(string), [])
    uris      = optional(list(string), [])
    hosts     = optional(list(string), [])

    # How it is reached. The rate is for one instance.
    base_url         = optional(string)
    token_url        = optional(string)
    calls_per_second = optional(number)

    # Options of zoom, webex and teams: local.provider_options says whose.
    all_day                = optional(bool)
    host                   = optional(string)
    mail                   = optional(bool)
    max_occurrences        = optional(number)
    site_url               = optional(string)
    time_zone              = optional(string)
    unsupported_recurrence = optional(string)

    # What an adapter of one's own reads, as JSON: jsonencode({...}).
    options = optional(string, "{}")
  }))
  nullable = false

  validation {
    condition     = length(var.conferencing_providers) > 0
    error_message = "Name at least one conferencing system; without one there is nothing to keep in step."
  }
  validation {
    condition = alltrue(concat(
      [length(distinct(var.conferencing_providers[*].name)) == length(var.conferencing_providers)],
      [for provider in var.conferencing_providers : can(regex("^[A-Za-z0-9_-]{1,40}$", provider.name))],
      [for provider in var.conferencing_providers : provider.name != "channel-key" && !startswith(provider.name, "calendar-")],
    ))
    error_message = "Each provider needs a name of its own, 1 to 40 letters, digits, - or _, neither channel-key nor calendar-…"
  }
  validation {
    condition     = alltrue([for provider in var.conferencing_providers : length(provider.solutions) + length(provider.uris) > 0])
    error_message = "Each provider needs solutions or uris, or no event will ever match."
  }
  validation {
    condition     = alltrue([for provider in var.conferencing_providers : can(keys(jsondecode(provider.options)))])
    error_message = "options is a JSON object: jsonencode({...})."
  }
  validation {
    condition = alltrue(flatten([for provider in var.conferencing_providers : [
      for option, value in merge(provider, try(jsondecode(provider.options), {})) :
      contains(concat(local.provider_common, local.provider_options[provider.type]), option)
      if try(value != null && value != "{}" && length(value) > 0, value != null)
    ] if contains(keys(local.provider_options), provider.type)]))
    error_message = "A provider has an option that its type does not know: local.provider_options in functions.tf lists them."
  }
}

variable "delegation" {
  description = <<-EOT
    Whether calendars may be started with {"subject": "user@example.com"}: domain-wide delegation without a key file.
    Lets each function that uses Calendar sign as itself. A Workspace administrator must then authorise it.
  EOT
  type        = bool
  default     = true
  nullable    = false
}

variable "extra_requirements" {
  description = <<-EOT
    Python packages that adapters of one's own need: lines as pip takes them, added to requirements.txt, such as
    "acme-rooms==1.2.0". Where requirements.txt has hashes, each line needs --hash too.
  EOT
  type        = list(string)
  default     = []
  nullable    = false
}

variable "extra_sources" {
  description = <<-EOT
    Files of adapters of one's own, shipped beside main.py: path in the archive → local file, such as
    { "acme_rooms.py" = "adapters/acme_rooms.py" }. The provider's type then is "acme_rooms:AcmeRooms".
  EOT
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = alltrue([for path in keys(var.extra_sources) :
      can(regex("^[A-Za-z0-9_][A-Za-z0-9_./-]*$", path)) && !strcontains(path, "..") && !startswith(path, "sync/") && !contains(["main.py", "requirements.txt", "sync.py"], path)
    ])
    error_message = "Paths in the archive are relative, and none of them replaces a file of this project."
  }
  validation {
    condition     = alltrue([for file in values(var.extra_sources) : fileexists(file)])
    error_message = "Each of extra_sources names a file that exists; write \"$${path.module}/file.py\" for one beside the calling root."
  }
}

variable "firestore" {
  description = <<-EOT
    The database: its id, its location (null: the region), and whether to create it. The project's first database, or
    (default), is the one with a free quota. With create = false it must exist, in Native mode.
  EOT
  type = object({
    database = optional(string, "(default)")
    location = optional(string)
    create   = optional(bool, true)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.firestore.database == "(default)" || can(regex("^[a-z][a-z0-9-]{2,61}[a-z0-9]$", var.firestore.database))
    error_message = "The database is (default), or 4 to 63 lower-case letters, digits and hyphens, a letter first."
  }
}

variable "iam_settle_seconds" {
  description = "Seconds between granting the build account its roles and the first build; IAM needs about a minute."
  type        = number
  default     = 60
  nullable    = false
}

variable "instances" {
  description = <<-EOT
    Most instances of each function, and how many of receive, sync and create stay warm (sizes for more calendars:
    docs/scale.md; cost: docs/cost.md). The queue sends at most max_sync times the worker's concurrency at once.
  EOT
  type = object({
    # 5 × 80 at once: 400 notifications that each wait for Cloud Tasks. A flood costs no more than five instances.
    max_receive = optional(number, 5)
    # 10 × 8 at once: with 0.8 s a run (a listing and a call to a provider) 100 runs a second, twice the queue's rate, so
    # that a provider may take twice as long before the rate suffers.
    max_sync = optional(number, 10)
    # People and their scripts call it, 8 at once each.
    max_manage = optional(number, 3)
    # 5 × 8 at once: with some seconds a pick, ten people a second choose a conference.
    max_create = optional(number, 5)
    # 0: an idle installation costs nothing, and a cold start of two to four seconds delays the first change.
    min_receive = optional(number, 0)
    min_sync    = optional(number, 0)
    min_create  = optional(number, 0)
  })
  default  = {}
  nullable = false

  validation {
    condition = var.instances.max_manage >= 1 && alltrue([
      for bounds in [
        [var.instances.min_receive, var.instances.max_receive],
        [var.instances.min_sync, var.instances.max_sync],
        [var.instances.min_create, var.instances.max_create],
      ] : bounds[0] >= 0 && bounds[1] >= 1 && bounds[0] <= bounds[1]
    ])
    error_message = "Every maximum is at least 1, and every minimum from 0 to its maximum."
  }
}

variable "invoker_check" {
  description = <<-EOT
    How the public functions are made public. true: by the role run.invoker for allUsers. false: for organisations whose
    policy (iam.allowedPolicyMemberDomains) forbids allUsers. Each public function then runs as a Cloud Run service of its
    own without the invoker check.
  EOT
  type        = bool
  default     = true
  nullable    = false
}

variable "labels" {
  description = "Labels for everything that takes them, besides application = NAME."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "lag_objective" {
  description = <<-EOT
    The service level objective: the share `goal` of runs finishes within `seconds` after the change in Calendar,
    counted over 28 days. The lag is counted in powers of two, so 64 s is the number next to a minute.
  EOT
  type = object({
    goal    = optional(number, 0.99)
    seconds = optional(number, 64)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.lag_objective.goal > 0 && var.lag_objective.goal < 1 && var.lag_objective.seconds > 0
    error_message = "goal is a share between 0 and 1, and seconds is above 0."
  }
}

variable "manage_ingress" {
  description = <<-EOT
    Where manage-calendars can be reached from: ALLOW_ALL (operators' machines; IAM still decides who may call) or
    ALLOW_INTERNAL_ONLY (the project's own networks).
  EOT
  type        = string
  default     = "ALLOW_ALL"
  nullable    = false

  validation {
    condition     = contains(["ALLOW_ALL", "ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB"], var.manage_ingress)
    error_message = "One of ALLOW_ALL, ALLOW_INTERNAL_ONLY, ALLOW_INTERNAL_AND_GCLB."
  }
}

variable "muted_alerts" {
  description = "Alerts to switch off, by the name after the colon, such as \"no notification for a day\"."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "name" {
  description = "What every resource's name begins with; another one makes a second installation in the same project."
  type        = string
  default     = "conference-sync"
  nullable    = false

  validation {
    # 16: service account ids have at most 30 characters, and a function's address fits into one DNS label of 63.
    condition     = can(regex("^[a-z][a-z0-9-]{1,14}[a-z0-9]$", var.name))
    error_message = "3 to 16 lower-case letters, digits and hyphens, a letter first, no hyphen last."
  }
}

variable "notification_channels" {
  description = "Existing monitoring notification channels to alert, besides alert_email: projects/P/notificationChannels/N."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "operators" {
  description = <<-EOT
    Who may call manage-calendars, work with the queue, and see logs and dashboard: IAM members such as
    user:ann@example.com, group:…, serviceAccount:…
  EOT
  type        = set(string)
  nullable    = false

  validation {
    condition = alltrue([
      for member in var.operators :
      can(regex("^(user|group|serviceAccount|domain|principal|principalSet):.+", member))
    ])
    error_message = "Operators are IAM members such as user:ann@example.com; never allUsers or allAuthenticatedUsers."
  }
}

variable "project" {
  description = "Id of the Google Cloud project, with billing enabled."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "The project's id, not its number or its display name."
  }
}

variable "protect_data" {
  description = <<-EOT
    Guards the database: it cannot be deleted, and terraform destroy leaves it where it is. Set it to false and apply
    before a teardown that takes the data along.
  EOT
  type        = bool
  default     = true
  nullable    = false
}

variable "public_ingress" {
  description = <<-EOT
    Where the public functions can be reached from: ALLOW_ALL, or ALLOW_INTERNAL_AND_GCLB behind a load balancer of your
    own (docs/deploy.md), whose addresses then are in public_urls.
  EOT
  type        = string
  default     = "ALLOW_ALL"
  nullable    = false

  validation {
    condition     = contains(["ALLOW_ALL", "ALLOW_INTERNAL_AND_GCLB"], var.public_ingress)
    error_message = "One of ALLOW_ALL, ALLOW_INTERNAL_AND_GCLB."
  }
  validation {
    condition     = var.public_ingress == "ALLOW_ALL" || contains(keys(var.public_urls), "receive-notification")
    error_message = "Behind a load balancer Calendar needs its address: public_urls = { receive-notification = \"https://…\" }."
  }
}

variable "public_urls" {
  description = <<-EOT
    Addresses at which a load balancer of your own serves the public functions, by function (receive-notification,
    create-conference), such as https://sync.example.com/receive-notification.
  EOT
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = alltrue([for function, url in var.public_urls :
      contains(["receive-notification", "create-conference"], function) && startswith(url, "https://")
    ])
    error_message = "The keys are receive-notification and create-conference, the values https addresses."
  }
}

variable "queue" {
  description = <<-EOT
    The queue: paused (the kill switch: nothing runs, nothing is lost), its highest rate in tasks a second (1 to 500,
    bounded by what the slowest conferencing system takes), and which share of its operations is logged (0 to 1).
  EOT
  type = object({
    paused = optional(bool, false)
    # 50 runs a second are the busiest hour of 20,000 calendars, and 3,000 calls of Calendar a minute: a third of a
    # project's quota, which leaves room for what else the project asks. Sizes for more: docs/scale.md.
    max_dispatches_per_second = optional(number, 50)
    # A tenth of the records shows how a queue fares, at a tenth of the price.
    logged = optional(number, 0.1)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.queue.max_dispatches_per_second > 0 && var.queue.max_dispatches_per_second <= 500
    error_message = "max_dispatches_per_second is above 0 and at most 500."
  }
  validation {
    condition     = var.queue.logged >= 0 && var.queue.logged <= 1
    error_message = "logged is a share from 0 to 1."
  }
}

variable "region" {
  description = "Region of the functions, the queue and the schedule, such as europe-west1. It cannot be changed later."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "A region such as europe-west1; no zone and no multi-region."
  }
}

variable "runtime" {
  description = "Python runtime of the functions; the code needs 3.11 or newer."
  type        = string
  # 3.13 is supported to October 2029, and is the last that installs requirements.txt with pip: 3.14 takes uv.
  default  = "python313"
  nullable = false

  validation {
    condition     = contains(["python311", "python312", "python313", "python314"], var.runtime)
    error_message = "One of python311, python312, python313, python314."
  }
}

variable "secret_values" {
  description = <<-EOT
    Values of secrets named in secret_versions, by provider: ephemeral, never in plan or state. Give them as
    TF_VAR_secret_values, not in a file that stays.
  EOT
  type        = map(string)
  default     = {}
  ephemeral   = true
  sensitive   = true
  nullable    = false
}

variable "secret_versions" {
  description = <<-EOT
    Providers whose secret values Terraform writes, and a number for each: a raised number stores the value anew.
    Leave a provider out to add its value with gcloud. Not for webex, which replaces its own value.
  EOT
  type        = map(number)
  default     = {}
  nullable    = false

  validation {
    condition = alltrue([
      for name in keys(var.secret_versions) :
      contains([for provider in var.conferencing_providers : provider.name if provider.type != "webex"], name)
    ])
    error_message = "secret_versions may name configured providers, but no webex one: the functions replace that secret themselves."
  }
}

variable "settings" {
  description = <<-EOT
    How the sync behaves: the SYNC_ variables of the same names (docs/settings.md). What is left out keeps the code's
    default.
  EOT
  type = object({
    channel_ttl_seconds  = optional(number)
    coalesce_seconds     = optional(number)
    concurrency          = optional(number)
    delete_grace_seconds = optional(number)
    max_attempts         = optional(number)
    reconcile_seconds    = optional(number)
    retry_seconds        = optional(number)
    window_days          = optional(number)
  })
  default  = {}
  nullable = false
}

variable "trace_url" {
  description = <<-EOT
    OTLP endpoint for spans of notifications, runs and provider calls. Google's own is
    https://telemetry.googleapis.com/v1/traces, which shows them as Cloud Trace. null: none are made.
  EOT
  type        = string
  default     = null

  validation {
    condition     = can(regex("^https://[^/]+/", coalesce(var.trace_url, "https://none/")))
    error_message = "trace_url must be an https address with a path, such as https://telemetry.googleapis.com/v1/traces."
  }
}
