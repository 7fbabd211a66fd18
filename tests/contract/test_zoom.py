"""Zoom's own traps: what goes together, what is never sent, what its numbers and its silence
mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.zoom import Zoom
from sync.conferencing.http import Answer
from sync.conferencing.zoom import ZoomProvider, classify, meeting_number, way_in
from sync.errors import CredentialsRefused, Gone, Invalid, NotAllowed, SyncError, TryLater
from sync.model.event import ConferenceId
from tests.support.providers import (
    ALL,
    NOW,
    WEEKLY,
    Bench,
    bench_of,
    checked,
    content,
    id_in_data,
    id_in_link,
    meaning,
    starts,
)


@pytest.fixture(scope="module")
def system() -> Iterator[Zoom]:
    system = Zoom()
    system.start()
    yield system
    system.stop()


@pytest.fixture
def zoom(system: Zoom) -> Iterator[Bench]:
    with checked(bench_of("zoom", system)) as bench:
        yield bench


def sent(bench: Bench) -> list[Any]:
    return [each.body for each in bench.writes()]


MIDNIGHT = timedelta(hours=11, minutes=59, seconds=40) + timedelta(minutes=1)
DAILY = (
    "You have exceeded the daily rate limit (100) of Meeting Create/Update API requests "
    "permitted for this user."
)

# Shapes as recorded or documented: status, headers, body → the error and how long to wait.
ANSWERS: list[tuple[int, dict[str, str], Any, type[SyncError], timedelta | None]] = [
    (401, {}, {"code": 124, "message": "Invalid access token."}, CredentialsRefused, None),
    (401, {}, {"code": 124, "message": "Access token is expired."}, CredentialsRefused, None),
    (
        400,
        {},
        {"code": 4711, "message": "Invalid access token, does not contain scopes:[x]."},
        CredentialsRefused,
        None,
    ),
    (
        400,
        {},
        {"code": 3161, "message": "Meeting hosting capabilities are not allowed."},
        NotAllowed,
        None,
    ),
    (404, {}, {"code": 1010, "message": "User does not belong to this account."}, NotAllowed, None),
    (400, {}, {"code": 200, "message": "Only available for Paid account."}, NotAllowed, None),
    (400, {}, {"code": 3003, "message": "You are not the meeting host."}, NotAllowed, None),
    (403, {}, "<html>Forbidden</html>", NotAllowed, None),
    (404, {}, {"code": 3001, "message": "Meeting does not exist: 1."}, Gone, None),
    (404, {}, {"code": 3001, "message": "Meeting 1 is not found or has expired."}, Gone, None),
    (404, {}, {"code": 300, "message": "Meeting 1 is not found or has expired."}, Gone, None),
    (400, {}, {"code": 300, "message": "Meeting 1 is not found or has expired."}, Gone, None),
    (400, {}, {"code": 3000, "message": "Invalid occurrence_id."}, Gone, None),
    (
        400,
        {},
        {"code": 3007, "message": "Sorry, you cannot delete this meeting since it has ended."},
        Gone,
        None,
    ),
    (404, {}, {"code": 1001, "message": "User does not exist: a@example.com."}, NotAllowed, None),
    (404, {}, {"code": 2300, "message": "This API endpoint is not recognized."}, Invalid, None),
    (404, {}, "<html>Not found</html>", TryLater, None),
    (404, {}, "default backend - 404", TryLater, None),
    (404, {}, {"message": "no Route matched with those values"}, TryLater, None),
    (404, {}, "", TryLater, None),
    (
        400,
        {},
        {"code": 300, "errors": [{"field": "recurrence.type", "message": "Invalid field."}]},
        Invalid,
        None,
    ),
    (400, {}, {"code": 3000, "message": "Cannot access webinar info."}, Invalid, None),
    (400, {}, {"code": 3018, "message": "Not allowed to delete a PMI."}, Invalid, None),
    (400, {}, {"code": 3037, "message": "Not allowed to update a PAC."}, Invalid, None),
    (400, {}, "<xml/>", Invalid, None),
    (400, {}, {"code": "300", "message": 5, "errors": "x"}, Invalid, None),
    (
        400,
        {},
        {"code": 3002, "message": "Sorry, the meeting is in progress."},
        TryLater,
        timedelta(minutes=15),
    ),
    (429, {}, {"code": 429, "message": DAILY}, TryLater, MIDNIGHT),
    (429, {"X-RateLimit-Category": "Light"}, {"code": 429, "message": DAILY}, TryLater, MIDNIGHT),
    (
        429,
        {"X-RateLimit-Type": "Daily-limit"},
        {"code": 429, "message": "Too many."},
        TryLater,
        MIDNIGHT,
    ),
    (
        429,
        {"Retry-After": "2026-05-02T00:00:00Z"},
        {"code": 429},
        TryLater,
        timedelta(hours=11, minutes=59, seconds=40),
    ),
    (
        429,
        {"X-RateLimit-Type": "QPS"},
        {"message": "You have reached the maximum per-second rate"},
        TryLater,
        None,
    ),
    (429, {}, "", TryLater, timedelta(seconds=1)),
    (500, {}, "<?xml version='1.0'?><error/>", TryLater, None),
    (503, {"Retry-After": "20"}, "", TryLater, timedelta(seconds=20)),
    (307, {}, "", Invalid, None),
]


@pytest.mark.parametrize(("status", "headers", "body", "expected", "after"), ANSWERS)
def test_c3_what_an_answer_means(
    status: int,
    headers: dict[str, str],
    body: Any,
    expected: type[SyncError],
    after: timedelta | None,
) -> None:
    """By status, then by code; and never a word of who or where."""
    found = meaning(classify, "zoom", (status, headers, body), expected)
    if isinstance(found, TryLater) and after is not None:
        assert found.after == after
    if isinstance(found, TryLater):
        assert found.everybody is (status == 429 and "Retry-After" in headers)


@pytest.mark.parametrize("status", [200, 201, 204])
def test_codes_in_the_body_of_a_success_are_none(status: int) -> None:
    """200, 300 and 429 are codes of errors only where the status says so."""
    assert classify(Answer(status, {}, b'{"code": 429}'), "zoom", NOW) is None


@pytest.mark.parametrize(
    "written",
    [
        "81234567890",
        "812 3456 7890",
        "812-3456-7890",
        " 812\u00a03456\u20117890 ",
        "https://us02web.zoom.us/j/81234567890?pwd=x",
        "https://acme.zoom.us/w/81234567890",
    ],
)
def test_a_number_is_known_however_it_is_written(written: str) -> None:
    """With blanks, with dashes, within a link."""
    assert meeting_number(written) == "81234567890"


def test_other_ids_stay() -> None:
    assert meeting_number(" my-room ") == "my-room"


@pytest.mark.parametrize(
    "link",
    [
        "https://zoom.us/j/81234567890",
        "https://us02web.zoom.us/j/81234567890?pwd=x.1",
        "https://ACME.zoom.us/j/81234567890#success",
        "https://acme.zoomgov.com/j/81234567890",
        "https://us02web.zoom.us/w/81234567890?tk=x",
        "https://acme.zoom.us/s/81234567890",
        "https://acme.zoom.us/wc/81234567890/start",
        "https://acme.zoom.us/wc/81234567890/join?pwd=x",
        "https://acme.zoom.us/wc/join/81234567890",
        "https://acme.zoom.com/j/81234567890",
        "https://zoomgov.com/w/81234567890/",
    ],
)
def test_e1_links_of_vanity_hosts_are_ours(zoom: Bench, link: str) -> None:
    """Whatever stands before zoom.us; and nothing that only looks like it."""
    rules = zoom.make(uris=[]).rules
    assert id_in_link(link, rules) == "81234567890"
    assert id_in_link(link.replace("zoom", "zoom.example"), rules) is None


def test_e1_links_of_the_entry_replace_those_of_zoom(zoom: Bench) -> None:
    """Who names one vanity host means no other."""
    rules = zoom.make(uris=["https://acme.zoom.us/j/{id}"]).rules
    assert id_in_link("https://acme.zoom.us/j/81234567890?pwd=x", rules) == "81234567890"
    assert id_in_link("https://zoom.us/j/81234567890", rules) is None
    assert rules.parameters == ("realMeetingId",)


def test_an_event_with_blanks_in_its_number(zoom: Bench) -> None:
    """The id of conferenceData and that of the link are one."""
    data = {"conferenceId": "812 3456 7890", "conferenceSolution": {"name": "Zoom Meeting"}}
    assert id_in_data(data, zoom.rules) == id_in_link("https://zoom.us/j/81234567890", zoom.rules)


def test_c1_only_what_differs_is_sent(zoom: Bench) -> None:
    """A title alone, a description alone; whatever says when, all of it together. No setting that
    people made, and no type."""
    known = zoom.add()
    zoom.provider.update(known, content(), frozenset({"title"}))
    zoom.provider.update(known, content(description="<i>New</i>"), frozenset({"description"}))
    zoom.provider.update(known, content(), frozenset({"end", "duration"}))
    zoom.provider.update(known, content(), frozenset({"attendees", "organizer"}))
    when = {
        "start_time": "2026-05-04T10:00:00",
        "timezone": "Europe/Berlin",
        "duration": 60,
    }
    assert sent(zoom) == [
        {"topic": "Weekly"},
        {"agenda": "New"},
        when,
    ]


def test_a_series_goes_as_a_whole(zoom: Bench) -> None:
    """Its end alone changed: start, zone, duration and recurrence go all the same; the type where
    a series begins or ends to be one."""
    known = zoom.add()
    zoom.provider.update(known, content(recurrence=WEEKLY), frozenset({"recurrence"}))
    zoom.provider.update(known, content(recurrence=WEEKLY), frozenset({"end", "duration"}))
    first, second = sent(zoom)
    assert second.keys() == {"start_time", "timezone", "duration", "recurrence"}
    assert first == {**second, "type": 8}
    assert second["recurrence"]["end_times"] == 10
    zoom.provider.update(known, content(), frozenset({"recurrence"}))
    assert zoom.only()["type"] == 2
    assert "occurrences" not in zoom.only()


def test_o5_a_meeting_that_is_single_is_sent_no_type(zoom: Bench) -> None:
    """All that is told of a single event again makes nothing of what somebody made of it."""
    known = zoom.add()
    zoom.provider.update(known, content(), ALL)
    (body,) = sent(zoom)
    assert body.keys() == {"topic", "agenda", "start_time", "timezone", "duration"}


def test_o5_what_people_set_survives_each_call(zoom: Bench) -> None:
    """Mails, alternative hosts, registration, passcode, waiting room: as they were after a rename,
    a move, and a change of the series."""
    settings = {
        "email_notification": True,
        "alternative_hosts": "grace@example.com",
        "approval_type": 0,
        "waiting_room": True,
    }
    known = zoom.add(settings=settings, password="people")
    before = {**zoom.only()["settings"]}
    for changed in (frozenset({"title"}), frozenset({"start", "end"}), ALL):
        zoom.provider.update(known, content(recurrence=WEEKLY), changed)
        assert zoom.only()["settings"] == before
        assert zoom.only()["password"] == "people"
    assert not any("settings" in body or "password" in body for body in sent(zoom))


def test_mail_only_where_it_is_wanted(zoom: Bench) -> None:
    """Nothing asks Zoom to write to anybody, unless the entry says so."""
    for provider, mails in ((zoom.provider, False), (zoom.make(mail=True), True)):
        made = provider.create(content(recurrence=WEEKLY), f"key-{mails}")
        provider.cancel_occurrence(made.conference_id, "2026-05-11T08:00:00Z")
        provider.delete(made.conference_id)
        create, *deletions = zoom.writes()
        assert "email_notification" not in create.body["settings"]
        for each in deletions:
            assert (
                each.query["schedule_for_reminder"]
                == each.query["cancel_meeting_reminder"]
                == str(mails).lower()
            )
        zoom.system.requests.clear()


def test_a_time_in_the_past_is_not_sent(zoom: Bench) -> None:
    """An event that is over tells its title and nothing else; its expired meeting is no loss,
    and none is made anew."""
    known = zoom.add()
    past = content(start="2026-04-01T10:00:00+02:00", end="2026-04-01T11:00:00+02:00")
    zoom.provider.update(known, past, ALL)
    assert sent(zoom)[0].keys() == {"topic", "agenda"}
    zoom.provider.update(known, past, frozenset({"start"}))
    assert len(sent(zoom)) == 1
    zoom.system.forget(known)
    zoom.provider.update(known, past, ALL)
    with pytest.raises(Invalid, match="over"):
        zoom.provider.create(past, "key")


def test_an_event_under_way_begins_now(zoom: Bench) -> None:
    """Zoom would ignore a start in the past, and the new end with it."""
    known = zoom.add()
    running = content(start="2026-05-01T13:55:00+02:00", end="2026-05-01T15:00:00+02:00")
    zoom.provider.update(known, running, ALL)
    assert zoom.start(zoom.only()) == datetime(2026, 5, 1, 12, 1, tzinfo=UTC)
    assert zoom.only()["duration"] == 59


def test_all_day_only_where_it_is_wanted(zoom: Bench) -> None:
    """Refused with a reason; configured, from midnight to midnight in the zone that is named."""
    known = zoom.add()
    day = content(start="2026-05-04", end="2026-05-06")
    with pytest.raises(Invalid, match="all_day"):
        zoom.provider.update(known, day, ALL)
    zoom.provider.update(known, day, frozenset({"title"}))
    zoom.make(all_day=True, time_zone="Europe/Berlin").update(known, day, ALL)
    assert zoom.start(zoom.only()) == datetime(2026, 5, 3, 22, tzinfo=UTC)
    assert zoom.only()["duration"] == 2880


def test_e5_excluded_dates_are_cancelled_at_zoom(zoom: Bench) -> None:
    """EXDATE: the rule is sent, and each date that does not take place is deleted; again after
    the next change."""
    known = zoom.add()
    excluded = content(
        recurrence=(*WEEKLY, "EXDATE;TZID=Europe/Berlin:20260511T100000,20260525T100000")
    )
    for _ in range(2):
        zoom.provider.update(known, excluded, ALL)
        assert [start[8:10] for start in starts(zoom)][:3] == ["04", "18", "01"]


def test_what_zoom_cannot_follow_is_refused_or_loses_its_dates(zoom: Bench) -> None:
    """Never other dates: the meeting stays as it is, or becomes one without fixed time if the
    entry says so."""
    known = zoom.add()
    before = dict(zoom.only())
    yearly = content(recurrence=("RRULE:FREQ=YEARLY",))
    with pytest.raises(Invalid, match="yearly"):
        zoom.provider.update(known, yearly, ALL)
    assert zoom.only() == before
    zoom.make(unsupported_recurrence="no_fixed_time").update(known, yearly, ALL)
    assert zoom.only()["type"] == 3
    assert "start_time" not in zoom.only()
    without_dates = zoom.make(unsupported_recurrence="no_fixed_time")
    assert isinstance(without_dates, ZoomProvider)
    approximation = without_dates.approximation(yearly)
    assert approximation is not None
    assert approximation.again_at is None
    assert "yearly" in approximation.reason


def test_a_long_series_is_extended(zoom: Bench) -> None:
    """50 dates now, and the next 50 when it is time; the number stays."""
    endless = content(recurrence=("RRULE:FREQ=DAILY",))
    provider = zoom.provider
    assert isinstance(provider, ZoomProvider)
    made = provider.create(endless, "key")
    assert len(starts(zoom)) == 50
    approximation = provider.approximation(endless)
    assert approximation is not None
    assert approximation.again_at is not None
    assert "until 2026-06-22" in approximation.reason
    zoom.now = approximation.again_at
    provider.update(made.conference_id, endless, frozenset({"recurrence"}))
    assert (len(starts(zoom)), starts(zoom)[0]) == (50, "2026-06-14T08:00:00Z")
    assert (
        provider.approximation(content())
        is provider.approximation(content(recurrence=WEEKLY))
        is None
    )


def test_an_occurrence_beyond_the_copy_is_told_later(zoom: Bench) -> None:
    """Nothing is sent of what Zoom does not list yet; one that was cancelled there cannot come
    back."""
    made = zoom.provider.create(content(recurrence=("RRULE:FREQ=DAILY",)), "key")
    zoom.system.requests.clear()
    zoom.provider.update_occurrence(made.conference_id, "2027-05-11T08:00:00Z", content())
    zoom.provider.cancel_occurrence(made.conference_id, "2027-05-11T08:00:00Z")
    assert zoom.writes() == []
    zoom.provider.cancel_occurrence(made.conference_id, "2026-05-11T08:00:00Z")
    with pytest.raises(Invalid, match="cancelled"):
        zoom.provider.update_occurrence(made.conference_id, "2026-05-11T08:00:00Z", content())


def test_an_occurrence_that_only_has_another_title_needs_no_call(zoom: Bench) -> None:
    """Zoom has one title for the series."""
    made = zoom.provider.create(content(recurrence=WEEKLY), "key")
    zoom.system.requests.clear()
    renamed = content(
        title="Special", start="2026-05-11T10:00:00+02:00", end="2026-05-11T11:00:00+02:00"
    )
    zoom.provider.update_occurrence(made.conference_id, "2026-05-11T08:00:00Z", renamed)
    assert zoom.writes() == []


def test_an_occurrences_agenda_is_told_and_taken_back(zoom: Bench) -> None:
    """Another description for one date, and then the series' own again; one that is as its series
    is left alone, also where people keep their own words in the series."""
    made = zoom.provider.create(content(recurrence=WEEKLY), "key").conference_id
    same = {"start": "2026-05-11T10:00:00+02:00", "end": "2026-05-11T11:00:00+02:00"}
    for words in ("Bring cake", "What we did"):
        one = content(description=words, **same)
        zoom.provider.update_occurrence(made, "2026-05-11T08:00:00Z", one)
        assert zoom.only()["occurrences"][1]["agenda"] == words
    writes = len(zoom.writes())
    zoom.provider.update_occurrence(made, "2026-05-11T08:00:00Z", content(**same))
    zoom.only()["agenda"] = "people's own words"
    zoom.only()["occurrences"][1].pop("agenda")
    empty = content(description="", **same)
    zoom.provider.update_occurrence(made, "2026-05-11T08:00:00Z", empty)
    assert len(zoom.writes()) == writes


@pytest.mark.parametrize(
    ("zone", "rule", "kept"),
    [
        ("GMT+02:00", "FREQ=DAILY;COUNT=3", "UTC"),
        ("GMT+14:00", "FREQ=WEEKLY;BYDAY=MO;COUNT=3", "Etc/GMT-14"),
        ("GMT+05:30", "FREQ=DAILY;COUNT=3", "UTC"),
    ],
)
def test_a_series_of_an_offset_has_a_zone_that_zoom_knows(
    zoom: Bench, zone: str, rule: str, kept: str
) -> None:
    """UTC where its dates are the same, else the zone of that name."""
    offset = zone.removeprefix("GMT")
    day = content(
        start=f"2026-05-04T10:00:00{offset}",
        end=f"2026-05-04T11:00:00{offset}",
        zone=zone,
        recurrence=(f"RRULE:{rule}",),
    )
    zoom.provider.create(day, "key")
    assert zoom.only()["timezone"] == kept
    first = datetime.fromisoformat(f"2026-05-04T10:00:00{offset}").astimezone(UTC)
    assert starts(zoom)[0] == f"{first:%Y-%m-%dT%H:%M:%SZ}"


def test_c3_the_limit_of_a_host_and_day(zoom: Bench) -> None:
    """Used up: after midnight by Zoom's clock, and for this host alone."""
    known = zoom.add()
    zoom.system.writes_per_day = 1
    zoom.provider.update(known, content(), ALL)
    with pytest.raises(TryLater) as raised:
        zoom.provider.update(known, content(), ALL)
    assert raised.value.after == MIDNIGHT
    assert not raised.value.everybody
    zoom.provider.delete(known)
    zoom.now += MIDNIGHT
    zoom.provider.update(zoom.add(), content(), ALL)


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        ((400, 3002, "Sorry, the meeting is in progress."), TryLater),
        ((400, 3003, "You are not the meeting host."), NotAllowed),
        ((400, 3018, "Not allowed to delete a PMI."), Invalid),
        ((400, 3007, "The meeting has ended."), Gone),
    ],
)
def test_what_stands_in_the_way_of_a_meeting(
    zoom: Bench, refusal: tuple[int, int, str], expected: type[SyncError]
) -> None:
    """Running, another's, a personal room, ended: each its own answer; deleting what has ended
    is done."""
    known = zoom.add()
    zoom.system.refusals[known] = refusal
    with pytest.raises(expected):
        zoom.provider.update(known, content(), ALL)
    if expected is Gone:
        zoom.provider.delete(known)
    else:
        with pytest.raises(expected):
            zoom.provider.delete(known)


def test_a_host_is_the_entrys_or_the_organizer(zoom: Bench) -> None:
    """Without both nothing can be made; one that Zoom does not know is no conference that is
    gone."""
    provider = zoom.make(host=None)
    provider.create(content(organizer="host@example.com"), "key-1")
    with pytest.raises(Invalid, match="SYNC_PROVIDERS"):
        provider.create(content(organizer=None), "key-2")
    with pytest.raises(NotAllowed, match="host"):
        provider.create(content(organizer="nobody@example.com"), "key-3")


def test_a_lost_creation_is_found_on_a_later_page(zoom: Bench) -> None:
    """Behind hundreds of others, and with a long agenda, of which lists show the beginning
    alone."""
    long = content(description="x" * 5000)
    made = zoom.provider.create(long, "key")
    zoom.system.meetings = dict(sorted(zoom.meetings.items()))
    first = zoom.system.meetings.pop(made.conference_id)
    for _ in range(5):
        zoom.system.add()
    zoom.system.meetings[made.conference_id] = first
    zoom.system.page_size = 2
    assert zoom.provider.create(long, "key").conference_id == made.conference_id
    assert len(first["agenda"]) <= 2000


def test_the_whole_way_in_of_a_recorded_meeting() -> None:
    """Numbers to dial carry the meeting's and the phone's code; what is missing is left out."""
    meeting = {
        "id": 81234567890,
        "join_url": "https://us02web.zoom.us/j/81234567890?pwd=x.1",
        "start_url": "https://us02web.zoom.us/s/81234567890?zak=host",
        "password": "abc123",
        "pstn_password": "654321",
        "settings": {
            "global_dial_in_numbers": [
                {"country": "DE", "number": "+49 69 5050 0951"},
                {"number": None},
                5,
            ]
        },
    }
    found = way_in(meeting, "zoom")
    video, phone = found.entry_points
    assert (video.label, video.passcode, video.meeting_code) == (
        "us02web.zoom.us/j/81234567890",
        "abc123",
        "81234567890",
    )
    assert (phone.uri, phone.region_code) == ("tel:+496950500951,,81234567890#,,,,*654321#", "DE")
    assert "zak" not in repr(found)
    assert way_in({"id": "1"}, "zoom").conference_id == ConferenceId("1")
    assert replace(found, entry_points=()) == way_in({"id": 81234567890, "settings": None}, "zoom")
