# The five to fill in: project, region, conferencing_providers, operators, alert_email. The others have defaults.

variable "alert_email" {
  description = "Address that alerts are sent to; null: alerts show in the console only. See also notification_channels."
  type        = string
  default     = null
}

variable "calendar_secrets" {
  description = <<-EOT
    Secrets to create for users' own OAuth tokens, one name each. Calendars started with
    {"credentials_secret": "projects/PROJECT/secrets/NAME-calendar-ITEM"} use them. The values are added with gcloud.
  EOT
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for item in var.calendar_secrets : can(regex("^[a-z0-9-]{1,60}$", item))])
    error_message = "Each item is 1 to 60 lower-case letters, digits or hyphens."
  }
}

variable "channel_key_version" {
  description = "Raise it to store a fresh random channel key. Never to rotate a key in use: see docs/operate.md."
  type        = number
  default     = 1
}

variable "conferencing_providers" {
  description = <<-EOT
    Conferencing systems, in the order in which they are matched: what SYNC_PROVIDERS holds, without "secret".
    For each one a secret called NAME-PROVIDER is created. `options` are further words of that provider's type.
  EOT
  type = list(object({
    name      = string
    type      = string
    solutions = optional(list(string), [])
    uris      = optional(list(string), [])
    base_url  = optional(string)
    token_url = optional(string)
    options   = optional(map(string), {})
  }))

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
}

variable "delegation" {
  description = <<-EOT
    Whether calendars may be started with {"subject": "user@example.com"}: domain-wide delegation without a key file.
    Lets each function that uses Calendar sign as itself. A Workspace administrator must then authorise it.
  EOT
  type        = bool
  default     = true
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
  default = {}

  validation {
    condition     = var.firestore.database == "(default)" || can(regex("^[a-z][a-z0-9-]{2,61}[a-z0-9]$", var.firestore.database))
    error_message = "The database is (default), or 4 to 63 lower-case letters, digits and hyphens, a letter first."
  }
}

variable "iam_settle_seconds" {
  description = "Seconds between granting the build account its roles and the first build; IAM needs about a minute."
  type        = number
  default     = 60
}

variable "instances" {
  description = <<-EOT
    Most instances of each function, and how many of receive and sync stay warm (cost: see docs/cost.md).
    The queue sends at most max_sync times the worker's concurrency at once.
  EOT
  type = object({
    max_receive = optional(number, 5)
    max_sync    = optional(number, 10)
    max_manage  = optional(number, 3)
    min_receive = optional(number, 0)
    min_sync    = optional(number, 0)
  })
  default = {}

  validation {
    condition = alltrue([
      var.instances.max_receive >= 1, var.instances.max_sync >= 1, var.instances.max_manage >= 1,
      var.instances.min_receive >= 0, var.instances.min_receive <= var.instances.max_receive,
      var.instances.min_sync >= 0, var.instances.min_sync <= var.instances.max_sync,
    ])
    error_message = "Every maximum is at least 1, and every minimum from 0 to its maximum."
  }
}

variable "labels" {
  description = "Labels for everything that takes them, besides application = NAME."
  type        = map(string)
  default     = {}
}

variable "manage_ingress" {
  description = <<-EOT
    Where manage-calendars can be reached from: ALLOW_ALL (operators' machines; IAM still decides who may call) or
    ALLOW_INTERNAL_ONLY (the project's own networks).
  EOT
  type        = string
  default     = "ALLOW_ALL"

  validation {
    condition     = contains(["ALLOW_ALL", "ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB"], var.manage_ingress)
    error_message = "One of ALLOW_ALL, ALLOW_INTERNAL_ONLY, ALLOW_INTERNAL_AND_GCLB."
  }
}

variable "muted_alerts" {
  description = "Alerts to switch off, by the name after the colon, such as \"no notification for a day\"."
  type        = set(string)
  default     = []
}

variable "name" {
  description = "What every resource's name begins with; another one makes a second installation in the same project."
  type        = string
  default     = "conference-sync"

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
}

variable "operators" {
  description = "Who may call manage-calendars: IAM members such as user:ann@example.com, group:…, serviceAccount:…"
  type        = set(string)

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
}

variable "queue" {
  description = <<-EOT
    The queue: paused (the kill switch: nothing runs, nothing is lost), its highest rate in tasks a second (1 to 500,
    bounded by what the slowest conferencing system takes), and which share of its operations is logged (0 to 1).
  EOT
  type = object({
    paused                    = optional(bool, false)
    max_dispatches_per_second = optional(number, 50)
    logged                    = optional(number, 0.1)
  })
  default = {}

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
  description = "Region of the functions, the queue and the schedule, such as europe-west1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "A region such as europe-west1; no zone and no multi-region."
  }
}

variable "runtime" {
  description = "Python runtime of the functions; the code needs 3.11 or newer."
  type        = string
  # 3.13 is supported to October 2029, and the last one that installs requirements.txt with pip: 3.14 takes uv.
  default = "python313"

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
}

variable "secret_versions" {
  description = <<-EOT
    Providers whose secret values Terraform writes, and a number for each: a raised number stores the value anew.
    Leave a provider out to add its value with gcloud. Not for webex, which replaces its own value.
  EOT
  type        = map(number)
  default     = {}

  validation {
    condition = alltrue([
      for name in keys(var.secret_versions) :
      contains([for provider in var.conferencing_providers : provider.name if provider.type != "webex"], name)
    ])
    error_message = "secret_versions may name configured providers, but no webex one: the worker replaces that secret itself."
  }
}

variable "settings" {
  description = <<-EOT
    How the sync behaves; units are in the names, meanings in the settings table of the project's README. What is left
    out keeps the code's default.
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
  default = {}
}
