"""Stand-ins that speak the services' protocols on loopback: real servers, no cloud.

- `google_calendar`: Calendar API v3, and the event form in which people pick conferences.
- `google_tokens`: metadata server, IAM Credentials, OAuth. `google_identity`: users' ID tokens.
- `addon_bridge`: what the add-on in Apps Script does, in Python.
- `cloud_tasks`, `secret_manager`: gRPC, made of `grpc_service`.
- `rest` (a system that implements the `rest` contract), `zoom`, `webex`, `teams`: conferencing
  systems, made of `service` and, behind OAuth, of `oauth_service`. `systems` shows them alike.
- `faults` and `troubles` make the HTTP stand-ins fail when asked to.
- `gates` stand in front of a service, and fail as a network or a proxy does.
- `page` shows all of it in a browser, live.
- `processes` starts the project's functions and Google's Firestore emulator, `world` all of it
  together, `story` plays the demo.

Each stand-in says in its own docstring what it imitates and what it does not. Nothing here is
deployed, and nothing here imports `sync`.
"""
