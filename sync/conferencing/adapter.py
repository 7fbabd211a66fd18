"""The class that every adapter derives from: what a conferencing system is asked, with defaults.

An adapter says how its conferences are recognised, creates, looks at, changes and deletes them, and
translates each answer into an error class (C1, C3). Whatever a system lacks keeps its default.
`Adapter` fulfils `sync.context.Provider`, whose docstrings say what is promised to callers.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, TypeVar

from sync.backoff import asked_twice
from sync.config import ProviderSettings
from sync.errors import CredentialsRefused, Gone, Invalid, NoOccurrences, NotAllowed, SyncError
from sync.model.conference import Approximation, ConferenceContent, Sight, WayIn
from sync.model.event import ConferenceId, address_of, digest
from sync.model.provider import ProviderRules, uri_pattern

ReadSecret = Callable[[str, float], bytes]
"""(secret, maximal age in seconds) -> payload."""

ReplaceSecret = Callable[[str, bytes, bytes], None]
"""(secret, payload that is replaced, new payload): adds a version, then destroys the older ones."""

Clock = Callable[[], datetime]

_Shown = TypeVar("_Shown")
_User = TypeVar("_User", str, str | None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What an adapter is given beside its settings.

    `replace_secret` is for systems whose refresh tokens change. Without it a new refresh token
    lives as long as this instance.
    """

    read_secret: ReadSecret
    clock: Clock
    replace_secret: ReplaceSecret | None = None


class Adapter(ABC):
    """One configured conferencing system. Safe for threads.

    A subclass sets the class variables that fit its system and writes the abstract methods. Its
    constructor takes `(settings, context)`, raises ConfigurationError for options that cannot be,
    and connects to nothing.
    """

    FIELDS: ClassVar[frozenset[str]]
    """Names of `ConferenceContent` that the system takes. A change of others makes no call (E4)."""
    URIS: ClassVar[tuple[re.Pattern[str], ...]] = ()
    """Forms of the system's join links, for an entry without `uris` of its own (E1)."""
    PARAMETERS: ClassVar[tuple[str, ...]] = ()
    """Add-on parameters that name the conference better than its `conferenceId` does (E1)."""
    OCCURRENCES: ClassVar[bool] = False
    """Whether single occurrences of a series can be changed and cancelled (E5)."""
    DROPS_OCCURRENCES: ClassVar[bool] = False
    """Whether a change of the series undoes what was told of single occurrences."""
    TRUSTS_CONFERENCE_DATA: ClassVar[bool] = False
    """Whether conference data proves enough where the system names no host (O2)."""
    CREATES_UNSEEN: ClassVar[bool] = False
    """Whether a conference that was never reached may be created (O4)."""
    LINKS_BY_CODE: ClassVar[bool] = False
    """Whether a form of the links names a conference by its meeting code (E3)."""
    NOBODYS_ID: ClassVar[ConferenceId] = ConferenceId("no-such-conference")
    """An id of the system's form that no conference has, for `probe`."""

    def __init__(self, settings: ProviderSettings, context: Context) -> None:
        host = settings.options.get("host")
        known = (*settings.hosts, host) if isinstance(host, str) else settings.hosts
        self.name = settings.name
        self.rules = ProviderRules(
            name=settings.name,
            solutions=frozenset(settings.solutions),
            uris=tuple(uri_pattern(uri) for uri in settings.uris) or self.URIS,
            fields=self.FIELDS,
            hosts=frozenset(address_of(each) for each in known),
            parameters=self.PARAMETERS,
            occurrences=self.OCCURRENCES,
            drops_occurrences=self.DROPS_OCCURRENCES,
            trusts_conference_data=self.TRUSTS_CONFERENCE_DATA,
            creates_unseen=self.CREATES_UNSEEN,
            links_by_code=self.LINKS_BY_CODE,
            normalise=self.normalise,
            # Two tokens of one address may open two accounts, with ids of their own.
            system=digest(settings.type, settings.secret, str(settings.options.get("base_url"))),
        )
        self._clock = context.clock

    @staticmethod
    def normalise(text: str) -> str:
        """Return an id, as people and Calendar write it, in the system's own form.

        Total and linear: `text` is a stranger's, of any content and length.
        """
        return text.strip()

    @abstractmethod
    def create(
        self, content: ConferenceContent, idempotency_key: str, host: str | None = None
    ) -> WayIn:
        """Create a conference, once for each key: a repetition returns the first one's, as it is.

        `host`: for whom (A3). None: the entry's `host`, else the event's organizer.
        """

    def find_made(
        self, content: ConferenceContent, idempotency_key: str, host: str | None = None
    ) -> ConferenceId | None:
        """Return the id of what a creation of this key made, None if it made nothing (C4).

        By default: create with the same key, which finds it. A system that cannot create what is
        over, or that can be searched for the key, does better.
        """
        return self.create(content, idempotency_key, host).conference_id

    @abstractmethod
    def look(
        self, conference_id: ConferenceId, content: ConferenceContent, asked_as: Sequence[str] = ()
    ) -> Sight:
        """Read a conference, and compare it with what an event says (O2). Changes nothing."""

    @abstractmethod
    def read(self, conference_id: ConferenceId, host: str | None = None) -> WayIn:
        """Return how people enter a conference."""

    @abstractmethod
    def update(
        self,
        conference_id: ConferenceId,
        content: ConferenceContent,
        changed: frozenset[str],
        host: str | None = None,
    ) -> None:
        """Send the fields in `changed`, and no other that people may have set (O5)."""

    @abstractmethod
    def delete(self, conference_id: ConferenceId, host: str | None = None) -> None:
        """Delete a conference. One that the system says is gone already is a success."""

    def update_occurrence(
        self,
        conference_id: ConferenceId,
        original_start: str,
        content: ConferenceContent,
        host: str | None = None,
    ) -> None:
        """Move or rename one occurrence, named by its original start in UTC."""
        raise NoOccurrences(f"{self.name} has no occurrences")

    def cancel_occurrence(
        self,
        conference_id: ConferenceId,
        original_start: str,
        host: str | None = None,
    ) -> None:
        """Cancel one occurrence."""
        raise NoOccurrences(f"{self.name} has no occurrences")

    def is_canonical(self, conference_id: ConferenceId) -> bool:
        """Whether `canonical` returns an id as it is, without a call."""
        return True

    def canonical(
        self,
        conference_id: ConferenceId,
        asked_as: Sequence[str] = (),
    ) -> ConferenceId:
        """Return the system's own id of a conference that an event shows by a number or a link."""
        return conference_id

    def approximation(self, content: ConferenceContent) -> Approximation | None:
        """How the copy of a series that was just sent falls short of it. None: not at all."""
        return None

    def probe(self) -> None:
        """Try the credentials with a call that changes nothing. Raises what the answer means (C3).

        By default: read a conference that does not exist. "Not found" in the system's own words
        shows that the address is right and that the system takes our credentials.
        """
        with suppress(Gone):
            self.read(self.NOBODYS_ID)

    def close(self) -> None:  # noqa: B027 - an adapter may hold no connection
        """End connections. The adapter is of no use afterwards."""


def delete_for_good(delete: Callable[[], object], system: str) -> None:
    """Delete a conference, and ask again where the system says that there is none.

    A conference that is there after all would outlive its event unseen (C4). Raises what `delete`
    raises besides Gone, NotAllowed with what a person can do (C3).
    """
    try:
        asked_twice(delete)
    except Gone:
        return
    except NotAllowed as error:
        raise _undeletable(error, system) from error


def _undeletable(error: NotAllowed, system: str) -> NotAllowed:
    """Return the error of a deletion that we may not do, with what a person can do (C3).

    A host who left the company keeps conferences that nobody else can delete.
    """
    if isinstance(error, CredentialsRefused):
        return error
    return NotAllowed(
        f"{error}; if the host has left, delete the conference in {system} as an administrator, "
        "or hand it to another host, then retry or dismiss this"
    )


def whole_addresses(hosts: frozenset[str]) -> list[str]:
    """Return those of an entry's hosts that name one user, `*@example.com` left out, in order."""
    return sorted(host for host in hosts if "*" not in host)


def in_turn(*users: str | None) -> list[str]:
    """Return who is to be asked as, each once, in this order, whatever the case of letters."""
    asked: dict[str, str] = {}
    for user in users:
        if user:
            asked.setdefault(address_of(user), user)
    return list(asked.values())


def first_to_see(
    name: str, users: Sequence[_User], ask: Callable[[_User], _Shown]
) -> tuple[_Shown, _User]:
    """Return what a system shows to the first of several users who may see it, and to whom.

    Raises Gone if each of them was told that it is gone, and NotAllowed if one was refused: then
    it may be there, hidden (C3). Refused credentials and TryLater are nobody's in particular.
    """
    hidden: SyncError | None = None
    gone: Gone | None = None
    for user in users:
        try:
            return ask(user), user
        except CredentialsRefused:
            raise
        except (NotAllowed, Invalid) as error:
            hidden = hidden or error
        except Gone as error:
            gone = error
    if hidden is None and gone is not None:
        raise gone
    raise NotAllowed(
        f"{name} does not show this conference to the event's organizer or creator, nor to a host "
        f"of the entry ({hidden or 'which names none'}); name its host in hosts"
    ) from hidden
