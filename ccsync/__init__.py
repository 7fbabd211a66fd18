"""`ccsync`, the operators' command line: asks and orders `manage_calendars`, and gcloud.

A command reads its arguments, asks through a `Session`, and prints. From the outside in:

- `cli`: the root command and how errors end the program
- `commands/`: one file for each command or group
- `options`: the options that all commands share, and the values that they choose
- `session`: what one run shares: the target, one token, the server, the output
- `target`, `tokens`: where the functions are, and who asks
- `server`: the HTTP calls, with repetition, pages and errors
- `starting`, `following`: five hundred calendars side by side, and waiting for their syncs
- `finding`: an event by its link, or by its title and day
- `logs`: what the functions logged
- `advice`: what to do next about an explained event
- `gcloud`: everything that Google's own tool does for us
- `provider_entries`: the form of SYNC_PROVIDERS
- `output`, `progress`, `rows`: tables and JSON on stdout, progress on stderr, filters

It knows the functions by their HTTP interface alone and imports nothing of `sync`.
"""

# pyproject.toml and the functions say the same; `ccsync doctor` compares.
__version__ = "0.1.0"
