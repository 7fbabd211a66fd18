"""Keeps video conferences in step with Google Calendar.

One notification's way: `intake` verifies it and enqueues a task. `run.engine` takes the task, lists
the calendar's changes, and takes the calendar's lease. `run.page` applies a page of them side by
side. For each event, `event.recognise` tells which conference the event carries,
`event.ownership` whether the conference is the event's own, `event.plan` what is to be done, and
`event.carry_out` does that: at the provider (`conferencing`), in the store, in Calendar
(`event.write_back`). Series and occurrences stand in `event.series`. What goes wrong is taken over
by `event.failures`. `operate` holds what operators, the clock and the add-on ask for. `services`
builds everything, `context` says as protocols what every step needs, `model` holds the nouns.

Codes such as `E5` or `O2` name the rules of behaviour: N notifications, S sync, E events, O
ownership, C conferencing providers, W writing to Calendar, H channels, A the add-on.
`docs/rules.md` has a sentence and the tests for each.

Words:
- event: a calendar entry. series: a recurring event. occurrence: one instance of a series, known by
  its original start.
- conference: the third party's meeting. provider: a conferencing system, and our adapter for it.
- entry point: a way into a conference (video, phone, SIP).
- link: what is remembered of an event: which conference it carries. leader: of several events that
  carry one conference, the one that the conference follows.
- evidence: how an event shows that it carries a conference, strong or weak. proof: the provider's
  own answer that the conference is the event's.
- follow, leave alone: a conference is ours to change, or not. let go: the event does not carry it
  any more. After the grace, the conference is deleted.
- fingerprint: digests of what a provider was last told. unsure: a field that may be something else
  there.
- failure: an event that could not be applied. parked: a failure that waits for a person (a dead
  letter).
- channel: what Calendar rings (a webhook). greeting: a channel's first notification.
- sync token, page token, channel token: resume between syncs, resume inside a listing, the signed
  text that Calendar echoes.
- lease: a lock with an owner and an expiry. task: a unit of queued work.
- full, incremental sync: without, or with a sync token. sweep: looking up what a full sync missed.
"""

# pyproject.toml and ccsync say the same; `GET /doctor` tells it.
__version__ = "0.1.0"
