"""Stand-ins that speak the services' protocols on loopback: real servers, real HTTP and gRPC, no
cloud.

`google_calendar` (Calendar API v3), `cloud_tasks` and `secret_manager` (gRPC), `conferencing` (a
system that implements the `rest` contract), `zoom`, `webex` and `teams` (what they share:
`oauth_service`), `google_tokens` (metadata, IAM Credentials, OAuth): each says in its own docstring
what it imitates and what it does not. `faults` makes the HTTP ones fail when asked to. `processes`
starts the project's functions and Google's Firestore emulator, `world` all of it together,
`systems` shows the four conferencing systems alike, `story` plays the demo.

Not deployed, and nothing here imports `sync`.
"""
