"""A stand-in for the Google Calendar API v3, for people and tests without a Google account.

    from sandbox.google_calendar import GoogleCalendar

    with GoogleCalendar() as calendar:
        calendar.add_calendar("anna@example.com", time_zone="Europe/Berlin")

Any client may then be pointed at `http://{calendar.host}/calendar/v3/`. From the shell, with
`--host`, `--port` and `--seed FILE` (see `seeds`):

    python -m sandbox.google_calendar

Imitated, after Google's documentation and what users of the API reported:

- events (list, get, insert, update, patch, delete, import, instances, move, watch), channels
  (stop), calendars (get), calendarList (list, get), freebusy, colors, settings, batches
- `primary`, `fields`, conditional requests, method override, both shapes of error body. Methods,
  parameters and the names in `fields` are those of Google's discovery document
- incremental sync: a log of changes for each calendar, opaque sync and page tokens bound to their
  query, 410 when tokens die, tombstones of every kind. The calendar list syncs too
- access roles: what free/busy readers and readers do not see, and what readers cannot write
- series: exceptions, expansion, occurrence ids, "this and following" edited and deleted
- the organizer's event and the guests' copies of it
- conferences: what clients may write and what only add-ons can, asynchronous creation
- the event form: a person picks an add-on's conference solution (see `event_form`)
- notification channels, with real HTTP deliveries, retries, loss, delay and duplication
- silent cuts: extended properties too long, default values left out

Not imitated:

- authentication and scopes: every request is let in, whatever its Authorization header
- quotas and rate limits, unless armed by `fail_next`. Uploads, gzip
- acl, quickAdd, settings.watch, writes to calendars and the calendar list: these answer 501
- watch for the calendar list, invitations by mail
- recurrence below a day (FREQ=HOURLY, BYHOUR): refused with 400
- limits on size and number beyond keys and values of extended properties, contents of attachments
- singleEvents=true in an incremental sync: occurrences that vanish because the series was
  rescheduled are not listed
- how long Google keeps anything, and every limit that Google does not publish: see `Settings` for
  those that can be chosen

Chosen where Google is silent:

- A write that changes nothing still gives a new etag and rings the channels.
- An exception whose occurrence is rescheduled away is cancelled.
- "This and following" lets later exceptions go over to the new series under their old ids.
- Several privateExtendedProperty filters must all match.
- A sync lists changes outside the window of the first listing.
- Only an open channel's id is taken.
- A recurrence rule that never finds a date answers 400. The back door takes such a rule.
- A bare day in EXDATE takes away a timed series' occurrence on that day of the series' zone.
- Who may not see an event's details sees its id, status, times, series and iCalUID.

Back door over HTTP, in JSON (`GoogleCalendar` has the same as methods). Paths begin with
/_sandbox:

    GET, POST   /calendars             all; add {"id", "time_zone", "watchable", "role", "summary"}
    DELETE      /calendars/ID
    POST        /calendars/ID/withdraw                  {"status": 404 | 403}
    POST        /calendars/ID/grant                     {"role": "reader"}; sync tokens expire
    POST        /calendars/ID/ring                      notify without a change
    GET, POST   /calendars/ID/events                    all that is stored; a new event (?raw=true:
                                                        exactly as given)
    POST        /calendars/ID/events/bulk               [event, ...], fast and silent
    GET, PATCH, DELETE  /calendars/ID/events/EVENT      (?raw=true with PATCH)
    POST        /calendars/ID/events/EVENT/restore
    POST        /calendars/ID/events/EVENT/move         {"destination"}
    POST        /calendars/ID/events/EVENT/split        {"original_start", "patch"}
    POST        /calendars/ID/events/EVENT/delete_following     {"original_start"}
    GET, POST   /solutions             offer {"name", "callback": URL, "icon_uri"}
    DELETE      /solutions/NAME
    POST        /calendars/ID/forms    {"draft": event} or {"event_id"}; answers {"form_id", ...}
    GET         /forms                 the open ones
    PATCH       /forms/FORM            change the draft
    POST        /forms/FORM/pick       {"solution", "user"}; the add-on is asked now
    DELETE      /forms/FORM/conference
    POST        /forms/FORM/save       answers the event
    DELETE      /forms/FORM            close without saving
    POST        /expire                {"calendar_id", "tokens": "sync" | "page" | "all"}
    POST        /fail                  {"reason", "times", "path", "query", "method", "status",
                                       "shape", "lasts_seconds", ...}, see `fail_next`
    GET, DELETE /requests, /pushes     what happened
    GET, POST, DELETE   /faults        see `sandbox.faults`
    GET         /channels              the open ones (?calendar_id=)
    DELETE      /channels/ID           close silently
    GET, PATCH  /settings              see `Settings`
"""

from sandbox.google_calendar.errors import ApiError
from sandbox.google_calendar.server import GoogleCalendar
from sandbox.google_calendar.settings import Settings

__all__ = ["ApiError", "GoogleCalendar", "Settings"]
