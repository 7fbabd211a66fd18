"""Webex's own traps: mails by default, exceptions lost with the series, lengths, tags, links
that must be looked up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.webex import Webex
from sync.conferencing.webex import WebexProvider, classify, meeting_id
from sync.errors import CredentialsRefused, Gone, Invalid, NotAllowed, SyncError, TryLater
from tests.support.providers import (
    ALL,
    WEEKLY,
    Bench,
    bench_of,
    checked,
    content,
    id_in_link,
    meaning,
    starts,
)


@pytest.fixture(scope="module")
def system() -> Iterator[Webex]:
    system = Webex()
    system.start()
    yield system
    system.stop()


@pytest.fixture
def webex(system: Webex) -> Iterator[Bench]:
    with checked(bench_of("webex", system)) as bench:
        yield bench


def error(description: str) -> Any:
    return {
        "message": "The request could not be understood.",
        "errors": [{"description": description}],
        "trackingId": "ROUTER_1",
    }


ANSWERS: list[tuple[int, dict[str, str], Any, type[SyncError], timedelta | None]] = [
    (401, {}, error("The access token is invalid."), CredentialsRefused, None),
    (
        403,
        {},
        error("The access token is missing required scopes or a user is missing required roles"),
        CredentialsRefused,
        None,
    ),
    (403, {}, error("The host a@example.com is not on this site."), NotAllowed, None),
    (403, {}, "<html>Forbidden</html>", NotAllowed, None),
    (404, {}, error("Could not find the meeting."), Gone, None),
    (404, {}, "", TryLater, None),
    (404, {}, "<html>Not found</html>", TryLater, None),
    (404, {}, "default backend - 404", TryLater, None),
    (404, {}, {"message": "no Route matched with those values"}, TryLater, None),
    (404, {"trackingId": "ROUTER_1"}, {"message": "The meeting is not found."}, Gone, None),
    (410, {}, "", TryLater, None),
    (410, {}, {"message": "Gone"}, TryLater, None),
    (410, {}, error("The meeting is gone."), Gone, None),
    (400, {}, error("Meeting password validation failed."), Invalid, None),
    (400, {}, error("The meeting is in progress."), TryLater, timedelta(minutes=15)),
    (400, {}, {"errors": "odd", "message": 5}, Invalid, None),
    (405, {}, "", Invalid, None),
    (415, {}, "", Invalid, None),
    (
        409,
        {},
        error("The request conflicts with a rule of the system."),
        TryLater,
        timedelta(minutes=15),
    ),
    (423, {"Retry-After": "30"}, "", TryLater, timedelta(seconds=30)),
    (423, {}, "", TryLater, None),
    (429, {"Retry-After": "3600"}, error("Too many requests"), TryLater, timedelta(hours=1)),
    (500, {}, "<xml/>", TryLater, None),
    (502, {}, "", TryLater, None),
    (302, {}, "", Invalid, None),
]


@pytest.mark.parametrize(("status", "headers", "body", "expected", "after"), ANSWERS)
def test_c3_what_an_answer_means(
    status: int,
    headers: dict[str, str],
    body: Any,
    expected: type[SyncError],
    after: timedelta | None,
) -> None:
    """By status; what Webex says is quoted with its tracking id, and without addresses."""
    found = meaning(classify, "webex", (status, headers, body), expected)
    if isinstance(found, TryLater):
        assert found.after == after
        assert found.everybody is (status == 429)
    if expected in (Invalid, NotAllowed) and isinstance(body, dict) and "trackingId" in body:
        assert "ROUTER_1" in str(found)


def test_nobody_gets_mail_unless_it_is_wanted(webex: Bench) -> None:
    """Webex writes to everybody by default: told not to on create, update and delete, for series
    and occurrence."""
    for provider, mails in ((webex.provider, 0), (webex.make(mail=True), 5)):
        made = provider.create(content(recurrence=WEEKLY), f"key-{mails}").conference_id
        provider.update(made, content(title="x"), frozenset({"title"}))
        provider.update_occurrence(made, "2026-05-11T08:00:00Z", content(title="One"))
        provider.cancel_occurrence(made, "2026-05-18T08:00:00Z")
        provider.delete(made)
        assert len(webex.system.mails) == mails


def test_c1_only_what_differs_is_sent(webex: Bench) -> None:
    """A title alone; an emptied description as null; start and end together, and the zone and
    the rule with them."""
    known = webex.add()
    webex.provider.update(known, content(), frozenset({"title"}))
    webex.provider.update(known, content(description=""), frozenset({"description"}))
    webex.provider.update(known, content(recurrence=WEEKLY), frozenset({"end", "duration"}))
    webex.provider.update(known, content(), frozenset({"start"}))
    webex.provider.update(known, content(), frozenset({"recurrence"}))
    webex.provider.update(known, content(), frozenset({"attendees"}))
    webex.provider.update(known, content(), frozenset({"recurrence"}))
    quiet = {"sendEmail": False, "hostEmail": "host@example.com"}
    when = {
        "start": "2026-05-04T10:00:00+02:00",
        "end": "2026-05-04T11:00:00+02:00",
        "timezone": "Europe/Berlin",
    }
    assert [each.body for each in webex.writes()] == [
        {"title": "Weekly", **quiet},
        {"agenda": None, **quiet},
        {**when, "recurrence": "FREQ=WEEKLY;INTERVAL=1;BYDAY=MO;COUNT=10", **quiet},
        {**when, **quiet},
        {**when, "recurrence": None, **quiet},
        {**when, **quiet},
    ]


@pytest.mark.parametrize(("minutes", "told"), [(0, 10), (5, 10), (10, 10), (1439, 1439)])
def test_a_meeting_lasts_ten_minutes_or_longer(webex: Bench, minutes: int, told: int) -> None:
    """Shorter events have a longer meeting."""
    end = datetime.fromisoformat("2026-05-04T10:00:00+02:00") + timedelta(minutes=minutes)
    webex.provider.update(webex.add(), content(end=end.isoformat()), ALL)
    meeting = webex.only()
    length = datetime.fromisoformat(meeting["end"]) - datetime.fromisoformat(meeting["start"])
    assert length == timedelta(minutes=told)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"end": "2026-05-05T10:00:00+02:00"}, "24 hours"),
        ({"start": "2026-05-04", "end": "2026-05-05"}, "whole day"),
        ({"recurrence": ("RRULE:FREQ=MONTHLY;BYMONTHDAY=4,18",)}, "several days"),
        ({"recurrence": ("RRULE:FREQ=WEEKLY", "RDATE:20260506T080000Z")}, "RDATE"),
    ],
)
def test_what_webex_cannot_hold_is_refused(
    webex: Bench, changes: dict[str, Any], reason: str
) -> None:
    """With a reason, and nothing is sent."""
    known = webex.add()
    with pytest.raises(Invalid, match=reason):
        webex.provider.update(known, content(**changes), ALL)
    assert webex.writes() == []


def test_no_start_in_the_past(webex: Bench) -> None:
    """Over: the title alone. Under way: from the next minute on, at least ten of them."""
    known = webex.add()
    past = content(start="2026-04-01T10:00:00+02:00", end="2026-04-01T11:00:00+02:00")
    webex.provider.update(known, past, ALL)
    webex.provider.update(known, past, frozenset({"start"}))
    assert [each.body.keys() for each in webex.writes()] == [
        {"title", "agenda", "sendEmail", "hostEmail"}
    ]
    running = content(start="2026-05-01T13:55:00+02:00", end="2026-05-01T14:05:00+02:00")
    webex.provider.update(known, running, ALL)
    assert webex.start(webex.only()) == datetime(2026, 5, 1, 12, 1, tzinfo=UTC)
    webex.system.forget(known)
    webex.provider.update(known, past, ALL)
    with pytest.raises(Invalid, match="over"):
        webex.provider.create(past, "key")


def test_a_series_that_began_long_ago(webex: Bench) -> None:
    """Its next date is the start, and what is left of it the count."""
    old = content(
        start="2026-03-02T10:00:00+01:00",
        end="2026-03-02T11:00:00+01:00",
        recurrence=("RRULE:FREQ=WEEKLY;COUNT=12",),
    )
    webex.provider.update(webex.add(), old, ALL)
    assert starts(webex) == ["2026-05-04T08:00:00Z", "2026-05-11T08:00:00Z", "2026-05-18T08:00:00Z"]


def test_e5_exceptions_are_lost_with_the_series_and_the_rules_say_so(webex: Bench) -> None:
    """A new time drops what was moved and cancelled: the engine is told to tell it again. EXDATE
    is our own to tell."""
    assert webex.provider.rules.drops_occurrences
    excluded = content(recurrence=(*WEEKLY, "EXDATE;TZID=Europe/Berlin:20260511T100000"))
    made = webex.provider.create(excluded, "key").conference_id
    assert starts(webex)[:2] == ["2026-05-04T08:00:00Z", "2026-05-18T08:00:00Z"]
    webex.provider.update_occurrence(
        made,
        "2026-05-18T08:00:00Z",
        content(start="2026-05-19T10:00:00+02:00", end="2026-05-19T11:00:00+02:00"),
    )
    assert starts(webex)[1] == "2026-05-19T08:00:00Z"
    longer = content(end="2026-05-04T12:00:00+02:00", recurrence=excluded.recurrence)
    webex.provider.update(made, longer, frozenset({"end", "duration"}))
    assert starts(webex)[:2] == ["2026-05-04T08:00:00Z", "2026-05-18T08:00:00Z"]


def test_an_occurrence_is_told_what_differs(webex: Bench) -> None:
    """Its title alone; nothing if it is as its series is; one that was cancelled there cannot
    come back."""
    made = webex.provider.create(content(recurrence=WEEKLY), "key").conference_id
    webex.system.requests.clear()
    same = {"start": "2026-05-11T10:00:00+02:00", "end": "2026-05-11T11:00:00+02:00"}
    webex.provider.update_occurrence(made, "2026-05-11T08:00:00Z", content(**same))
    assert webex.writes() == []
    webex.provider.update_occurrence(made, "2026-05-11T08:00:00Z", content(title="Special", **same))
    assert webex.writes()[0].body.keys() == {"title", "sendEmail", "hostEmail"}
    webex.provider.cancel_occurrence(made, "2026-05-11T08:00:00Z")
    with pytest.raises(Invalid, match="cancelled"):
        webex.provider.update_occurrence(made, "2026-05-11T08:00:00Z", content(**same))
    webex.provider.update_occurrence(made, "2026-04-27T08:00:00Z", content(**same))


def test_one_moved_to_where_another_was(webex: Bench) -> None:
    """Occurrences are told apart by where they were, not by where they are."""
    made = webex.provider.create(content(recurrence=WEEKLY), "key").conference_id
    webex.provider.cancel_occurrence(made, "2026-05-18T08:00:00Z")
    there = content(start="2026-05-18T10:00:00+02:00", end="2026-05-18T11:00:00+02:00")
    webex.provider.update_occurrence(made, "2026-05-11T08:00:00Z", there)
    webex.provider.cancel_occurrence(made, "2026-05-18T08:00:00Z")
    assert starts(webex)[:3] == [
        "2026-05-04T08:00:00Z",
        "2026-05-18T08:00:00Z",
        "2026-05-25T08:00:00Z",
    ]


@pytest.mark.parametrize("shown_as", ["id", "number", "nothing"])
def test_e1_a_meeting_is_found_by_what_calendar_shows(webex: Bench, shown_as: str) -> None:
    """Webex's own id, the number with blanks, the link alone; looked up once."""
    known = webex.add(shown_as=shown_as)
    for _ in range(2):
        webex.provider.update(known, content(), frozenset({"title", "start"}))
    assert webex.title(webex.only()) == "Weekly"
    looked_up = [each for each in webex.system.requests if each.method == "GET"]
    assert len(looked_up) == (0 if shown_as == "id" else 1)
    webex.provider.delete(known)
    assert webex.meetings == {}


@pytest.mark.parametrize("shown_as", ["number", "nothing"])
def test_c3_an_empty_list_of_one_users_meetings_is_not_gone(webex: Bench, shown_as: str) -> None:
    """Somebody else may be the host: neither is the meeting created anew, nor its deletion done."""
    known = webex.add(shown_as=shown_as)
    webex.meetings.clear()
    with pytest.raises(NotAllowed, match="does not show"):
        webex.provider.update(known, content(), ALL)
    with pytest.raises(NotAllowed, match="retry or dismiss"):
        webex.provider.delete(known)


def test_links_and_numbers_have_one_form(webex: Bench) -> None:
    """Blanks, dashes, the host's case, and what else a link carries make no difference."""
    assert meeting_id("2551 234 5678") == meeting_id("2551-234-5678") == "25512345678"
    link = "https://Example.webex.com/example/j.php?RGID=r1&MTID=mabc&x=1"
    assert meeting_id(link) == "https://example.webex.com/example/j.php?MTID=mabc"
    found = id_in_link(f"{link}#top", webex.rules)
    assert found is not None
    assert found == meeting_id(link)
    assert id_in_link("https://webex.com.example/example/j.php?MTID=mabc", webex.rules) is None
    room = "https://example.webex.com/meet/ada"
    assert meeting_id(room) == room
    for link, known in (
        (f"{room}?x=1", room),
        ("https://Example.webex.com/join/ada/", "https://example.webex.com/join/ada"),
        ("https://example.webex.com/m/0b6c-4f", "https://example.webex.com/m/0b6c-4f"),
        (
            "https://example.webex.com/example/m/0b6c?x#y",
            "https://example.webex.com/example/m/0b6c",
        ),
    ):
        assert id_in_link(link, webex.rules) == known


def test_a_locked_meeting_waits(webex: Bench) -> None:
    """423 and 409: later; another host's: a person must act."""
    known = webex.add()
    for refusal, expected in [
        ((423, "Locked."), TryLater),
        ((409, "Conflict."), TryLater),
        ((403, "This meeting belongs to another host."), NotAllowed),
    ]:
        webex.system.refusals[known] = refusal
        with pytest.raises(expected):
            webex.provider.update(known, content(), ALL)


def test_the_limit_of_creations_a_day(webex: Bench) -> None:
    """429 with Retry-After in seconds."""
    webex.system.creations_per_day = 1
    webex.provider.create(content(), "key-1")
    with pytest.raises(TryLater) as raised:
        webex.provider.create(content(), "key-2")
    assert raised.value.after == timedelta(hours=1)


def test_a_meeting_is_made_where_and_for_whom_the_entry_says(webex: Bench) -> None:
    """Host and site; without a host it is the organizer's."""
    webex.make(site_url="other.webex.com").create(content(), "key-1")
    webex.make(host=None).create(content(organizer="host@example.com"), "key-2")
    first, second = (each.body for each in webex.writes())
    assert (first["siteUrl"], first["hostEmail"]) == ("other.webex.com", "host@example.com")
    assert "siteUrl" not in second
    assert second["hostEmail"] == "host@example.com"


def test_a_series_too_long_for_webex_is_extended(webex: Bench) -> None:
    """261 weeks of 500, and more when it is time; an endless one needs nothing."""
    provider = webex.provider
    assert isinstance(provider, WebexProvider)
    assert provider.approximation(content(recurrence=("RRULE:FREQ=WEEKLY;COUNT=500",))) is not None
    assert provider.approximation(content(recurrence=("RRULE:FREQ=WEEKLY",))) is None
    assert provider.approximation(content()) is None
