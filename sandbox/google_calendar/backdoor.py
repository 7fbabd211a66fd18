"""The back door: what people do in Calendar's own pages, and what tests do to the stand-in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from datetime import datetime
from typing import Any, Literal

from sandbox.faults import Faults
from sandbox.google_calendar import calendar_list, changes, errors, person, times
from sandbox.google_calendar.channels import Channels
from sandbox.google_calendar.client import move
from sandbox.google_calendar.errors import ApiError
from sandbox.google_calendar.event_form import Callback, Forms
from sandbox.google_calendar.listing import Listings
from sandbox.google_calendar.pushes import Pushes
from sandbox.google_calendar.records import Log, PushRecord, RequestRecord
from sandbox.google_calendar.settings import Settings
from sandbox.google_calendar.state import ROLES, Calendar, Store
from sandbox.google_calendar.tokens import Tokens

Json = dict[str, Any]


class BackDoor:
    """Calendars, events, channels and tokens, without the API's refusals and without HTTP.

    Any thread may call the methods, before and after the server started. Those that fail raise
    `errors.ApiError`.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.settings = Settings()
        self.faults = Faults()
        self.requests: Log[RequestRecord] = Log()
        self._store = Store(self.settings, now)
        self._pushes = Pushes(self.settings)
        self.pushes: Log[PushRecord] = self._pushes.log
        self._channels = Channels(self._store, self._pushes)
        self._listings = Listings(self._store, Tokens(self._store))
        self._forms = Forms(self._store)
        self._store.on_change = self._channels.ring
        self._store.on_pending = lambda seconds: self._pushes.later(seconds, self.settle)

    def pushes_tried(self, timeout_seconds: float) -> int | None:
        """Wait until each notification so far was sent once, and return how many there were.

        None if `timeout_seconds` were not enough.
        """
        return self._pushes.tried(timeout_seconds)

    def add_calendar(
        self,
        calendar_id: str,
        time_zone: str = "UTC",
        watchable: bool = True,
        *,
        summary: str | None = None,
        role: str = "owner",
        allowed_conference_types: Iterable[str] = ("hangoutsMeet",),
    ) -> None:
        """Add an empty calendar. One that is known keeps its events and gets the other things as
        given now. Another `role` than before lets the calendar's sync tokens expire."""
        times.zone(time_zone)
        _check_role(role)
        with self._store.changing():
            known = self._store.find_calendar(calendar_id)
            if known is None:
                known = Calendar(
                    id=calendar_id,
                    time_zone=time_zone,
                    summary=calendar_id,
                    watchable=watchable,
                    created=self._store.milliseconds(),
                    allowed_conference_types=[],
                    role=role,
                )
                self._store.enlist(known)
            if known.role != role:
                known.token_generation += 1
            known.time_zone, known.watchable, known.role = time_zone, watchable, role
            known.summary = summary if summary is not None else known.summary
            known.allowed_conference_types = list(allowed_conference_types)

    def remove_calendar(self, calendar_id: str) -> None:
        """Delete the calendar and all in it: every call answers 404, its channels fall silent.
        Safe to repeat."""
        with self._store.changing():
            known = self._store.delist(calendar_id)
            if known is not None:
                self._channels.forget_calendar(known.id)

    def withdraw_access(self, calendar_id: str, *, status: Literal[404, 403] = 404) -> None:
        """Take the API's access away: every call on the calendar answers 404, as seen with
        Google, or 403."""
        with self._store.changing():
            calendar = self._store.known_calendar(calendar_id)
            calendar.refusal = "notFound" if status == 404 else "forbidden"
            calendar.token_generation += 1

    def grant_access(self, calendar_id: str, *, role: str = "owner") -> None:
        """Give access, again or in another role: `freeBusyReader`, `reader`,
        `writerWithoutPrivateAccess`, `writer` or `owner`.

        The calendar's sync tokens expire (410). Below `writer` the answers hide what the role may
        not see. Writes of readers answer 403 requiredAccessLevel, and so do writes to private
        events under `writerWithoutPrivateAccess`.
        """
        _check_role(role)
        with self._store.changing():
            calendar = self._store.known_calendar(calendar_id)
            calendar.refusal, calendar.role = None, role
            calendar.token_generation += 1

    def calendars(self) -> list[Json]:
        with self._store.changing():
            return [
                calendar_list.entry(self._store, calendar)
                for calendar in self._store.calendars.values()
            ]

    def seed_event(self, calendar_id: str, body: Json, *, raw: bool = False) -> Json:
        """Add an event as its owner or an add-on would. See `person.seed`."""
        with self._store.changing():
            return deepcopy(
                person.seed(self._store, self._calendar(calendar_id), body, raw=raw).body
            )

    def seed_many(self, calendar_id: str, events: Iterable[Json]) -> int:
        """Add many events fast, without announcing them or making copies. Return how many."""
        with self._store.changing():
            return person.seed_many(self._store, self._calendar(calendar_id), events)

    def edit(self, calendar_id: str, event_id: str, patch: Json, *, raw: bool = False) -> Json:
        """Change an event as its owner would, the conference of an add-on included.

        See `person.edit`.
        """
        with self._store.changing():
            return deepcopy(
                person.edit(self._store, self._calendar(calendar_id), event_id, patch, raw=raw).body
            )

    def cancel(self, calendar_id: str, event_id: str) -> None:
        """Delete an event, a series, or one occurrence."""
        with self._store.changing():
            person.cancel(self._store, self._calendar(calendar_id), event_id)

    def restore(self, calendar_id: str, event_id: str) -> Json:
        """Take a deleted event out of the bin, with its conference and all."""
        with self._store.changing():
            return deepcopy(person.restore(self._store, self._calendar(calendar_id), event_id).body)

    def move(self, calendar_id: str, event_id: str, destination: str) -> Json:
        """Give an event to another calendar under the same id.

        The old calendar keeps an id-only tombstone.
        """
        with self._store.changing():
            source, target = self._calendar(calendar_id), self._calendar(destination)
            return deepcopy(move(self._store, source, event_id, target).body)

    def split(
        self,
        calendar_id: str,
        series_id: str,
        original_start: str | datetime | Json,
        patch: Json | None = None,
    ) -> Json:
        """Edit "this and following", and return the new series. See `person.split`."""
        with self._store.changing():
            calendar = self._calendar(calendar_id)
            return deepcopy(
                person.split(self._store, calendar, series_id, original_start, patch).body
            )

    def delete_following(
        self, calendar_id: str, series_id: str, original_start: str | datetime | Json
    ) -> Json:
        """Delete "this and following", and return the shortened series.

        See `person.delete_following`.
        """
        with self._store.changing():
            calendar = self._calendar(calendar_id)
            return deepcopy(
                person.delete_following(self._store, calendar, series_id, original_start).body
            )

    def get(self, calendar_id: str, event_id: str) -> Json | None:
        """Return the event as stored, an occurrence as its series has it, or None."""
        with self._store.changing():
            event = self._store.find(self._calendar(calendar_id), event_id)
            return None if event is None else deepcopy(event.body)

    def events(self, calendar_id: str) -> list[Json]:
        """Return everything stored, deleted events and exceptions too, in the order of first
        appearance."""
        with self._store.changing():
            calendar = self._calendar(calendar_id)
            return [deepcopy(calendar.events[event_id].body) for event_id in calendar.order]

    def version(self, calendar_id: str) -> tuple[int, int]:
        """Return what has another value whenever `events` may return something else: which addition
        to the list of calendars brought this one, and how often anything was stored in it since."""
        with self._store.changing():
            calendar = self._calendar(calendar_id)
            return calendar.list_number, calendar.version

    def count_instances(self, calendar_id: str, series_id: str) -> int:
        """Return how many occurrences of the series are not cancelled, up to
        `settings.expansion_days` ahead."""
        with self._store.changing():
            calendar = self._calendar(calendar_id)
            return self._listings.count(calendar, series_id)

    def offer_solution(
        self, name: str, callback: str | Callback, *, icon_uri: str | None = None
    ) -> None:
        """Offer an add-on's conference solution in the event form.

        `event_form` says what `callback` is asked and answers.
        """
        self._forms.offer(name, callback, icon_uri)

    def withdraw_solution(self, name: str) -> None:
        """Offer the solution no more. Safe to repeat."""
        self._forms.withdraw(name)

    def solutions(self) -> list[Json]:
        return [solution.to_json() for solution in self._forms.solutions.values()]

    def open_form(
        self, calendar_id: str, draft: Json | None = None, *, event_id: str | None = None
    ) -> Json:
        """Open the form for a new event, or for the event with this id.

        Return the form, with `form_id`, `event_id` (also of an event that does not exist yet),
        `draft` and `error`.
        """
        return self._forms.open(self._calendar(calendar_id), draft, event_id).to_json()

    def forms(self) -> list[Json]:
        """Return the open forms."""
        return [form.to_json() for form in self._forms.all()]

    def fill_in_form(self, form_id: str, patch: Json) -> Json:
        """Change the form's draft, and return the form."""
        return self._forms.fill_in(form_id, patch).to_json()

    def pick_solution(self, form_id: str, solution: str, *, user: str | None = None) -> Json:
        """Pick a conference solution in the form, as `user`: its add-on is asked now.

        Return the form, with the conference in `draft` or with an `error`.
        """
        return self._forms.pick(form_id, solution, user).to_json()

    def take_conference_away(self, form_id: str) -> Json:
        """Remove the conference from the form's draft, and return the form."""
        return self._forms.take_away(form_id).to_json()

    def save_form(self, form_id: str) -> Json:
        """Save the event, which shows the draft's conference from now on, and return the event."""
        return deepcopy(self._forms.save(form_id).body)

    def close_form(self, form_id: str) -> None:
        """Close the form without saving. The conference is dropped."""
        self._forms.close(form_id)

    def expire_sync_tokens(self, calendar_id: str | None = None) -> None:
        """Let every sync token given out so far answer 410 fullSyncRequired."""
        with self._store.changing():
            for calendar in self._chosen(calendar_id):
                calendar.token_generation += 1

    def expire_page_tokens(self, calendar_id: str | None = None) -> None:
        """Let every page token given out so far answer 400."""
        with self._store.changing():
            for calendar in self._chosen(calendar_id):
                calendar.page_generation += 1

    def channels(self, calendar_id: str | None = None) -> list[Json]:
        """Return the open channels."""
        with self._store.changing():
            return [channel.to_json() for channel in self._channels.open(calendar_id)]

    def close_channel_silently(self, channel_id: str) -> None:
        """Let a channel fall silent as if it had expired."""
        with self._store.changing():
            self._channels.close_silently(channel_id)

    def ring(self, calendar_id: str) -> None:
        """Notify the calendar's channels though nothing changed."""
        with self._store.changing():
            self._store.announce(self._calendar(calendar_id))

    def settle(self) -> None:
        """Finish the conferences asked for by createRequest that are due, by the clock. Every
        call does it too."""
        with self._store.changing():
            changes.settle(self._store)

    def fail_next(
        self,
        reason: str = "rateLimitExceeded",
        times: int | None = 1,
        path: str = "",
        method: str | None = None,
        *,
        status: int | None = None,
        message: str | None = None,
        retry_after: int | str | None = None,
        shape: Literal["classic", "gateway"] = "classic",
        **fault: Any,
    ) -> None:
        """Have the next matching calls refused for a reason of `errors.REASONS`, in either shape of
        body.

        `status` replaces the reason's own, such as 429 for rateLimitExceeded. `times=None` means
        until the faults are cleared. `fault` takes the other words of `sandbox.faults`: `query`,
        `skip`, `after`, `delay_seconds`, `lasts_seconds`.
        """
        if reason not in errors.REASONS:
            raise ValueError(f"unknown reason {reason!r}; known: {', '.join(errors.REASONS)}")
        if shape == "gateway":
            body = errors.gateway_body(
                reason, status=status, message=message, project=self.settings.project_number
            )
        else:
            body = errors.classic_body(reason, status=status, message=message)
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self.faults.add(
            method=method,
            path=path,
            times=times,
            status=status or errors.REASONS[reason].status,
            headers=headers,
            body=body,
            **fault,
        )

    def _calendar(self, calendar_id: str) -> Calendar:
        return self._store.known_calendar(calendar_id)

    def _chosen(self, calendar_id: str | None) -> list[Calendar]:
        return (
            list(self._store.calendars.values())
            if calendar_id is None
            else [self._calendar(calendar_id)]
        )


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise ApiError("invalid", f"No access role {role!r}; there are {', '.join(ROLES)}.")
