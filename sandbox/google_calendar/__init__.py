"""A stand-in for the Google Calendar API v3, for people and tests without a Google account.

    from sandbox.google_calendar import GoogleCalendar

    calendar = GoogleCalendar()
    calendar.start()
    calendar.add_calendar("anna@example.com", time_zone="Europe/Berlin")

Point any client at `http://{calendar.host}/calendar/v3/`. From the shell: `python -m
sandbox.google_calendar`.

Imitated, after Google's documentation and what users of the API reported:

- events: list, get, insert, update, patch, delete, import, instances, move, watch; channels: stop;
  calendars: get; calendarList: list, get; `primary`, `fields`, conditional requests, method
  override, both shapes of error body
- incremental sync: a log of changes for each calendar, opaque sync and page tokens bound to their
  query, 410 when they die, tombstones of every kind
- series: exceptions, expansion, occurrence ids, "this and following" splits
- the organizer's event and the guests' copies of it
- conferences: what clients may write and what only add-ons can, asynchronous creation
- notification channels, with real HTTP deliveries, retries, loss, delay and duplication
- silent cuts: extended properties too long, default values left out

Not imitated:

- authentication and scopes: every request is let in, whatever its Authorization header
- quotas and rate limits, unless armed by `fail_next`; batch requests; uploads; gzip
- acl, colors, freebusy, settings, quickAdd, and writes to calendars and the calendar list: 501
- syncToken and watch for the calendar list; visibility and free/busy-only readers; invitations by
  mail
- limits on size and number beyond keys and values of extended properties; attachments' contents
- singleEvents=true in an incremental sync: occurrences that vanish because the series was
  rescheduled are not listed
- how long Google keeps anything, and every limit it does not publish: see `Settings` for those that
  can be chosen

Chosen where Google is silent: a write that changes nothing still gives a new etag and rings the
channels; an exception whose occurrence is rescheduled away is cancelled; "this and following" lets
later exceptions go over to the new series under their old ids; several privateExtendedProperty
filters must all match; a sync lists changes outside the window of the first listing; only an open
channel's id is taken.

Back door over HTTP, in JSON (`GoogleCalendar` has the same as methods):

GET, POST   /_sandbox/calendars                          {"id", "time_zone", "watchable", "role",
"summary"} DELETE      /_sandbox/calendars/ID POST        /_sandbox/calendars/ID/withdraw  /grant
/ring       {"status": 404 | 403}  {"role": "reader"}  {} GET, POST   /_sandbox/calendars/ID/events
everything stored; a new event (?raw=true: as given) POST        /_sandbox/calendars/ID/events/bulk
[event...], fast and silent GET, PATCH, DELETE  /_sandbox/calendars/ID/events/EVENT  (?raw=true with
PATCH) POST        /_sandbox/calendars/ID/events/EVENT/restore  /move {"destination"}  /split
{"original_start", "patch"} POST        /_sandbox/expire                             {"calendar_id",
"tokens": "sync" | "page" | "all"} POST        /_sandbox/fail
{"reason", "times", "path", "method", "status", "shape"...} GET, DELETE /_sandbox/requests  /pushes
/faults         what happened, or is armed; POST /faults arms GET
/_sandbox/channels[?calendar_id=]            the open ones; DELETE /channels/ID closes silently GET,
PATCH  /_sandbox/settings                           see `Settings`
"""

from sandbox.google_calendar.errors import ApiError
from sandbox.google_calendar.server import GoogleCalendar
from sandbox.google_calendar.settings import Settings

__all__ = ["ApiError", "GoogleCalendar", "Settings"]
