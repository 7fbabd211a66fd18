"""One run for one calendar, in order."""
