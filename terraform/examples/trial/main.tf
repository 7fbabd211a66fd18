# A trial: the five variables that have no default, and the state in a file beside this one. Values: terraform.tfvars.

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
  type    = string
  default = null
}

variable "conferencing_providers" {
  # any: the module declares the type.
  type = any
}

provider "google" {
  project = var.project
  region  = var.region
}

module "conference_sync" {
  source = "../.."

  project                = var.project
  region                 = var.region
  operators              = var.operators
  alert_email            = var.alert_email
  conferencing_providers = var.conferencing_providers
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
