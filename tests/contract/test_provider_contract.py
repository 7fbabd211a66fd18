"""What every provider promises: one suite over all four, each against its stand-in through real
HTTP.

Whatever is sent and answered on the way is held against the provider's published description
(test_provider_specs).
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import pytest

from sandbox.oauth_service import OAuthService
from sandbox.service import Exchange
from sync import conferencing
from sync.conferencing import Context
from sync.errors import CredentialsRefused, Gone, Invalid, NoOccurrences, SyncError, TryLater
from sync.model.conference import ConferenceContent
from sync.model.event import ConferenceId
from sync.model.series import begins_on
from tests.support.providers import (
    ALL,
    NAMES,
    NOW,
    SECRET,
    WEEKLY,
    Bench,
    Json,
    content,
    settings_of,
    starts,
)

HOST = "host@example.com"
WHEN = {"start", "end", "time_zone", "recurrence"}


@pytest.fixture
def bench(provider_bench: Bench) -> Bench:
    return provider_bench


# Life and death.


def test_c4_created_once_for_each_key(bench: Bench) -> None:
    """A repetition with the same key returns the first one's; another key makes another."""
    made = bench.provider.create(content(), "key-1")
    assert bench.title(bench.only()) == "Weekly"
    assert bench.start(bench.only()) == datetime(2026, 5, 4, 8, tzinfo=UTC)
    assert bench.provider.create(content(), "key-1").conference_id == made.conference_id
    assert len(bench.meetings) == 1
    assert bench.make().create(content(), "key-1").conference_id == made.conference_id, (
        "another instance knows it too"
    )
    assert bench.provider.create(content(), "key-2").conference_id != made.conference_id


def test_c4_an_unknown_outcome_makes_no_second_one(bench: Bench) -> None:
    """The answer to a creation is lost after its effect, in each way: tried again it is the same
    meeting."""
    losses: list[Json] = [{"status": 502, "after": True}, {"truncate": True}, {"after": True}]
    for number, fault in enumerate(losses):
        bench.system.faults.add(method="POST", path="(onlineMeetings|onferences|meetings)", **fault)
        with pytest.raises(TryLater) as raised:
            bench.provider.create(content(), f"key-{number}")
        assert raised.value.outcome_unknown
        bench.provider.create(content(title="Renamed meanwhile"), f"key-{number}")
        assert len(bench.meetings) == number + 1


def test_c1_who_created_can_read_change_and_delete(bench: Bench) -> None:
    """The id that creation returns is the one for everything after it."""
    made = bench.provider.create(content(), "key-1")
    assert bench.provider.read(made.conference_id) == made
    bench.provider.update(made.conference_id, content(title="Renamed"), frozenset({"title"}))
    assert bench.title(bench.only()) == "Renamed"
    bench.provider.delete(made.conference_id)
    assert bench.meetings == {}


def test_c1_what_an_add_on_made_is_followed(bench: Bench) -> None:
    """The id that Calendar shows leads to the meeting; a change reaches it, and deleting it
    twice is no error."""
    known = bench.add()
    bench.provider.update(
        known, content(start="2026-06-01T15:00:00+02:00", end="2026-06-01T16:00:00+02:00"), ALL
    )
    assert bench.title(bench.only()) == "Weekly"
    assert bench.start(bench.only()) == datetime(2026, 6, 1, 13, tzinfo=UTC)
    bench.provider.delete(known)
    assert bench.meetings == {}
    bench.provider.delete(known)


def test_c3_gone_is_said(bench: Bench) -> None:
    """Deleted behind our back: reading and changing say so, deleting is done."""
    known = bench.add()
    bench.provider.read(known)
    bench.system.forget(next(iter(bench.meetings)))
    for call in (
        lambda: bench.provider.read(known),
        lambda: bench.provider.update(known, content(), ALL),
        lambda: bench.provider.update(known, content(title="x"), frozenset({"title"})),
    ):
        with pytest.raises(Gone):
            call()
    bench.provider.delete(known)


def test_c4_one_not_found_is_no_evidence_that_a_deletion_is_done(bench: Bench) -> None:
    """The system says once that there is nothing to delete, although there is."""
    known = bench.provider.create(content(), "key-1").conference_id
    bench.system.trouble("false-not-found", times=1, method="DELETE")
    bench.provider.delete(known)
    assert bench.meetings == {}


def test_the_way_in_fits_into_calendar_and_gives_nobody_host_rights(bench: Bench) -> None:
    """A join link, a number to dial; nothing that Calendar would not take, and nothing that is
    the host's."""
    way_in = bench.provider.create(content(), "key-1")
    kinds = [point.kind for point in way_in.entry_points]
    assert kinds.count("video") == 1
    assert "phone" in kinds or bench.name not in NAMES
    for point in way_in.entry_points:
        assert len(point.uri) <= 1300
        assert len(point.label or "") <= 512
        codes = (point.passcode, point.password, point.pin, point.meeting_code, point.access_code)
        assert all(code is None or 0 < len(code) <= 128 for code in codes)
    assert "host-secret" not in repr(way_in)


# Occurrences.


def test_e5_occurrences_move_and_fall_out(bench: Bench) -> None:
    """One is moved, one is cancelled, both more than once without harm; a system without them
    says so."""
    made = bench.provider.create(content(recurrence=WEEKLY), "key-1")
    moved = content(start="2026-05-11T15:00:00+02:00", end="2026-05-11T16:30:00+02:00")
    if not bench.provider.rules.occurrences:
        with pytest.raises(NoOccurrences):
            bench.provider.update_occurrence(made.conference_id, "2026-05-11T08:00:00Z", moved)
        with pytest.raises(NoOccurrences):
            bench.provider.cancel_occurrence(made.conference_id, "2026-05-11T08:00:00Z")
        return
    for _ in range(2):
        bench.provider.update_occurrence(made.conference_id, "2026-05-11T08:00:00Z", moved)
        bench.provider.cancel_occurrence(made.conference_id, "2026-05-18T08:00:00Z")
    again = content(start="2026-05-12T15:00:00+02:00", end="2026-05-12T16:00:00+02:00")
    bench.provider.update_occurrence(made.conference_id, "2026-05-11T08:00:00Z", again)
    assert starts(bench)[:3] == [
        "2026-05-04T08:00:00Z",
        "2026-05-12T13:00:00Z",
        "2026-05-25T08:00:00Z",
    ]


# Refusals.


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("7", 7),
        (format_datetime(NOW.replace(microsecond=0) + timedelta(seconds=30), usegmt=True), 30),
        ("2026-05-01T12:10:20Z", 600),
        ("2020-01-01T00:00:00Z", 0),
    ],
)
def test_c3_too_many_requests_wait_as_long_as_is_asked(
    bench: Bench, told: str, seconds: int
) -> None:
    """429 with Retry-After as seconds, as HTTP date, as ISO date; it is about everybody, and
    nothing was done."""
    known = bench.add()
    bench.system.faults.add(
        path="(onferences|eetings)",
        status=429,
        headers={"Retry-After": told},
        body=refusal_of(bench, 429),
    )
    with pytest.raises(TryLater) as raised:
        bench.provider.update(known, content(), ALL)
    assert raised.value.after == timedelta(seconds=seconds)
    assert raised.value.everybody
    assert not raised.value.outcome_unknown
    bench.provider.update(known, content(), ALL)


def refusal_of(bench: Bench, status: int) -> Any:
    if isinstance(bench.system, OAuthService):
        return bench.system.refusal(status, "Too many requests.")
    return {"error": {"message": "Too many requests."}}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, "boom"),
        (502, "<html>Bad gateway</html>"),
        (503, '<?xml version="1.0"?><error/>'),
        (504, ""),
        (408, ""),
    ],
)
def test_c3_a_gateway_in_between_fails(bench: Bench, status: int, body: str) -> None:
    """A server error, with whatever body: later again, and perhaps it was carried out."""
    known = bench.add()
    bench.system.faults.add(path="(onferences|eetings)", status=status, body=body)
    with pytest.raises(TryLater) as raised:
        bench.provider.update(known, content(), ALL)
    assert raised.value.outcome_unknown


def test_c3_success_that_says_nothing_is_none(bench: Bench) -> None:
    """200 with a page of HTML, or with JSON that is no meeting."""
    known = bench.add()
    bodies: list[Any] = ["<html>Welcome</html>", [], {}, {"id": None}, {"id": ""}]
    for body in bodies:
        bench.system.faults.add(method="GET", path="(onferences|eetings)", status=200, body=body)
        with pytest.raises(TryLater):
            bench.provider.read(known)
    bench.system.requests.clear()  # its answers were none


def test_c1_answers_may_have_unknown_fields_and_lack_others(bench: Bench) -> None:
    """Nothing but the id is needed of an answer, and nothing is wrong with more."""
    known = bench.add()
    number: Any = int(known) if bench.name == "zoom" else known
    odd = {
        "settings": 5,
        "telephony": [],
        "audioConferencing": "x",
        "joinMeetingIdSettings": None,
        "entry_points": {},
    }
    bench.system.faults.add(
        method="GET", path="(onferences|eetings)", status=200, body={"id": number, "new": 1, **odd}
    )
    way_in = bench.provider.read(known)
    assert (way_in.conference_id, way_in.entry_points) == (known, ())
    bench.system.requests.clear()


def test_a_redirect_is_not_followed(bench: Bench) -> None:
    """It would carry the token elsewhere."""
    known = bench.add()
    bench.system.faults.add(
        path="(onferences|eetings)", status=307, headers={"Location": "https://example.org/"}
    )
    with pytest.raises(Invalid, match="base_url"):
        bench.provider.update(known, content(), ALL)


def test_c3_nobody_answers(bench: Bench) -> None:
    """A system that cannot be reached: later, and nothing was done."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
        provider = bench.make(base_url=nowhere)
        with pytest.raises(TryLater) as raised:
            provider.update(bench.add(), content(), ALL)
    assert not raised.value.outcome_unknown


# CredentialsRefused.


def test_c2_a_rotated_secret_needs_no_deploy(bench: Bench) -> None:
    """401, the secret read again, once more: the caller notices nothing."""
    known = bench.add()
    bench.provider.update(known, content(), ALL)
    bench.secret = json.dumps(bench.rotate()).encode()
    bench.provider.update(known, content(title="Rotated"), ALL)
    assert bench.title(bench.only()) == "Rotated"


@pytest.mark.slow
def test_c5_refused_credentials_are_one_failure(bench: Bench) -> None:
    """A hundred events fail on them with the provider's name, and few requests are made; then
    they are mended."""
    known = bench.add()
    bench.provider.update(known, content(), ALL)
    rotated = bench.rotate()
    before = requests_of(bench)
    for _ in range(100):
        with pytest.raises(CredentialsRefused) as raised:
            bench.provider.update(known, content(), ALL)
        assert raised.value.provider == bench.name
    assert requests_of(bench) - before <= 105 if bench.name != "rest" else 1
    if isinstance(bench.system, OAuthService):
        assert len(bench.system.grants) <= 3
    bench.secret = json.dumps(rotated).encode()
    bench.now += timedelta(seconds=6)
    bench.provider.update(known, content(), ALL)


def requests_of(bench: Bench) -> int:
    return len(bench.system.requests)


@pytest.mark.parametrize(
    "spoil", ["not JSON", "a list", "missing", "misspelt", "empty", "a number"]
)
def test_c2_a_spoilt_secret_is_explained(bench: Bench, spoil: str) -> None:
    """What is wrong with it is told by its fields' names; no value of it is ever told."""
    known = bench.add()
    fields: Json = json.loads(bench.secret)
    name = list(fields)[-1]
    value = fields.pop(name)
    match spoil:
        case "not JSON":
            bench.secret = f"{value}, plain".encode()
        case "a list":
            bench.secret = json.dumps([value]).encode()
        case "misspelt":
            bench.secret = json.dumps({**fields, f"{name}s": value}).encode()
        case "empty":
            bench.secret = json.dumps({**fields, name: " "}).encode()
        case "a number":
            bench.secret = json.dumps({**fields, name: 5}).encode()
        case _:
            bench.secret = json.dumps(fields).encode()
    with pytest.raises(CredentialsRefused) as raised:
        bench.provider.update(known, content(), ALL)
    assert name in str(raised.value)
    assert SECRET in str(raised.value)
    assert value not in str(raised.value)
    assert bench.writes() == []


def test_credentials_of_another_account(bench: Bench) -> None:
    """Well-formed, and refused: the text says which secret to mend."""
    fields = {name: f"another-{name}" for name in json.loads(bench.secret)}
    bench.secret = json.dumps(fields).encode()
    with pytest.raises(CredentialsRefused) as raised:
        bench.provider.update(bench.add(), content(), ALL)
    assert not any(value in str(raised.value) for value in fields.values())


def test_a_secret_that_cannot_be_read(bench: Bench) -> None:
    """Missing, or not ours to read: credentials. Out of reach: later."""
    known = bench.add()
    errors: list[SyncError] = [
        Invalid("there is no such secret"),
        TryLater("Secret Manager is down"),
    ]
    for error, expected in zip(errors, (CredentialsRefused, TryLater), strict=True):

        def read(_name: str, _age: float, error: SyncError = error) -> bytes:
            raise error

        context = Context(read_secret=read, clock=lambda: bench.now)
        made = conferencing.providers([settings_of(bench.entry)], context)[bench.name]
        with pytest.raises(expected):
            bench.keep(made).update(known, content(), ALL)


def test_c2_many_at_once_share_one_token(bench: Bench) -> None:
    """Eight threads begin together: one asks for a token, and all use it."""
    known = [bench.add() for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda each: bench.provider.update(each, content(), ALL), known))
    if isinstance(bench.system, OAuthService):
        assert len(bench.system.grants) == 1
    assert all(bench.title(each) == "Weekly" for each in bench.meetings.values())


# Odd events.

LONG_TITLE = "👩‍👩‍👧‍👦 <b>" + "äß<>&" * 1000

ODD_EVENTS: dict[str, Callable[[], ConferenceContent]] = {
    "long title": lambda: content(title=LONG_TITLE),
    "no title": lambda: content(title=""),
    "lines in the title": lambda: content(title="a\nb\tc"),
    "long description": lambda: content(description="<p>x</p>" * 20_000),
    "control characters": lambda: content(title="a\x00b", description="\x07"),
    "half a character": lambda: content(title="\ud83d", description="x\udc4d"),
    "no end": lambda: content(end="2026-05-04T10:00:00+02:00"),
    "no time zone": lambda: content(zone=None),
    "a zone nobody knows": lambda: content(zone="Mars/Olympus_Mons"),
    "a zone that is a path": lambda: content(zone="../../etc/passwd"),
    "past": lambda: content(start="2020-05-04T10:00:00+02:00", end="2020-05-04T11:00:00+02:00"),
    "under way": lambda: content(
        start="2026-05-01T13:55:00+02:00", end="2026-05-01T15:00:00+02:00"
    ),
    "the year 9999": lambda: content(
        start="9999-12-30T10:00:00+02:00", end="9999-12-30T11:00:00+02:00"
    ),
    "the year 1": lambda: content(
        start="0001-01-02T10:00:00+00:00", end="0001-01-02T11:00:00+00:00"
    ),
    "a week long": lambda: content(end="2026-05-11T10:00:00+02:00"),
    "all day": lambda: content(start="2026-05-04", end="2026-05-05"),
    "500 occurrences": lambda: content(recurrence=("RRULE:FREQ=DAILY;COUNT=500",)),
    "endless": lambda: content(recurrence=("RRULE:FREQ=DAILY",)),
    "never": lambda: content(recurrence=("RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",)),
    "by the second": lambda: content(recurrence=("RRULE:FREQ=SECONDLY",)),
    "nonsense": lambda: content(recurrence=("RRULE:FREQ=SOMETIMES", "WHATEVER")),
    "interval 0": lambda: content(recurrence=("RRULE:FREQ=DAILY;INTERVAL=0",)),
    "only dates": lambda: content(recurrence=("RDATE;TZID=Europe/Berlin:20260506T100000",)),
    "a series of days": lambda: content(
        start="2026-05-04", end="2026-05-05", recurrence=("RRULE:FREQ=WEEKLY;BYDAY=MO",)
    ),
}


@pytest.mark.parametrize("odd", ["..", ".", "/", "a/../../users", "?x=1", "#", "\ud83d", "é" * 300])
def test_e8_odd_ids_lead_nowhere_else(bench: Bench, odd: str) -> None:
    """Whatever a conference's id is, no other path is called."""
    if bench.name == "rest":
        pytest.skip("has its own")
    for call in (
        lambda: bench.provider.read(ConferenceId(odd)),
        lambda: bench.provider.update(ConferenceId(odd), content(), ALL),
        lambda: bench.provider.delete(ConferenceId(odd)),
    ):
        with suppress(SyncError):
            call()
    prefixes = {"zoom": "/v2/meetings/", "webex": "/v1/meetings/", "teams": "/v1.0/users/"}
    prefix = prefixes.get(bench.name, f"{bench.system.API}meetings/")
    assert all(
        each.path.startswith(prefix) and len(each.path) > len(prefix)
        for each in bench.system.requests
    )
    bench.system.requests.clear()  # some are no id that a description allows


@pytest.mark.parametrize("odd", ODD_EVENTS)
def test_e8_odd_events_are_told_or_refused_with_a_reason(bench: Bench, odd: str) -> None:
    """Nothing but our own errors comes of any of them; who is refused is left as it was."""
    known = bench.add()
    before = json.dumps(bench.only(), sort_keys=True, default=str)
    refused = ""
    try:
        bench.provider.update(known, ODD_EVENTS[odd](), ALL)
    except Invalid as error:
        refused = str(error)
    if refused:
        assert len(refused) > 20
        assert json.dumps(bench.only(), sort_keys=True, default=str) == before
    assert bench.title(bench.only()) or bench.name == "rest", "the others want a title"


# Ownership: what a look shows.


def added(bench: Bench, **members: Any) -> ConferenceId:
    """A conference of `host@example.com`, which every stand-in knows."""
    if bench.name == "rest":
        members.setdefault("organizer", HOST)
    return bench.add(**members)


def test_o2_a_look_shows_whose_a_conference_is_and_changes_nothing(bench: Bench) -> None:
    """One read: the host's address, that the conference can be scheduled, and the way in."""
    known = added(bench)
    before = json.dumps(bench.only(), sort_keys=True, default=str)
    sight = bench.provider.look(known, content(), (HOST,))
    assert HOST in sight.hosts
    assert (sight.unfit, sight.recurring) == (None, False)
    assert sight.way_in.conference_id == bench.provider.canonical(known, (HOST,))
    assert sight.way_in.entry_points
    assert bench.provider.read(sight.way_in.conference_id, sight.seen_as) == sight.way_in
    assert json.dumps(bench.only(), sort_keys=True, default=str) == before
    assert bench.writes() == []


SAME: dict[str, Callable[[], ConferenceContent]] = {
    "a meeting": content,
    "a series": lambda: content(recurrence=WEEKLY),
    "an endless series": lambda: content(recurrence=("RRULE:FREQ=WEEKLY",)),
    "excluded dates": lambda: content(
        recurrence=(*WEEKLY, "EXDATE;TZID=Europe/Berlin:20260511T100000")
    ),
    "a long title": lambda: content(title=LONG_TITLE),
    "no title": lambda: content(title=""),
    "a formatted description": lambda: content(description="<p>a</p><ul><li>b</ul>" * 200),
    "no description": lambda: content(description=""),
    "half a character": lambda: content(title="x\ud83d", description="x\udc4d"),
    "a zone nobody knows": lambda: content(zone="Mars/Olympus_Mons"),
    "an offset": lambda: content(zone="GMT+02:00"),
    "a series with an offset": lambda: content(
        zone="GMT+02:00", recurrence=("RRULE:FREQ=DAILY;COUNT=5",)
    ),
    "five minutes": lambda: content(end="2026-05-04T10:05:00+02:00"),
    "under way": lambda: content(
        start="2026-05-01T13:55:00+02:00", end="2026-05-01T15:00:00+02:00"
    ),
    "over": lambda: content(start="2026-04-01T10:00:00+02:00", end="2026-04-01T11:00:00+02:00"),
}


@pytest.mark.parametrize("told", SAME)
def test_e4_what_was_sent_does_not_differ(bench: Bench, told: str) -> None:
    """First sight sends what differs; the next look finds nothing, whatever the system made of
    it: shortened titles, plain texts, longer meetings, zones."""
    known = added(bench)
    wanted = SAME[told]()
    sight = bench.provider.look(known, wanted, (HOST,))
    assert sight.differs & bench.provider.rules.fields
    known = sight.way_in.conference_id
    bench.provider.update(known, wanted, sight.differs, sight.seen_as)
    assert bench.provider.look(known, wanted, (HOST,)).differs == frozenset()


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"title": "Another"}, {"title"}),
        ({"description": "Another"}, {"description"}),
        ({"description": ""}, set()),
        ({"start": "2026-05-04T09:00:00+02:00"}, {"start"}),
        ({"end": "2026-05-04T12:00:00+02:00"}, {"end"}),
        ({"zone": "Europe/London"}, {"time_zone"}),
        ({"recurrence": WEEKLY}, {"recurrence"}),
        ({"recurrence": ("RRULE:FREQ=WEEKLY;COUNT=10;BYDAY=MO;",)}, {"recurrence"}),
    ],
    ids=str,
)
def test_o5_only_what_differs_is_named(
    bench: Bench, changes: dict[str, Any], fields: set[str]
) -> None:
    """Each field by itself; a description that people keep there is not replaced by an empty
    one."""
    known = bench.provider.create(content(), "key-1", HOST).conference_id
    differs = bench.provider.look(known, content(**changes), (HOST,)).differs
    named = differs & bench.provider.rules.fields
    taken = fields & bench.provider.rules.fields
    # What says when goes together, and Teams knows no rule, but the end of the last date.
    assert taken <= named or bench.name == "teams"
    assert named <= (taken | {"start", "end", "recurrence"} if named & WHEN else taken)
    assert bool(named) == bool(taken)


def test_o5_a_series_with_the_same_dates_does_not_differ(bench: Bench) -> None:
    """Another spelling of a rule, a semicolon at its end, lines in another order."""
    if "recurrence" not in bench.provider.rules.fields:
        pytest.skip("takes no recurrence")
    lines = ("RRULE:FREQ=WEEKLY;COUNT=10", "EXDATE:20260511T080000Z")
    known = bench.provider.create(content(recurrence=lines), "key-1", HOST).conference_id
    spelt = ("EXDATE:20260511T080000Z", "RRULE:FREQ=WEEKLY;BYDAY=MO;UNTIL=20260706T080000Z;")
    assert bench.provider.look(known, content(recurrence=spelt), (HOST,)).differs == frozenset()
    fewer = content(recurrence=("RRULE:FREQ=WEEKLY;COUNT=9", *lines[1:]))
    assert bench.provider.look(known, fewer, (HOST,)).differs
    excluded = content(recurrence=(*lines, "EXDATE:20260525T080000Z"))
    seen = bench.provider.look(known, excluded, (HOST,)).differs
    assert "recurrence" in seen or bench.name == "teams"


def test_o2_a_series_shows_that_it_is_one(bench: Bench) -> None:
    """So that no single event flattens it; and when it begins."""
    made = bench.provider.create(content(recurrence=WEEKLY), "key-1", HOST)
    sight = bench.provider.look(made.conference_id, content(recurrence=WEEKLY), (HOST,))
    if "recurrence" in bench.provider.rules.fields and bench.name != "teams":
        assert sight.recurring
    assert sight.starts is not None
    assert begins_on(content(recurrence=WEEKLY), sight.starts)
    assert begins_on(content(), sight.starts)
    later = content(start="2026-05-05T10:00:00+02:00", end="2026-05-05T11:00:00+02:00")
    assert not begins_on(later, sight.starts)


def test_c3_a_look_at_nothing_is_gone_and_a_look_at_a_page_is_not(bench: Bench) -> None:
    """The system's own words; a proxy's text, a page, an error page are tried again."""
    known = added(bench)
    for status, body in ((404, "default backend - 404"), (410, ""), (404, "<html>"), (200, "<a>")):
        bench.system.faults.add(path="(onferences|eetings)", status=status, body=body)
        with pytest.raises(TryLater):
            bench.provider.look(known, content(), (HOST,))
    bench.system.forget(next(iter(bench.meetings)))
    with pytest.raises(Gone):
        bench.provider.look(known, content(), (HOST,))
    bench.system.requests.clear()  # some answers were none


@pytest.mark.parametrize("status", [200, 202])
def test_c3_a_page_is_no_success(bench: Bench, status: int) -> None:
    """A change or a deletion that a maintenance page answered was not carried out."""
    known = added(bench)
    for call in (
        partial(bench.provider.update, known, content(), frozenset({"title"})),
        partial(bench.provider.delete, known),
    ):
        for body in ("<html>Back soon</html>", "OK", "[]"):
            bench.system.faults.add(
                path="(onferences|eetings)",
                status=status,
                body=body,
            )
            with pytest.raises(TryLater) as raised:
                call()
            assert raised.value.outcome_unknown
    assert len(bench.meetings) == 1
    bench.system.requests.clear()  # its answers were none


# Nothing left behind.


def discard(bench: Bench, told: ConferenceContent, key: str, host: str | None = None) -> None:
    """Delete what a creation of this key made, as a creation ends whose event is gone."""
    provider = bench.make()
    if (found := provider.find_made(told, key, host)) is not None:
        provider.delete(found, host)


def test_c4_a_lost_creation_is_found_by_its_key(bench: Bench) -> None:
    """Its answer was lost and its event is gone: found, and deleted, and no other one."""
    bench.provider.create(content(), "another")
    bench.system.faults.add(
        method="POST", path="(onlineMeetings|onferences|meetings)", status=502, after=True
    )
    with pytest.raises(TryLater):
        bench.provider.create(content(title="Lost"), "key-1")
    assert len(bench.meetings) == 2
    for _ in range(2):
        discard(bench, content(title="Lost"), "key-1")
        assert bench.title(bench.only()) == "Weekly"


def test_c4_of_a_creation_that_made_nothing_nothing_is_left(bench: Bench) -> None:
    """It never reached the system: nothing is there afterwards, also where the event is over."""
    over = content(start="2026-04-01T10:00:00+02:00", end="2026-04-01T11:00:00+02:00")
    for number, told in enumerate((content(), over)):
        discard(bench, told, f"key-{number}")
        assert bench.meetings == {}


def test_a3_a_conference_is_made_for_a_user(bench: Bench) -> None:
    """Where the system knows people by address they are the host, else the entry's host is."""
    for user in ("ada@example.com", HOST):
        if bench.name in ("zoom", "webex"):
            bench.system.hosts.add(user)
        made = bench.provider.create(content(), f"key-{user}", user)
        again = bench.provider.create(content(), f"key-{user}", user)
        assert again.conference_id == made.conference_id
        sight = bench.provider.look(made.conference_id, content(), (user,))
        assert (HOST if bench.name == "teams" else user) in sight.hosts
        bench.provider.update(
            made.conference_id, content(title="New"), frozenset({"title"}), sight.seen_as
        )
        assert bench.title(bench.only()) == "New"
        discard(bench, content(), f"key-{user}", user)
        assert bench.meetings == {}


@pytest.mark.parametrize("name", NAMES)
def test_mistakes_of_configuration_name_the_variable(name: str) -> None:
    """An option that is wrong stops the function at start, with a sentence that says what to do."""
    entry = {
        "name": "p",
        "type": name,
        "solutions": ["S"],
        "secret": SECRET,
        "base_url": "https://example.com",
    }
    conferencing.check([settings_of(entry)])
    for wrong in ({"host": 5}, {"hosts": "a@example.com"}, {"host": " "}):
        with pytest.raises(SyncError, match=r"SYNC_PROVIDERS, provider p: .*(correct|use)"):
            conferencing.check([settings_of({**entry, **wrong})])


def test_exchanges_are_checked(bench: Bench) -> None:
    """The stand-ins record what this suite holds against the descriptions."""
    bench.provider.update(bench.add(), content(), ALL)
    assert len(bench.writes()) == 1
    assert bench.name == "rest" or isinstance(bench.writes()[0], Exchange)
