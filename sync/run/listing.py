"""The pages of one run: list, apply, go on. A full sync sweeps what did not come back (S2-S4)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from sync.context import Page, Run, Services
from sync.errors import CredentialsRefused, Invalid, SyncTokenExpired, TryLater
from sync.event.carry_out import check_role, ids_to_know
from sync.model.calendar import CalendarState, Checkpoint, Counts, SyncKind
from sync.model.event import CalendarId, EventId
from sync.model.items import Items
from sync.run import page
from sync.run.lease import Held
from sync.store import Known, Store, all_pages
from sync.tracing import span, tell

# Links are looked up in batches: so many reads may be repeated after a crash.
_BATCH = 100
# The ids of so many events are read before the first page and kept. Reading them takes seconds, and
# memory must not grow with the calendar (S4): with more, each page asks for its own events.
_MOST_REMEMBERED = 10_000


@span("listing")
def read_page(services: Services, state: CalendarState, place: Checkpoint) -> Page:
    """List the page that `place` names. Raises what the listing says, RoleTooLow (E6)."""
    calendar = services.calendars.bind(state.calendar_id, state.access, state.time_zone)
    full = place.full_sync_id is not None
    listed = calendar.list_changes(
        sync_token=None if full else state.sync_token,
        time_min=place.time_min,
        page_token=place.page_token,
    )
    tell(full=full, items=len(listed.items))
    check_role(listed)
    return listed


class _Way:
    """The page tokens of one listing, which must not go round in a circle.

    The token of the 1st, 2nd, 4th, 8th … page is kept until the next of these. So a circle is met
    within three times its length, and memory does not grow with the listing (S4).
    https://en.wikipedia.org/wiki/Cycle_detection#Brent's_algorithm
    """

    def __init__(self) -> None:
        self._pages = 0
        self._kept: str | None = None

    def goes_on(self, page_token: str | None) -> None:
        """Note the next page, None behind the last. Raises TryLater if it is met again."""
        if page_token is None:
            return
        if page_token == self._kept:
            raise TryLater("Calendar's listing names the same page again, and has no end")
        self._pages += 1
        if self._pages.bit_count() == 1:
            self._kept = page_token


class Listing:
    """One run's pages. `place` is where the run stands. A later run can go on from there."""

    def __init__(
        self, services: Services, held: Held, first: tuple[Page, Known] | None = None
    ) -> None:
        """`first` is the first page, if it was listed before the lease was taken."""
        self._services = services
        self._held = held
        self._first = first
        self._stop_at = services.clock() + services.settings.run_limit
        self._restarted = False
        self._way = _Way()
        self._remembered: set[EventId] | None = None
        state = held.state
        # Operators may have the token forgotten meanwhile. This run's pages belong to it.
        self._token, self._forgotten = state.sync_token, state.forgotten
        self.time_zone = state.time_zone
        self.place = state.checkpoint or Checkpoint(counts=Counts())
        if state.checkpoint is None and not resumes(services, state):
            self.start_over()
        elif self.place.page_token is None and self.place.next_sync_token is None:
            self._from_first_page()

    def start_over(self) -> None:
        """Begin a full sync: everything from the listing window on (S2, S3)."""
        self._first = None
        self._way = _Way()
        self.place = Checkpoint(
            full_sync_id=uuid.uuid4().hex,
            time_min=self._services.clock() - self._services.settings.window,
            counts=Counts(),
        )

    def _from_first_page(self) -> None:
        """Begin at the first page. A full sync gets another id than its earlier listing had.

        S3: an event that the earlier listing met may have been deleted since. The new listing does
        not bring the event, and its sync token is younger than the deletion. So the sweep has to
        look the event up.
        """
        full_sync_id = uuid.uuid4().hex if self.kind is SyncKind.FULL else None
        self._way = _Way()
        self.place = replace(self.place, page_token=None, full_sync_id=full_sync_id)

    @property
    def kind(self) -> SyncKind:
        return SyncKind.INCREMENTAL if self.place.full_sync_id is None else SyncKind.FULL

    def apply(self) -> bool:
        """Apply page after page, then sweep after a full listing.

        False: the time is over, and `place` says where to go on. Raises SyncTokenExpired,
        CredentialsRefused once the other providers' events are done (C5), and what a page raises.
        """
        refused: page.Refusal | None = None
        while self.place.next_sync_token is None:
            listed, known = self._next_page()
            self.time_zone = listed.time_zone or self.time_zone
            if known is None:
                known = self._known(listed.items)
            outcome = page.apply_page(self._run(), listed.items, self._keep, known)
            self._note(outcome)
            refused = refused or outcome.refused
            if not outcome.complete:
                break
            if listed.next_page_token is None and listed.next_sync_token is None:
                raise TryLater("Calendar's listing ended without a sync token")
            self._way.goes_on(listed.next_page_token)
            self.place = replace(
                self.place,
                page_token=listed.next_page_token,
                next_sync_token=listed.next_sync_token,
            )
            if self.place.next_sync_token is None and self._is_late():
                break
        if refused is not None:
            raise CredentialsRefused(refused.reason, provider=refused.provider)
        if self.place.next_sync_token is None:
            return False
        return self.kind is SyncKind.INCREMENTAL or self._sweep()

    def _is_late(self) -> bool:
        return self._services.clock() >= self._stop_at

    def _next_page(self) -> tuple[Page, Known | None]:
        first, self._first = self._first, None
        if first is not None:
            return first
        return self._listed(), None

    def _known(self, items: Items) -> Known:
        """Read what is remembered of the events of a page, in one round trip."""
        asked = self._perhaps_remembered(items)
        if not asked:
            return Known({}, {})
        return self._services.store.get_known(self._held.state.calendar_id, asked)

    def _perhaps_remembered(self, items: Items) -> set[EventId]:
        """Return the ids of those events of a page of which something may be remembered.

        A full sync asks once of which events of the calendar that is so. No document is then read
        for a plain event that is not among them.
        """
        asked = ids_to_know(items.entries)
        if self.kind is SyncKind.INCREMENTAL:
            return asked.union(items.plain)
        if self._remembered is None:
            everything = _remembered(self._services.store, self._held.state.calendar_id)
            self._remembered = set(islice(everything, _MOST_REMEMBERED + 1))
            self._keep()
        if len(self._remembered) > _MOST_REMEMBERED:
            return asked.union(items.plain)
        # What this run links, a later page may show without its conference.
        self._remembered |= asked
        return asked | (items.plain.keys() & self._remembered)

    def _listed(self) -> Page:
        """List the next page. A listing whose page token died begins anew, once (S4)."""
        full = self.place.full_sync_id is not None
        try:
            state = replace(self._held.state, sync_token=self._token)
            return read_page(self._services, state, self.place)
        except SyncTokenExpired as error:
            if not full or self.place.page_token is None:
                raise
            return self._listed_again(error)
        except Invalid as error:
            if self.place.page_token is not None:
                return self._listed_again(error)
            if full:
                raise TryLater(f"{error}; Calendar refuses to list this calendar") from error
            raise SyncTokenExpired(str(error)) from error

    def _listed_again(self, error: Exception) -> Page:
        if self._restarted:
            raise TryLater(f"{error}; Calendar refuses its own page tokens") from error
        self._restarted = True
        self._from_first_page()
        return self._listed()

    def _sweep(self) -> bool:
        """S3: look up every link whose event the full listing did not bring."""
        unseen = self._unseen()
        while batch := list(islice(unseen, _BATCH)):
            outcome = page.look_up(self._run(), batch, self._keep)
            self._note(outcome)
            if outcome.refused is not None:
                raise CredentialsRefused(outcome.refused.reason, provider=outcome.refused.provider)
            if not outcome.complete:
                return False
        return True

    def _unseen(self) -> Iterator[EventId]:
        calendar_id = self._held.state.calendar_id
        for link in self._services.store.links_of_calendar(calendar_id):
            if link.value.seen != self.place.full_sync_id:
                yield link.value.event.event_id

    def _note(self, outcome: page.Outcome) -> None:
        """Count what was done. S3: what a full sync met, its sweep need not look up."""
        self.place = replace(self.place, counts=self.place.counts + outcome.counts)
        if self.place.full_sync_id is not None and outcome.linked:
            self._services.store.mark_seen(
                self._held.state.calendar_id, outcome.linked, self.place.full_sync_id
            )

    def _run(self) -> Run:
        state = self._held.state
        return replace(
            self._services.run(
                state.calendar_id,
                self._services.calendars.bind(state.calendar_id, state.access, self.time_zone),
                still_ours=self._held.still_ours,
                stop_at=self._stop_at,
            ),
            full_sync_id=self.place.full_sync_id,
        )

    def _keep(self) -> None:
        self._held.keep(self.noted)

    def noted(self, state: CalendarState) -> CalendarState:
        """Return a calendar's state with the place where this run is, for a run that goes on.

        H4: none once an operator had the sync token forgotten. The next run then lists everything.
        """
        return replace(state, checkpoint=self.place if self.is_wanted(state) else None)

    def is_wanted(self, state: CalendarState) -> bool:
        """Tell whether nobody had the sync token forgotten since this run began."""
        return state.forgotten == self._forgotten


def _remembered(store: Store, calendar_id: CalendarId) -> Iterator[EventId]:
    """Yield the ids of a calendar's events that have a link or a failure."""
    for link in store.links_of_calendar(calendar_id):
        yield link.value.event.event_id
    for failure in all_pages(
        lambda token: store.list_failures(calendar_id=calendar_id, page_token=token)
    ):
        yield failure.value.event.event_id


def resumes(services: Services, state: CalendarState) -> bool:
    """Tell whether the stored sync token can be used: it was made by the same listing (S2)."""
    same = state.token_version == services.calendars.listing_version
    return state.sync_token is not None and same
