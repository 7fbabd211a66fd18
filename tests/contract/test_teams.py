"""Teams' own traps: links that must be looked up, a meeting without recurrence, policies, times
that go together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from sandbox.teams import Teams
from sync.conferencing.teams import (
    Parts,
    TeamsProvider,
    classify,
    graph_id,
    join_url,
    meeting_id,
    parts_of,
    way_in,
)
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
)

TENANT, OBJECT_ID = "909c6581-5130-43e9-88f3-fcb3582cde37", "dc17674c-81d9-4adb-bfb2-8f882a442e4c"
THREAD = "19:meeting_MGQ4MDQyNTEtNTQ2NS00YjQx@thread.v2"
LINK = (
    "https://teams.microsoft.com/l/meetup-join/19%3ameeting_MGQ4MDQyNTEtNTQ2NS00YjQx%40thread.v2/0"
    "?context=%7b%22Tid%22%3a%22909c6581-5130-43e9-88f3-fcb3582cde37%22%2c"
    "%22Oid%22%3a%22dc17674c-81d9-4adb-bfb2-8f882a442e4c%22%7d"
)


@pytest.fixture(scope="module")
def system() -> Iterator[Teams]:
    system = Teams()
    system.start()
    yield system
    system.stop()


@pytest.fixture
def teams(system: Teams) -> Iterator[Bench]:
    with checked(bench_of("teams", system)) as bench:
        yield bench


def error(code: str, message: str) -> Any:
    return {"error": {"code": code, "message": message, "innerError": {"request-id": "1"}}}


POLICY = "No application access policy found for this app: 1 on the user: 2."
ANSWERS: list[tuple[int, dict[str, str], Any, type[SyncError], timedelta | None]] = [
    (
        401,
        {},
        error("InvalidAuthenticationToken", "Lifetime validation failed, the token is expired."),
        CredentialsRefused,
        None,
    ),
    (403, {}, error("Forbidden", POLICY), NotAllowed, None),
    (
        403,
        {},
        error("Unauthorized", "The app is not authorized to create on behalf of the user."),
        NotAllowed,
        None,
    ),
    (
        401,
        {},
        error("Unauthorized", "The app is not authorized to create on behalf of the user."),
        NotAllowed,
        None,
    ),
    (
        403,
        {},
        error("Authorization_RequestDenied", "Insufficient privileges to complete the operation."),
        CredentialsRefused,
        None,
    ),
    (
        403,
        {},
        error("Forbidden", "3003: User does not have access to lookup meeting."),
        NotAllowed,
        None,
    ),
    (403, {}, "<html>", NotAllowed, None),
    (404, {}, error("NotFound", "3004: Meeting not found."), Gone, None),
    (404, {}, error("Request_ResourceNotFound", "Resource '1' does not exist."), NotAllowed, None),
    (404, {}, error("NotFound", "The user a@example.com was not found."), NotAllowed, None),
    (404, {}, error("UnknownError", ""), Invalid, None),
    (404, {}, error("NotFound", ""), Invalid, None),
    (404, {}, "<html>", TryLater, None),
    (404, {}, "default backend - 404", TryLater, None),
    (410, {}, "", TryLater, None),
    (410, {}, error("Gone", "The meeting is gone."), Gone, None),
    (410, {}, error("ApiVersionRetired", "This version is retired."), Invalid, None),
    (400, {}, error("BadRequest", "StartDateTime is required."), Invalid, None),
    (400, {}, {"error": "invalid"}, Invalid, None),
    (409, {}, error("Conflict", "Try again."), TryLater, None),
    (429, {"Retry-After": "10"}, error("TooManyRequests", ""), TryLater, timedelta(seconds=10)),
    (503, {"Retry-After": "Fri, 01 May 2026 12:01:20 GMT"}, "", TryLater, timedelta(minutes=1)),
    (504, {}, "<html>", TryLater, None),
    (301, {}, "", Invalid, None),
]


@pytest.mark.parametrize(("status", "headers", "body", "expected", "after"), ANSWERS)
def test_c3_what_an_answer_means(
    status: int,
    headers: dict[str, str],
    body: Any,
    expected: type[SyncError],
    after: timedelta | None,
) -> None:
    """A policy that is missing is about one user, and an unknown user no meeting that is gone."""
    found = meaning(classify, "teams", (status, headers, body), expected)
    if isinstance(found, TryLater):
        assert found.after == after
        assert found.everybody is (status == 429)
    if isinstance(body, dict) and POLICY in str(body):
        assert "Grant-CsApplicationAccessPolicy" in str(found)


def test_links_ids_and_numbers_have_one_form() -> None:
    """A join link, however often it was encoded, and Graph's id for the same meeting are one."""
    known = graph_id(OBJECT_ID, THREAD)
    assert meeting_id(LINK) == known
    assert meeting_id(LINK.replace("%", "%25")) == known
    assert meeting_id(known) == known
    assert parts_of(known) == (OBJECT_ID, THREAD, "0")
    assert join_url(Parts(OBJECT_ID, THREAD), TENANT) == LINK
    assert meeting_id(LINK.partition("?")[0]) == meeting_id(THREAD) == THREAD
    assert meeting_id("230 000 000 001") == "230000000001"
    assert meeting_id(" some-id ") == "some-id"
    assert parts_of("some-id") is parts_of("AAAA") is None


@pytest.mark.parametrize(
    ("link", "known"),
    [
        (LINK, graph_id(OBJECT_ID, THREAD)),
        (
            LINK.replace("teams.microsoft.com", "gov.teams.microsoft.us"),
            graph_id(OBJECT_ID, THREAD),
        ),
        (LINK.partition("?")[0], THREAD),
        ("https://teams.microsoft.com/meet/230000000001?p=abc", "230000000001"),
    ],
)
def test_e1_join_links_are_ours(teams: Bench, link: str, known: str) -> None:
    """With and without the query that names the organizer; the short ones; nothing that only
    looks like them."""
    found = id_in_link(link, teams.rules)
    assert found is not None
    assert found == known
    assert id_in_link(link.replace("microsoft", "microsoft.example"), teams.rules) is None


@pytest.mark.parametrize("opaque", [False, True])
@pytest.mark.parametrize("shown_as", ["id", "link", "number", "nothing"])
def test_e1_a_meeting_is_found_by_what_calendar_shows(
    teams: Bench, shown_as: str, opaque: bool
) -> None:
    """Graph's id, the link, the number with blanks; looked up where Graph's id cannot be told,
    and only once."""
    teams.system.opaque_ids = opaque
    known = teams.add(shown_as=shown_as)
    for _ in range(3):
        teams.provider.update(known, content(), ALL)
    assert teams.title(teams.only()) == "Weekly"
    looked_up = [each for each in teams.system.requests if "$filter" in each.query]
    needed = shown_as == "number" or (opaque and shown_as != "id")
    assert len(looked_up) == needed
    teams.provider.delete(known)
    assert teams.meetings == {}


def test_c3_a_meeting_is_gone_where_its_link_names_the_organizer(teams: Bench) -> None:
    """Asked as the organizer, Graph says so itself, of the id and of the link."""
    known = teams.add(shown_as="link")
    teams.meetings.clear()
    with pytest.raises(Gone):
        teams.provider.update(known, content(), ALL)
    teams.provider.delete(known)


def test_c3_a_number_that_one_user_has_not_is_not_gone(teams: Bench) -> None:
    """It may be a colleague's: nothing is created in its place, and a deletion is not done."""
    known = teams.add(shown_as="number")
    teams.meetings.clear()
    with pytest.raises(NotAllowed, match="does not show"):
        teams.provider.update(known, content(), ALL)
    with pytest.raises(NotAllowed, match="retry or dismiss"):
        teams.provider.delete(known)


def test_a_link_without_its_query_is_looked_up_for_the_host(teams: Bench) -> None:
    """The thread alone: our tenant and host make it whole."""
    link = teams.system.add()["entryPoints"][0]["uri"]
    known = id_in_link(link.partition("?")[0], teams.rules)
    assert known is not None
    teams.provider.update(known, content(), ALL)
    assert teams.title(teams.only()) == "Weekly"
    with pytest.raises(Invalid, match="host"):
        teams.make(host=None).update(known, content(), ALL)


def test_another_users_meeting_is_changed_as_theirs(teams: Bench) -> None:
    """The id names the organizer, whoever the entry's host is."""
    shown = teams.system.add()
    known = teams.id_in(shown)
    other = teams.make(host="00000000-0000-4000-8000-000000000000")
    other.update(known, content(), ALL)
    assert teams.title(teams.only()) == "Weekly"


def test_c1_only_what_differs_is_sent(teams: Bench) -> None:
    """A title alone; start and end together, in UTC; no description, no zone, no guests."""
    known = teams.add()
    teams.provider.update(known, content(), frozenset({"title"}))
    teams.provider.update(known, content(), frozenset({"end", "duration"}))
    teams.provider.update(known, content(), frozenset({"description", "attendees", "time_zone"}))
    assert [each.body for each in teams.writes()] == [
        {"subject": "Weekly"},
        {"startDateTime": "2026-05-04T08:00:00Z", "endDateTime": "2026-05-04T09:00:00Z"},
    ]


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({"recurrence": WEEKLY}, "2026-07-06T09:00:00Z"),
        ({"recurrence": ("RRULE:FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=2",)}, "2026-06-30T09:00:00Z"),
        (
            {"recurrence": ("RRULE:FREQ=WEEKLY;COUNT=2", "RDATE:20260801T080000Z")},
            "2026-08-01T09:00:00Z",
        ),
        ({"recurrence": ("RRULE:FREQ=WEEKLY",)}, "2027-05-04T08:00:00Z"),
        ({"recurrence": ("RRULE:FREQ=HOURLY",)}, "2027-05-04T08:00:00Z"),
        ({"end": "2026-05-04T10:00:00+02:00"}, "2026-05-04T08:01:00Z"),
        ({"start": "2026-05-04", "end": "2026-05-05"}, "2026-05-05T00:00:00Z"),
    ],
)
def test_one_meeting_serves_the_whole_series(
    teams: Bench, changes: dict[str, Any], end: str
) -> None:
    """From its first start to its last end; an endless one is a year long, and moved on."""
    teams.provider.update(teams.add(), content(**changes), ALL)
    assert teams.only()["endDateTime"] == end


def test_an_endless_series_is_moved_on(teams: Bench) -> None:
    """Half a year before its end it wants to be told again; others never."""
    provider = teams.provider
    assert isinstance(provider, TeamsProvider)
    endless = content(recurrence=("RRULE:FREQ=WEEKLY",))
    made = provider.create(endless, "key").conference_id
    approximation = provider.approximation(endless)
    assert approximation is not None
    assert approximation.again_at is not None
    teams.now = approximation.again_at
    provider.update(made, endless, frozenset({"recurrence"}))
    assert teams.only()["endDateTime"] > "2027-10"
    assert (
        provider.approximation(content())
        is provider.approximation(content(recurrence=WEEKLY))
        is None
    )


def test_c5_a_user_without_a_policy_is_one_event(teams: Bench) -> None:
    """The one support case that everybody meets: said in words, about one user, and mended without
    a deploy."""
    known = teams.add()
    teams.system.policy = False
    with pytest.raises(NotAllowed, match="policy") as raised:
        teams.provider.update(known, content(), ALL)
    assert not isinstance(raised.value, CredentialsRefused)
    teams.system.policy = True
    teams.provider.update(known, content(), ALL)


def test_a_host_is_needed_to_create(teams: Bench) -> None:
    """And it must be a user that Graph knows."""
    with pytest.raises(Invalid, match="SYNC_PROVIDERS"):
        teams.make(host=None).create(content(), "key")
    with pytest.raises(NotAllowed, match="host"):
        teams.make(host="00000000-0000-4000-8000-000000000000").create(content(), "key")
    past = content(start="2026-04-01T10:00:00+02:00", end="2026-04-01T11:00:00+02:00")
    with pytest.raises(Invalid, match="over"):
        teams.provider.create(past, "key")
    teams.provider.update(meeting_id_of_nothing(teams), past, ALL)


def meeting_id_of_nothing(teams: Bench) -> Any:
    known = teams.add()
    teams.meetings.clear()
    return known


def test_the_secret_is_sent_to_its_own_tenant(teams: Bench) -> None:
    """The token's address names the tenant; the scope is Graph's, in national clouds their own."""
    teams.provider.read(teams.add())
    (grant,) = teams.system.grants
    assert grant.path == f"/{TENANT}/oauth2/v2.0/token"
    assert grant.body["scope"] == "https://graph.microsoft.com/.default"


def test_the_whole_way_in_of_a_recorded_meeting() -> None:
    """Each number once, with the code to dial; the organizer's options page is nobody's
    business."""
    meeting = {
        "id": graph_id(OBJECT_ID, THREAD),
        "joinWebUrl": LINK,
        "meetingOptionsWebUrl": "https://teams.microsoft.com/meetingOptions/?secret",
        "joinMeetingIdSettings": {"joinMeetingId": "230000000001", "passcode": "aB1"},
        "audioConferencing": {
            "conferenceId": "123456789",
            "tollNumber": "+1 323-555-0166",
            "tollNumbers": ["+1 323-555-0166", None],
            "tollFreeNumber": "+1 800-555-0166",
            "dialinUrl": "https://dialin.teams.microsoft.com/1",
        },
    }
    found = way_in(meeting, "teams")
    assert [(point.kind, point.uri) for point in found.entry_points] == [
        ("video", LINK),
        ("phone", "tel:+13235550166,,123456789#"),
        ("phone", "tel:+18005550166,,123456789#"),
        ("more", "https://dialin.teams.microsoft.com/1"),
    ]
    assert "meetingOptions" not in repr(found)
