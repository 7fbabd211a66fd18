"""Beginnings to copy. Nothing of the project needs them."""
