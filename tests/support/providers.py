"""Every adapter beside its stand-in, for the suites that all of them pass."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sandbox.oauth_service import OAuthService
from sandbox.teams import Teams
from sandbox.webex import Webex
from sandbox.zoom import Zoom
from sync import conferencing
from sync.conferencing import Adapter, Context
from sync.conferencing.api import Classify
from sync.conferencing.http import Answer
from sync.config import ProviderSettings, Settings
from sync.errors import SyncError
from sync.model.conference import ConferenceContent, EventRef
from sync.model.event import CalendarId, ConferenceData, ConferenceId, EventId, EventTime
from sync.model.provider import ProviderRules
from tests.support.specs import check_exchanges

Json = dict[str, Any]


SECRET = "projects/p/secrets/provider"


NOW = datetime(2026, 5, 1, 12, 0, 20, tzinfo=UTC)


ALL = frozenset({"title", "description", "start", "end", "time_zone", "recurrence", "duration"})


NAMES = ("rest", "zoom", "webex", "teams")


WEEKLY = ("RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=10",)


def at(text: str, zone: str | None = "Europe/Berlin") -> EventTime:
    """`2026-05-04T10:00:00+02:00`, or a date for an all-day event."""
    if len(text) == 10:
        return EventTime(day=date.fromisoformat(text))
    return EventTime(moment=datetime.fromisoformat(text), time_zone=zone)


def content(**changes: Any) -> ConferenceContent:
    """Monday, 4 May 2026, 10 to 11 o'clock in Berlin."""
    start = changes.pop("start", "2026-05-04T10:00:00+02:00")
    end = changes.pop("end", "2026-05-04T11:00:00+02:00")
    zone = changes.pop("zone", "Europe/Berlin")
    event = EventRef(calendar_id=CalendarId("ada@example.com"), event_id=EventId("e1"))
    plain = ConferenceContent(
        event=event,
        title="Weekly",
        description="What we did",
        start=at(start, zone),
        end=at(end, zone),
        organizer="host@example.com",
        attendees=("grace@example.com",),
    )
    return replace(plain, **changes)


def settings_of(entry: Json) -> ProviderSettings:
    """The settings of one entry of SYNC_PROVIDERS."""
    return Settings.from_environ({"SYNC_PROVIDERS": json.dumps([entry])}).providers[0]


def id_in_link(link: str, rules: ProviderRules) -> ConferenceId | None:
    """The id that a join link names, None for a link that is none of this provider's."""
    found = next((match for uri in rules.uris if (match := uri.fullmatch(link))), None)
    return ConferenceId(rules.normalise(found[1])) if found else None


def id_in_data(shown: Json, rules: ProviderRules) -> ConferenceId | None:
    """The id by which conference data of one of the provider's solutions is known."""
    data = ConferenceData.from_api(shown)
    assert data.solution in rules.solutions
    if data.conference_id:
        return ConferenceId(rules.normalise(data.conference_id))
    return next((known for uri in data.uris if (known := id_in_link(uri, rules))), None)


@dataclass
class Bench:
    """One stand-in and our adapter for it, with a clock that tests turn and a secret that they
    write."""

    name: str
    system: Any
    entry: Json
    secret: bytes
    now: datetime = NOW
    providers: list[Adapter] = field(default_factory=list)
    replaced: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.provider = self.make()

    def make(self, **options: Any) -> Adapter:
        """Return an adapter with other options, as another instance would have it."""
        hosts = tuple(options.pop("hosts", ()))
        settings = replace(settings_of({**self.entry, **options}), hosts=hosts)
        return self.keep(conferencing.providers([settings], self.context)[self.name])

    def keep(self, provider: Adapter) -> Adapter:
        """Close an adapter when the test is over."""
        self.providers.append(provider)
        return provider

    @property
    def context(self) -> Context:
        return Context(
            read_secret=self.read_secret,
            clock=lambda: self.now,
            replace_secret=self.replace_secret,
        )

    def read_secret(self, name: str, _max_age_seconds: float) -> bytes:
        assert name == SECRET
        return self.secret

    def replace_secret(self, name: str, old: bytes, new: bytes) -> None:
        assert (name, old) == (SECRET, self.secret)
        self.replaced.append(old)
        self.secret = new

    def rotate(self) -> Json:
        """Let the provider take another secret, which is not ours yet."""
        if self.name == "rest":
            self.system.tokens.clear()
            self.system.tokens.add("rotated")
            return {"token": "rotated"}
        rotated: Json = self.system.rotate()
        return rotated

    @property
    def rules(self) -> ProviderRules:
        return self.provider.rules

    def add(self, **members: Any) -> ConferenceId:
        """Make a meeting as an add-on would; return the id by which its event makes it known to
        us."""
        return self.id_in(self.system.add(**members))

    def id_in(self, shown: Json) -> ConferenceId:
        if self.name == "rest":
            shown = {"conferenceId": shown["id"], "conferenceSolution": {"name": "My Web"}}
        found = id_in_data(shown, self.rules)
        assert found is not None
        return found

    @property
    def meetings(self) -> dict[str, Json]:
        found: dict[str, Json] = (
            self.system.meetings if self.name in _SYSTEMS else self.system.conferences
        )
        return found

    def only(self) -> Json:
        (meeting,) = self.meetings.values()
        return meeting

    def title(self, meeting: Json) -> Any:
        return meeting[{"zoom": "topic", "teams": "subject"}.get(self.name, "title")]

    def start(self, meeting: Json) -> datetime:
        text = meeting[{"zoom": "start_time", "teams": "startDateTime"}.get(self.name, "start")]
        return datetime.fromisoformat(text).astimezone(UTC)

    def writes(self) -> list[Any]:
        return [each for each in self.system.requests if each.method != "GET"]

    def check(self) -> None:
        """Hold what was sent and answered against the published description."""
        if isinstance(self.system, OAuthService):
            check_exchanges(
                self.name,
                self.system.requests,
                self.entry["base_url"].removeprefix(self.system.url),
            )


_SYSTEMS: dict[str, type[Zoom] | type[Webex] | type[Teams]] = {
    "zoom": Zoom,
    "webex": Webex,
    "teams": Teams,
}


def bench_of(name: str, system: Any) -> Bench:
    if name == "rest":
        system.reset("first")
        entry = {
            "name": "rest",
            "type": "rest",
            "solutions": ["My Web"],
            "base_url": f"{system.url}/api",
            "secret": SECRET,
        }
        return Bench(name, system, entry, b'{"token": "first"}')
    system.reset()
    bench = Bench(name, system, system.entry(name, SECRET), json.dumps(system.secret).encode())
    system.clock = lambda: bench.now
    return bench


@contextmanager
def checked(bench: Bench) -> Iterator[Bench]:
    """Hold what was sent and answered against the published description afterwards."""
    try:
        yield bench
        bench.check()
    finally:
        for provider in bench.providers:
            provider.close()


def meaning(
    classify: Classify,
    name: str,
    answer: tuple[int, dict[str, str], Any],
    expected: type[SyncError],
) -> SyncError:
    """Return what an answer means: an error of this very kind, which names nobody (C3).

    `answer` is status, headers and body, the body as text or as what is written as JSON.
    """
    status, headers, body = answer
    data = body if isinstance(body, str) else json.dumps(body)
    found = classify(Answer(status, headers, data.encode()), name, NOW)
    assert type(found) is expected
    assert "@" not in str(found)
    return found


def starts(bench: Bench) -> list[str]:
    """When the occurrences of the only series begin, as its system has it."""
    meeting = bench.only()
    match bench.name:
        case "zoom":
            return [
                each["start_time"]
                for each in meeting["occurrences"]
                if each["status"] == "available"
            ]
        case "webex":
            return [each["start"] for each in bench.system.occurrences(meeting["id"])]
        case _:
            kept = {
                original: changed and datetime.fromisoformat(changed["start"]).astimezone(UTC)
                for original, changed in meeting["occurrences"].items()
            }
            dates = [
                datetime(2026, 5, 4, 8, tzinfo=UTC) + timedelta(weeks=number)
                for number in range(10)
            ]
            named = {f"{each:%Y-%m-%dT%H:%M:%SZ}": each for each in dates}
            now = [kept.get(name, each) for name, each in named.items()]
            return [f"{each:%Y-%m-%dT%H:%M:%SZ}" for each in now if each]
