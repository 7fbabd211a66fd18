"""What one run needs, as protocols: the rules and steps know no Google client and no adapter.

`services.build` makes the concrete parts and hands them on as `Services`. A step of a run takes
`(run, case)`: `Run` is the same for all events of one run, and `Case` (in `event.case`) is one
event of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from sync.config import Settings
from sync.errors import Invalid
from sync.model.calendar import Access, Channel, ChannelRequest
from sync.model.conference import (
    Approximation,
    ConferenceContent,
    EventRef,
    Sight,
    WayIn,
)
from sync.model.event import (
    CalendarId,
    ChannelToken,
    ConferenceId,
    Entry,
    Etag,
    EventId,
    PageToken,
    SyncToken,
)
from sync.model.items import Items
from sync.model.provider import ProviderRules, Rules
from sync.store import Store

# Below this role Calendar shows us too little to decide anything (E6).
WRITERS = frozenset({"owner", "writer", "writerWithoutPrivateAccess"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a listing, any of which may be empty.

    The last page, and only that, carries `next_sync_token`. `access_role` is what the calendar's
    sharing lets us do, None where Calendar does not say.
    """

    items: Items
    time_zone: str | None
    access_role: str | None
    next_page_token: PageToken | None
    next_sync_token: SyncToken | None

    @property
    def entries(self) -> list[Entry]:
        """Everything on the page, plain events last, each parsed."""
        return [*self.items.entries, *self.items.opened(self.items.plain)]


class BoundCalendar(Protocol):
    """One calendar with the access that opens it. Safe for threads.

    Every method may raise TryLater, NotAllowed (we may not), Gone (Calendar knows no such thing)
    and Invalid (the request can never succeed). Reads may be repeated.
    """

    def list_changes(
        self,
        *,
        sync_token: SyncToken | None,
        time_min: datetime | None,
        page_token: PageToken | None,
    ) -> Page:
        """Return one page of what changed since `sync_token`. Without a token, of everything."""
        ...

    def access_role(self) -> str | None:
        """Return what the calendar's sharing lets us do, None where Calendar does not say."""
        ...

    def get_event(self, event_id: EventId) -> Entry:
        """Return one event, a deleted one with what is left of it. Raises Gone if there is none."""
        ...

    def list_exceptions(self, series_id: EventId, ical_uid: str) -> Iterator[Entry]:
        """Yield the occurrences of a series that differ from it, cancelled ones among them."""
        ...

    def patch_event(self, event_id: EventId, changes: Mapping[str, Any], etag: Etag) -> Entry:
        """Change these fields if the event is still at `etag`. Raises Conflict (412)."""
        ...


class Calendars(Protocol):
    """Google Calendar, for whoever has access. Safe for threads."""

    @property
    def listing_version(self) -> str:
        """Changes with the parameters of a listing. Stored with the sync token (S2)."""
        ...

    def bind(
        self, calendar_id: CalendarId, access: Access, time_zone: str | None = None
    ) -> BoundCalendar:
        """Return one calendar with the access that opens it. Asks nobody yet."""
        ...

    def watch(self, calendar_id: CalendarId, access: Access, request: ChannelRequest) -> Channel:
        """Open a channel. Raises NotWatchable, and what any call may raise."""
        ...

    def stop_channel(self, channel: Channel, fallback: Access | None = None) -> None:
        """Close a channel, with the access that opened the channel if that is known."""
        ...


class TaskQueue(Protocol):
    """Creates tasks for the worker. A named task can be created twice without harm."""

    def enqueue_calendar(
        self,
        calendar_id: CalendarId,
        *,
        name: str | None = None,
        at: datetime | None = None,
        channel: Channel | None = None,
    ) -> bool:
        """Create a task for one calendar. False: a task of that name was there. Raises TryLater."""
        ...

    def enqueue_event(
        self,
        calendar_id: CalendarId,
        event_id: EventId,
        *,
        name: str | None = None,
        at: datetime | None = None,
    ) -> bool:
        """Create a task for one event. As `enqueue_calendar`."""
        ...

    def problem(self) -> str | None:
        """Return what keeps tasks from being taken or delivered, None if nothing. Creates none."""
        ...


class Provider(Protocol):
    """One configured conferencing system. Safe for threads. Repeating is safe for every method.

    Every method raises what the provider's answer means (C3): TryLater, Gone (the system's own
    words for "this conference does not exist"), NotAllowed (we may not see or change it, or the
    system shows it to others), Invalid, CredentialsRefused. `host` is as whom the conference was
    seen (`Sight.seen_as`), for systems that show a conference to its host alone.
    """

    @property
    def rules(self) -> ProviderRules: ...

    def create(
        self, content: ConferenceContent, idempotency_key: str, host: str | None = None
    ) -> WayIn:
        """Create a conference, once for each key: a repetition returns the first one's.

        `host`: for whom (A3). None: the entry's `host`, else the event's organizer.
        """
        ...

    def find_made(
        self, content: ConferenceContent, idempotency_key: str, host: str | None = None
    ) -> ConferenceId | None:
        """Return the id of what a creation of this key made, None if it made nothing (C4).

        It is deleted then, unless an event carries it. So a system that cannot be searched for the
        key may make it first.
        """
        ...

    def look(
        self,
        conference_id: ConferenceId,
        content: ConferenceContent,
        asked_as: Sequence[str] = (),
    ) -> Sight:
        """Read a conference, and compare it with what an event says (O2). Changes nothing.

        `asked_as`: the event's organizer and creator, for systems that show a conference to its
        host alone. The entry's own hosts are asked as well.
        """
        ...

    def read(self, conference_id: ConferenceId, host: str | None = None) -> WayIn: ...

    def update(
        self,
        conference_id: ConferenceId,
        content: ConferenceContent,
        changed: frozenset[str],
        host: str | None = None,
    ) -> None:
        """Bring a conference to `content`. `changed` names the fields that differ."""
        ...

    def delete(self, conference_id: ConferenceId, host: str | None = None) -> None:
        """Delete a conference. One that the system says is gone already is a success."""
        ...

    def update_occurrence(
        self,
        conference_id: ConferenceId,
        original_start: str,
        content: ConferenceContent,
        host: str | None = None,
    ) -> None:
        """Move or rename the occurrence named by its original start in UTC. NoOccurrences."""
        ...

    def cancel_occurrence(
        self, conference_id: ConferenceId, original_start: str, host: str | None = None
    ) -> None:
        """Cancel one occurrence. Raises NoOccurrences."""
        ...

    def canonical(self, conference_id: ConferenceId, asked_as: Sequence[str] = ()) -> ConferenceId:
        """Return the system's own id of a conference that an event shows by a number or a link."""
        ...

    def approximation(self, content: ConferenceContent) -> Approximation | None:
        """How the copy of a series that was just sent falls short of it. None: not at all."""
        ...

    def probe(self) -> None:
        """Try the credentials with a call that changes nothing, for `GET /doctor`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What bounds retries and calls: the settings of the same names."""

    retry: timedelta
    max_attempts: int
    concurrency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What an instance of a function has: made once, on the first request (`services.build`).

    `sign` makes the token of a new channel, `count_keys` tells how many lines the secret with the
    keys has now. `read_anew` reads a secret as it is now, for whoever remembers an older one.
    `rules` are those of `providers`.
    """

    settings: Settings
    store: Store
    queue: TaskQueue
    calendars: Calendars
    providers: Mapping[str, Provider]
    rules: Rules
    clock: Callable[[], datetime]
    sign: Callable[[str, CalendarId], ChannelToken]
    count_keys: Callable[[], int]
    read_anew: Callable[[str], None]
    close: Callable[[], None]

    def run(
        self,
        calendar_id: CalendarId,
        calendar: BoundCalendar,
        *,
        still_ours: Callable[[], None],
        stop_at: datetime,
    ) -> Run:
        """Return what the steps of one run for one calendar need."""
        return Run(
            calendar_id=calendar_id,
            calendar=calendar,
            store=self.store,
            queue=self.queue,
            providers=self.providers,
            rules=self.rules,
            limits=Limits(
                retry=self.settings.retry,
                max_attempts=self.settings.max_attempts,
                concurrency=self.settings.concurrency,
            ),
            clock=self.clock,
            still_ours=still_ours,
            stop_at=stop_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run for one calendar: what every step of it needs.

    `still_ours` raises LeaseLost once the lease may have lapsed. At `stop_at` no further event is
    begun. `full_sync_id` is that of the full sync under way, if it is one.
    """

    calendar_id: CalendarId
    calendar: BoundCalendar
    store: Store
    queue: TaskQueue
    providers: Mapping[str, Provider]
    rules: Rules
    limits: Limits
    clock: Callable[[], datetime]
    still_ours: Callable[[], None]
    stop_at: datetime
    full_sync_id: str | None = None

    def ref(self, event_id: EventId) -> EventRef:
        return EventRef(calendar_id=self.calendar_id, event_id=event_id)

    def provider(self, name: str) -> Provider:
        """Return a configured provider. Raises Invalid for one whose entry was taken out."""
        provider = self.providers.get(name)
        if provider is None:
            raise Invalid(
                f"no provider is called {name}; put its entry back into SYNC_PROVIDERS, "
                "or dismiss this"
            )
        return provider
