"""The four conferencing systems as one: what is asked of whichever is connected.

    system = SYSTEMS["zoom"]()
    shown = system.add("Planning")              # conferenceData, as an add-on leaves it in an event
    system.title(shown["conferenceId"])

Conferences are named by the ids that Calendar shows. `server` is the stand-in itself, for whatever
is particular to it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from sandbox.faults import Faults
from sandbox.rest import Rest
from sandbox.service import Exchange
from sandbox.teams import Teams
from sandbox.webex import Webex
from sandbox.zoom import Zoom

Json = dict[str, Any]
Server = TypeVar("Server", Rest, Zoom, Webex, Teams)

SOLUTION = "My Web Conference"
JOIN_LINK = "https://meet.example.com/{id}"

# Ids of a page's width say nothing to a reader. What follows an id, such as an occurrence's start,
# does.
_LONG_ID = re.compile(r"([\w*=-]{8})(?<!_)[0-9A-Za-z*=-]{12,}")


class ConferencingSystem(ABC, Generic[Server]):
    """A stand-in, and what can be asked of every one of them."""

    server: Server
    title_member: str
    begin_member: str
    link_member = ""
    update_method = "PATCH"
    """By which the API changes a conference."""
    name: str
    """Of the provider in SYNC_PROVIDERS."""
    called: str
    """What people call the system."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def start(self) -> None:
        self.server.start()

    def stop(self) -> None:
        self.server.stop()

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def faults(self) -> Faults:
        return self.server.faults

    @property
    @abstractmethod
    def secret(self) -> Json:
        """What the provider's secret must hold."""

    @abstractmethod
    def rotate(self) -> Json:
        """Let the former credentials be refused. Returns what the secret must hold now."""

    @abstractmethod
    def entry(self, secret: str) -> Json:
        """The entry of SYNC_PROVIDERS that leads here."""

    def add(self, title: str, host: str | None = None) -> Json:
        """Make a conference as an add-on would, and return what a Calendar event shows of it.

        `host` is the address of the person whose conference it is. None: the system's own host.
        """
        return self.event_data(self.server.add(**self.add_body(title, host)))

    @abstractmethod
    def add_body(self, title: str, host: str | None = None) -> Json:
        """What `POST /_sandbox/add` takes to make such a conference."""

    def event_data(self, added: Json) -> Json:
        """The conference data that an event shows, of what `add` of the stand-in returned."""
        return added

    @property
    def solution(self) -> str:
        """What the conferences are called in Calendar's event form."""
        return str(self.entry("")["solutions"][0])

    def welcome(self, address: str) -> None:
        """Give a person an account, where the system lets none but its own people host."""

    def forget(self, conference_id: str) -> None:
        """Delete a conference behind everyone's back."""
        self.server.forget(conference_id)

    @property
    @abstractmethod
    def conferences(self) -> dict[str, Json]:
        """Conferences by id, as the system stores them."""

    def exists(self, conference_id: str) -> bool:
        return conference_id in self.conferences

    def title(self, conference_id: str) -> str | None:
        """None if there is no such conference. So for the others below."""
        title: str | None = self._stored(conference_id).get(self.title_member)
        return title

    def titled(self, title: str) -> list[str]:
        """The ids of the conferences with this title."""
        return [known for known in list(self.conferences) if self.title(known) == title]

    def begins(self, conference_id: str) -> datetime | None:
        return _moment(self._stored(conference_id).get(self.begin_member))

    @abstractmethod
    def ends(self, conference_id: str) -> datetime | None:
        """The end, of a series that of its first occurrence where the system has occurrences."""

    def join_link(self, conference_id: str) -> str | None:
        link: str | None = self._stored(conference_id).get(self.link_member)
        return link

    def recurring(self, conference_id: str) -> bool:
        """Whether a rule of recurrence is held."""
        return bool(self._stored(conference_id).get("recurrence"))

    @abstractmethod
    def occurrences(self, conference_id: str) -> int | None:
        """How many occurrences differ from their series, the cancelled ones included. None: the
        system has none."""

    @property
    def received(self) -> int:
        """How many requests came so far, those for tokens left out."""
        return len(self.server.requests)

    def requests(self, since: int = 0) -> Sequence[Exchange]:
        return list(self.server.requests)[since:]

    def calls(self, since: int = 0) -> list[str]:
        """What was received after the first `since` requests: method and path, long ids
        shortened."""
        return [f"{one.method} {self._path(one)}" for one in self.requests(since)]

    @property
    @abstractmethod
    def created(self) -> int:
        """Conferences made through the API."""

    def _stored(self, conference_id: str) -> Json:
        return self.conferences.get(conference_id, {})

    def _path(self, request: Exchange) -> str:
        return _LONG_ID.sub(r"\1…", re.sub(r"^/(api|v[\d.]+)(?=/)", "", request.path))


class RestSystem(ConferencingSystem[Rest]):
    title_member, begin_member, update_method = "title", "start", "PUT"
    name, called = "my-web", "the conferencing system"

    def __init__(self) -> None:
        super().__init__(Rest(token="first-token"))

    @property
    def secret(self) -> Json:
        return self.server.secret

    def rotate(self) -> Json:
        self.server.tokens = {"second-token"}
        return self.secret

    def entry(self, secret: str) -> Json:
        return {
            "name": self.name,
            "type": "rest",
            "solutions": [SOLUTION],
            "uris": [JOIN_LINK],
            "base_url": self.server.base_url,
            "secret": secret,
        }

    def add_body(self, title: str, host: str | None = None) -> Json:
        return {"title": title, "organizer": host}

    def event_data(self, added: Json) -> Json:
        return {
            "conferenceId": added["id"],
            "conferenceSolution": {"key": {"type": "addOn"}, "name": SOLUTION},
            "entryPoints": [
                {
                    "entryPointType": "video",
                    "uri": JOIN_LINK.replace("{id}", added["id"]),
                    "label": "meet.example.com",
                }
            ],
        }

    @property
    def conferences(self) -> dict[str, Json]:
        return self.server.conferences

    def ends(self, conference_id: str) -> datetime | None:
        return _moment(self._stored(conference_id).get("end"))

    def join_link(self, conference_id: str) -> str | None:
        points = self._stored(conference_id).get("entry_points")
        return str(points[0]["uri"]) if points else None

    def occurrences(self, conference_id: str) -> int | None:
        return len(self._stored(conference_id).get("occurrences", {}))

    @property
    def created(self) -> int:
        return self.server.created


Cloud = TypeVar("Cloud", Zoom, Webex, Teams)


class CloudSystem(ConferencingSystem[Cloud]):
    """What Zoom, Webex and Teams share."""

    created_status = 201
    """What a creation is answered with."""

    @property
    def secret(self) -> Json:
        return self.server.secret

    def rotate(self) -> Json:
        return self.server.rotate()

    def entry(self, secret: str) -> Json:
        return self.server.entry(self.name, secret)

    def add_body(self, title: str, host: str | None = None) -> Json:
        return {self.title_member: title, **({"host": host} if host else {})}

    @property
    def conferences(self) -> dict[str, Json]:
        return self.server.meetings

    @property
    def created(self) -> int:
        return sum(
            (one.method, one.status) == ("POST", self.created_status) for one in self.requests()
        )


class ZoomSystem(CloudSystem[Zoom]):
    title_member, begin_member, link_member = "topic", "start_time", "join_url"
    name, called = "zoom", "Zoom"

    def __init__(self) -> None:
        super().__init__(Zoom())

    def welcome(self, address: str) -> None:
        self.server.hosts.add(address)

    def ends(self, conference_id: str) -> datetime | None:
        begin = self.begins(conference_id)
        return begin and begin + timedelta(minutes=self._stored(conference_id)["duration"])

    def occurrences(self, conference_id: str) -> int | None:
        """Zoom knows an occurrence by its original start, in milliseconds."""
        listed = self._stored(conference_id).get("occurrences", [])
        return sum(
            1
            for one in listed
            if one["status"] == "deleted"
            or datetime.fromisoformat(one["start_time"]).timestamp() * 1000
            != int(one["occurrence_id"])
        )

    def _path(self, request: Exchange) -> str:
        path = super()._path(request)
        occurrence = request.query.get("occurrence_id")
        return f"{path}?occurrence_id={occurrence}" if occurrence else path


class WebexSystem(CloudSystem[Webex]):
    title_member, begin_member, link_member = "title", "start", "webLink"
    name, called = "webex", "Webex"
    created_status = 200

    def __init__(self) -> None:
        super().__init__(Webex())

    def welcome(self, address: str) -> None:
        self.server.hosts.add(address)

    def ends(self, conference_id: str) -> datetime | None:
        return _moment(self._stored(conference_id).get("end"))

    def occurrences(self, conference_id: str) -> int | None:
        return len(self._stored(conference_id).get("exceptions", {}))


class TeamsSystem(CloudSystem[Teams]):
    """Teams' online meetings know no recurrence: one meeting reaches from the first start to the
    last end."""

    title_member, begin_member, link_member = "subject", "startDateTime", "joinWebUrl"
    name, called = "teams", "Teams"

    def __init__(self) -> None:
        super().__init__(Teams())

    def welcome(self, address: str) -> None:
        self.server.add_user(address)

    def ends(self, conference_id: str) -> datetime | None:
        return _moment(self._stored(conference_id).get("endDateTime"))

    def occurrences(self, conference_id: str) -> int | None:  # noqa: ARG002 - there are none of any meeting
        return None


SYSTEMS: dict[str, Callable[[], ConferencingSystem[Any]]] = {
    "rest": RestSystem,
    "zoom": ZoomSystem,
    "webex": WebexSystem,
    "teams": TeamsSystem,
}


def _moment(text: str | None) -> datetime | None:
    """Times without an offset are in UTC."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
