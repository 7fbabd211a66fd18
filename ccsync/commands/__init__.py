"""The commands, a file for each command or group. A command returns its exit code."""
