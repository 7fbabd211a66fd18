"""Adapters for Google's services. They know the nouns, not each other."""
