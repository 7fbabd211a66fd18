# Production: the state in a bucket that others share, warm instances, an add-on, a budget. Values: terraform.tfvars.
#   terraform init -backend-config=bucket=PROJECT-terraform

terraform {
  backend "gcs" {
    prefix = "conference-sync"
  }
}

variable "project" {
  type = string
}

variable "region" {
  type = string
}

variable "operators" {
  type = set(string)
}

variable "alert_email" {
  type = string
}

variable "conferencing_providers" {
  # any: the module declares the type.
  type = any
}

variable "domain" {
  description = "The Workspace domain whose calendars are kept in step."
  type        = string
}

variable "addon_audiences" {
  description = "OAuth client ids of the add-on; empty: no add-on."
  type        = set(string)
  default     = []
}

variable "budget" {
  description = "Billing account, and the most that a month should cost in whole units of its currency; null: no budget."
  type = object({
    billing_account = string
    amount          = number
  })
  default = null
}

variable "secret_versions" {
  description = "Provider secrets that Terraform writes, and a number for each: raised, it stores the value anew."
  type        = map(number)
  default     = {}
}

variable "secret_values" {
  description = "Their values, in the environment: TF_VAR_secret_values."
  type        = map(string)
  default     = {}
  ephemeral   = true
  sensitive   = true
}

provider "google" {
  project = var.project
  region  = var.region

  # The budget's API charges its calls to a project, which a person's own credentials do not name.
  user_project_override = true
  billing_project       = var.project
}

module "conference_sync" {
  source = "../.."

  project                = var.project
  region                 = var.region
  operators              = var.operators
  alert_email            = var.alert_email
  conferencing_providers = var.conferencing_providers
  secret_versions        = var.secret_versions
  secret_values          = var.secret_values

  allowed_subject_domains = [var.domain]
  addon_audiences         = var.addon_audiences
  addon_domains           = [var.domain]
  budget                  = var.budget

  # One warm instance of each function that somebody waits for.
  instances = { min_sync = 1, min_create = 1 }
}

# The module's outputs, under the same names: `terraform output` and the documentation use them.

output "calendar_identities" {
  description = "Who uses Calendar: authorise these client ids for delegation, or share calendars with these addresses."
  value       = module.conference_sync.calendar_identities
}

output "commands" {
  description = "To paste into a shell."
  value       = module.conference_sync.commands
}

output "dashboard_url" {
  description = "Is every calendar in step?"
  value       = module.conference_sync.dashboard_url
}

output "queue" {
  description = "The queue's full name."
  value       = module.conference_sync.queue
}

output "secrets_to_fill" {
  description = "Secrets whose value is still to be added, and how."
  value       = module.conference_sync.secrets_to_fill
}

output "urls" {
  description = "Addresses of the functions."
  value       = module.conference_sync.urls
}
