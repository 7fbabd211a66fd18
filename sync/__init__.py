"""Keeps video conferences in step with Google Calendar.

One notification's way: `notifications` checks it and names its task, `intake` enqueues that task
through `task_queue`; `engine` takes the calendar's lease and lists its changes with
`google_calendar`, `plan` decides what each changed event means, `apply` carries that out with a
provider from `conferencing`, with `claims` where events share a conference; `failures` takes over
what goes wrong, and `store` remembers. `calendars` is what operators ask for, `channels` opens and
closes what Calendar rings, `maintenance` is what the clock asks for. `model`, `errors`,
`notifications`, `plan` are pure; only `config` reads the environment; `services` builds everything
and is the only place where the parts meet.
"""
