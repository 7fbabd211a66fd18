# Terraform and its providers. No provider block: this directory is a module, and examples/ holds the roots that call it.

terraform {
  # Write-only arguments and ephemeral values, which keep secrets out of the state, came with 1.11.
  required_version = ">= 1.11"

  required_providers {
    archive = {
      source  = "hashicorp/archive"
      version = "~> 2.7"
    }
    google = {
      source  = "hashicorp/google"
      version = "~> 8.0"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.7"
    }
  }
}
