"""Page tokens: where a listing goes on, as text that outlives the document it names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from sync.errors import Invalid

# `digest` makes the names of all documents.
_KEY = re.compile(r"[0-9a-f]{32}")


def is_key(text: str) -> bool:
    """Whether a document could have this name. What an operator asks for may be anything."""
    return _KEY.fullmatch(text) is not None


def after_key(page_token: str | None) -> str:
    """Return the document's name behind which a listing in the order of names goes on.

    The empty text stands before all names. Raises Invalid.
    """
    if page_token and not is_key(page_token):
        raise _foreign()
    return page_token or ""


@dataclass(frozen=True, slots=True)
class Place:
    """Behind which document a listing in the order of a field goes on.

    `stage` counts the queries that make the listing. `value` is that field's value, a moment as
    `sortable` writes it. Two documents of the same value come in the order of their names.
    """

    stage: int
    value: str
    key: str

    @classmethod
    def from_token(cls, page_token: str | None) -> Place | None:
        """Parse what `token` wrote. None, without a token: from the start. Raises Invalid."""
        if page_token is None:
            return None
        found = re.fullmatch(r"([0-9])/(.+)/([0-9a-f]{32})", page_token)
        if found is None:
            raise _foreign()
        return cls(int(found[1]), found[2], found[3])

    @property
    def moment(self) -> datetime:
        """The value as a moment. Raises Invalid where it is none."""
        try:
            return datetime.fromisoformat(self.value)
        except ValueError as error:
            raise _foreign() from error

    @property
    def token(self) -> str:
        return f"{self.stage}/{self.value}/{self.key}"


def sortable(moment: datetime) -> str:
    """A text that sorts as the moment does: RFC 3339 in UTC, always with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _foreign() -> Invalid:
    return Invalid("this page token is none of this listing; list again from the start")
