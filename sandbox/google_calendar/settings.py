"""What a test may choose about the stand-in's manner.

The defaults are the behaviour that Google's users met.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal


@dataclass(slots=True, kw_only=True)
class Settings:
    """Switches of one `GoogleCalendar`.

    They may be changed at any time, from Python or by `PATCH /_sandbox/settings`.
    """

    user: str | None = None
    """Calendar that `primary` means. None: the first one added."""

    project_number: str = "100000000001"
    """Named in some error messages."""

    strict: bool = True
    """A listing by sync token must repeat the parameters of the listing that made the token,
    else 400. Google only calls the outcome undefined."""

    page_sizes: Sequence[int] | Callable[[int], int] | None = None
    """Most events on the n-th page of a listing, beside `maxResults`: a list gone round and
    round (0: an empty page), or a function of the page's index. None: pages as full as
    `maxResults` allows."""

    empty_last_page: bool = False
    """A listing that had any event ends with a page without one."""

    filters_suppress_sync_token: bool = True
    """A listing with q, orderBy, iCalUID, updatedMin or extended properties ends without
    nextSyncToken."""

    withhold_sync_tokens: bool = False
    """No listing of events ever brings a nextSyncToken."""

    window_bounds_changes: bool = False
    """The timeMin and timeMax of the listing that made a sync token go on to bound the changes
    it lists."""

    sync_token_seconds: float | None = None
    """A sync token handed out longer ago answers 410. None: tokens never age."""

    tombstones: Literal["id_only", "minimal", "full"] = "id_only"
    """How deleted events come back in incremental syncs without showDeleted=true: with id and
    status, with kind and etag too, or whole. A cancelled occurrence always names its series and
    original start."""

    bare_tombstones: Literal["none", "occurrences", "all"] = "none"
    """Deleted occurrences, or everything deleted, are listed as kind, etag, id and status alone,
    even with showDeleted=true. Only events.get tells more, such as the series."""

    tombstone_seconds: float | None = None
    """Deleted events are forgotten after so long: listed no more, and 404 on get. None: never."""

    children_beside_deleted_series: bool = True
    """Exceptions of a deleted series are listed as cancelled, beside it."""

    series_changes_reach_exceptions: bool = True
    """What an exception has not changed for itself follows its series."""

    expansion_days: int = 730
    """How far beyond the clock singleEvents=true and instances follow a series when the request
    sets no timeMax."""

    deleted_series_expansion_days: int = 183
    """With singleEvents=true, a deleted series lists its cancelled instances only so far ahead."""

    api_restores: bool = False
    """PATCH and PUT may bring a deleted event back by status=confirmed. Else they answer 403."""

    addon_writes: Literal["refuse", "accept", "drop"] = "refuse"
    """conferenceData of type addOn, written by a plain client: 400, kept, or 200 and silently
    discarded."""

    addon_copies: bool = False
    """An addOn block taken word for word from another event is accepted, whatever `addon_writes`
    says."""

    addon_timeout_seconds: float = 30.0
    """How long an add-on may take to answer when a person picks its conference solution."""

    meet_echo: Literal["accept", "refuse"] = "accept"
    """A PUT that repeats the event's own Meet block: kept, or 400."""

    create_request_seconds: float = 0.5
    """How long a conference asked for by createRequest stays pending, by the clock. 0: the
    conference is there at once."""

    create_request_fails: bool = False
    """Such a request ends in failure."""

    https_only: bool = False
    """Refuse to open channels to http addresses, as Google does."""

    max_channel_seconds: int = 2_592_000
    """No channel lives longer, whatever it asks for."""

    expiration_form: Literal["text", "number"] = "text"
    """How watch tells a channel's end: as the discovery document says, or as the guide prints."""

    greeting: Literal["before", "after"] = "after"
    """Whether the `sync` message is sent before or after the answer to watch."""

    push_loss: float = 0.0
    """Share of messages that are never sent, those that greet a channel among them."""

    push_duplication: float = 0.0
    """Share of `exists` messages sent twice."""

    push_delay_seconds: float = 0.0
    """Each `exists` message waits a random time up to this."""

    push_retry_seconds: float = 1.0
    """Delay before the first retry of a message answered with 500, 502, 503 or 504. Each further
    delay is twice as long."""

    push_retries: int = 5
    """Most retries of one message."""

    push_timeout_seconds: float = 10.0
    """How long a receiver may take to answer one message."""

    verify_tls: bool = True
    """Deliver only to https hosts with a certificate that is trusted here. Read when the first
    message is sent."""

    pushes_after_stop: int = 0
    """So many messages still reach a channel after it was stopped."""

    repeated_stop_succeeds: bool = False
    """Stopping a stopped channel answers 204 instead of 404."""

    def page_size(self, page: int, max_results: int) -> int:
        """Return the most events that the listing's page with this index, from 0, may hold."""
        sizes = self.page_sizes
        if sizes is None:
            return max_results
        if callable(sizes):
            return max(0, min(max_results, sizes(page)))
        # A list of zeros alone would make a listing without end.
        return max(0, min(max_results, sizes[page % len(sizes)])) if any(sizes) else max_results

    def to_json(self) -> dict[str, Any]:
        return {
            name: str(value) if callable(value) else value for name, value in asdict(self).items()
        }

    def update(self, changes: dict[str, Any]) -> None:
        """Set several switches at once. Raises ValueError for a name that is none."""
        unknown = changes.keys() - {field.name for field in fields(self)}
        if unknown:
            raise ValueError(f"no such setting: {', '.join(sorted(unknown))}")
        for name, value in changes.items():
            setattr(self, name, value)
