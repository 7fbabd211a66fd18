"""Adapters for Google's services; they know the nouns, not each other."""
