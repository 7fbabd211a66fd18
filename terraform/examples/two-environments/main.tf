# Two environments from one root: the module with for_each, a project for each, one state. Values: terraform.tfvars.
# An environment may leave out what both share.

variable "environments" {
  description = "What differs, by the environment's name."
  type = map(object({
    project       = string
    region        = string
    operators     = set(string)
    alert_email   = optional(string)
    paused        = optional(bool, false)
    invoker_check = optional(bool)
  }))
}

variable "conferencing_providers" {
  # any: the module declares the type.
  type = any
}

# The module names the project of everything that it makes, so one provider serves all environments.
provider "google" {}

module "conference_sync" {
  source   = "../.."
  for_each = var.environments

  project                = each.value.project
  region                 = each.value.region
  operators              = each.value.operators
  alert_email            = each.value.alert_email
  conferencing_providers = var.conferencing_providers
  invoker_check          = each.value.invoker_check
  labels                 = { environment = each.key }
  queue                  = { paused = each.value.paused }
}

output "calendar_identities" {
  description = "By environment: who uses Calendar."
  value       = { for name, environment in module.conference_sync : name => environment.calendar_identities }
}

output "secrets_to_fill" {
  description = "By environment: secrets whose value is still to be added, and how."
  value       = { for name, environment in module.conference_sync : name => environment.secrets_to_fill }
}

output "urls" {
  description = "By environment: addresses of the functions."
  value       = { for name, environment in module.conference_sync : name => environment.urls }
}
