"""Sync tokens and page tokens: opaque texts whose meaning stays on this side."""

from __future__ import annotations

import base64
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from sandbox.google_calendar.errors import ApiError
from sandbox.google_calendar.state import Calendar, Store

# Page tokens are short-lived; far more than any listing has pages.
_MOST_PAGE_TOKENS = 200_000


@dataclass(slots=True, kw_only=True)
class SyncToken:
    """A place in a calendar's log, with the parameters of the listing that gave it."""

    calendar_id: str
    number: int
    generation: int
    shape: tuple[Any, ...]
    window: tuple[str | None, str | None]
    handed_out_milliseconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PageToken:
    """Where one listing goes on."""

    calendar_id: str
    generation: int
    query: tuple[Any, ...]
    page: int
    position: int
    until: int
    """The calendar's change number when the listing began: later changes wait for the next sync."""


class Tokens:
    """Every token given out. All calls are made under the store's lock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sync: dict[str, SyncToken] = {}
        self._sync_by_meaning: dict[tuple[Any, ...], str] = {}
        self._pages: OrderedDict[str, PageToken] = OrderedDict()
        self._last = 0

    def sync_token(
        self,
        calendar: Calendar,
        number: int,
        shape: tuple[Any, ...],
        window: tuple[str | None, str | None],
    ) -> str:
        """Return the token for this place: the same text as long as nothing changes."""
        meaning = (calendar.id, number, calendar.token_generation, shape, window)
        text = self._sync_by_meaning.get(meaning)
        if text is None:
            text = self._sync_by_meaning[meaning] = self._new_text(5)
        self._sync[text] = SyncToken(
            calendar_id=calendar.id,
            number=number,
            generation=calendar.token_generation,
            shape=shape,
            window=window,
            handed_out_milliseconds=self._store.milliseconds(),
        )
        return text

    def read_sync_token(self, calendar: Calendar, text: str) -> SyncToken:
        """Return what the token means. Raises ApiError: 410 when it is too old or unknown."""
        token = self._sync.get(text)
        if (
            token is None
            or token.calendar_id != calendar.id
            or token.generation != calendar.token_generation
        ):
            raise ApiError("fullSyncRequired")
        limit = self._store.settings.sync_token_seconds
        if (
            limit is not None
            and self._store.milliseconds() - token.handed_out_milliseconds > limit * 1000
        ):
            raise ApiError("fullSyncRequired")
        return token

    def page_token(self, token: PageToken) -> str:
        text = self._new_text(6)
        self._pages[text] = token
        if len(self._pages) > _MOST_PAGE_TOKENS:
            self._pages.popitem(last=False)
        return text

    def read_page_token(self, calendar: Calendar, text: str, query: tuple[Any, ...]) -> PageToken:
        """Return where the listing goes on. Raises ApiError (400) when the token is dead or the
        query another."""
        token = self._pages.get(text)
        if (
            token is None
            or token.calendar_id != calendar.id
            or token.generation != calendar.page_generation
        ):
            raise ApiError("invalid", "Invalid page token value.", location="pageToken")
        if token.query != query:
            raise ApiError(
                "invalid",
                "The page token belongs to a request with other parameters.",
                location="pageToken",
            )
        return token

    def _new_text(self, kind: int) -> str:
        """Return a new token in the form that Google's have: a small protobuf with a time twice,
        in base64."""
        self._last = max(self._store.milliseconds() * 1000, self._last + 1)
        moment = _varint(self._last)
        packed = b"\x08" + moment + b"\x10" + moment + b"\x18" + bytes([kind])
        # Whoever forgets to encode `=` in a URL is to notice it here.
        packed += b"\x20\x01" * (len(packed) % 3 == 0)
        return base64.b64encode(packed).decode()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
