"""Zoom's stand-in: whose meetings there are, of which kind, and what survives a change.

The numbers name the cases of ownership that the stand-in must be able to play.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from sandbox.zoom import Zoom
from tests.support.sandbox_api import Api

BOB = "bob@example.com"


@pytest.fixture(scope="module")
def started() -> Iterator[Zoom]:
    zoom = Zoom()
    zoom.start()
    yield zoom
    zoom.stop()


@pytest.fixture
def zoom(started: Zoom) -> Zoom:
    started.reset()
    return started


@pytest.fixture
def api(zoom: Zoom) -> Iterator[Api]:
    with Api(zoom) as api:
        yield api


def weekly(**members: Any) -> dict[str, Any]:
    recurrence = {"type": 2, "repeat_interval": 1, "weekly_days": "2", "end_times": 4}
    return {"type": 8, "recurrence": recurrence, **members}


def problem(answer: httpx.Response) -> tuple[int, int]:
    return answer.status_code, answer.json()["code"]


def test_a_meeting_names_its_host(zoom: Zoom, api: Api) -> None:
    """The address and the id of the user whose meeting it is; the path takes either (4)."""
    shown = zoom.add(host=BOB)
    meeting = api.read(shown["conferenceId"]).json()
    assert (meeting["host_email"], meeting["host_id"]) == (BOB, zoom.user_id(BOB))
    for user in (BOB, zoom.user_id(BOB)):
        listed = api.call("GET", f"/users/{user}/meetings").json()["meetings"]
        assert [each["id"] for each in listed] == [meeting["id"]]
    assert api.call("GET", "/users/host@example.com/meetings").json()["meetings"] == []


def test_an_unknown_user_is_not_a_missing_meeting(zoom: Zoom, api: Api) -> None:
    """404 with 1001, for a stranger and for meetings of a user who left."""
    assert problem(api.call("GET", f"/users/{BOB}/meetings")) == (404, 1001)
    assert problem(api.call("POST", f"/users/{BOB}/meetings", {"topic": "x"})) == (404, 1001)
    number = zoom.add(host=BOB)["conferenceId"]
    assert api.read(number).status_code == 200
    zoom.hosts.remove(BOB)
    assert problem(api.read(number)) == problem(api.remove(number)) == (404, 1001)
    assert number in zoom.meetings


def test_a_meeting_of_another_account_does_not_exist(zoom: Zoom, api: Api) -> None:
    """Reads and writes answer 404/3001, and the meeting stays as it is (1)."""
    shown = zoom.add(account="bigclient", host="client@bigclient.example")
    assert shown["entryPoints"][0]["uri"].startswith("https://bigclient.zoom.us/j/")
    number = shown["conferenceId"]
    before = dict(zoom.meetings[number])
    assert problem(api.read(number)) == (404, 3001)
    assert problem(api.change(number, {"topic": "Mine"})) == (404, 3001)
    assert problem(api.remove(number)) == (404, 3001)
    assert zoom.meetings[number] == before
    assert "client@bigclient.example" not in zoom.hosts


def test_a_webinar_is_no_meeting(zoom: Zoom, api: Api) -> None:
    """400 with 3000: the call is for meetings alone."""
    shown = zoom.add(webinar=True)
    assert "/w/" in shown["entryPoints"][0]["uri"]
    assert problem(api.read(shown["conferenceId"])) == (400, 3000)


@pytest.mark.parametrize("kind", [1, 3])
def test_a_meeting_may_have_no_time(zoom: Zoom, api: Api, kind: int) -> None:
    """Instant meetings, and recurring ones without a fixed time (2)."""
    meeting = api.read(zoom.add(type=kind)["conferenceId"]).json()
    assert meeting["type"] == kind
    assert "start_time" not in meeting
    assert "occurrences" not in meeting


def test_a_personal_meeting_has_the_users_own_number(zoom: Zoom, api: Api) -> None:
    """Type 4 with `pmi`, read and in lists; it can be changed and not be deleted."""
    number = str(zoom.personal_number(BOB))
    zoom.hosts.add(BOB)
    assert zoom.personal_number(BOB) == int(number)
    meeting = api.read(number).json()
    assert (meeting["type"], meeting["pmi"], meeting["host_email"]) == (4, int(number), BOB)
    listed = api.call("GET", f"/users/{BOB}/meetings").json()["meetings"]
    assert [each["type"] for each in listed] == [4]
    assert api.change(number, {"topic": "Everybody's"}).status_code == 204
    assert problem(api.remove(number)) == (400, 3018)


def test_an_event_may_show_the_personal_number(zoom: Zoom) -> None:
    """The meeting's own id stands in the parameters alone (6)."""
    shown = zoom.add(host=BOB, shown_as="personal")
    personal = str(zoom.personal_number(BOB))
    real = shown["parameters"]["addOnParameters"]["parameters"]["realMeetingId"]
    assert shown["conferenceId"] == shown["entryPoints"][0]["meetingCode"] == personal != real
    assert {real, personal} == set(zoom.meetings)


def test_a_change_leaves_what_it_does_not_name(zoom: Zoom, api: Api) -> None:
    """Passcode, waiting room, registration, mail and other hosts survive a new topic (7)."""
    kept = {
        "email_notification": True,
        "alternative_hosts": BOB,
        "approval_type": 0,
        "waiting_room": True,
    }
    number = zoom.add(password="s3cret", settings=kept)["conferenceId"]
    before = api.read(number).json()
    assert api.change(number, {"topic": "New"}).status_code == 204
    assert api.read(number).json() == {**before, "topic": "New"}
    # One setting that is named changes, and no other.
    api.change(number, {"settings": {"email_notification": False}})
    after = api.read(number).json()
    assert after["settings"] == {**before["settings"], "email_notification": False}


def test_what_is_zooms_own_cannot_be_set(zoom: Zoom, api: Api) -> None:
    """A request changes neither id nor host nor link, whatever it carries."""
    number = zoom.add()["conferenceId"]
    before = api.read(number).json()
    own = {"id": 1, "host_email": BOB, "join_url": "https://evil.example/", "pmi": 5}
    assert api.change(number, own).status_code == 204
    assert api.read(number).json() == before


def test_type_2_flattens_a_series(zoom: Zoom, api: Api) -> None:
    """All dates of a recurring meeting are gone when it is made a single one (3)."""
    number = zoom.add(**weekly(settings={"approval_type": 0}))["conferenceId"]
    assert len(api.read(number).json()["occurrences"]) == 4
    start = f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%dT10:00:00Z}"
    body = {"type": 2, "start_time": start, "timezone": "UTC", "duration": 30}
    assert api.change(number, body).status_code == 204
    meeting = api.read(number).json()
    assert (meeting["type"], meeting["start_time"]) == (2, start)
    assert meeting.keys() & {"occurrences", "recurrence"} == set()


def test_a_topic_alone_leaves_the_dates(zoom: Zoom, api: Api) -> None:
    """A change without times keeps the occurrences, cancelled ones included."""
    number = zoom.add(**weekly())["conferenceId"]
    occurrence = api.read(number).json()["occurrences"][1]["occurrence_id"]
    api.remove(number, occurrence_id=occurrence)
    before = api.read(number).json()["occurrences"]
    assert [each["status"] for each in before].count("deleted") == 1
    api.change(number, {"topic": "New"})
    assert api.read(number).json()["occurrences"] == before


def test_no_recurrence_is_no_recurrence_object(zoom: Zoom, api: Api) -> None:
    """`recurrence: null` is refused and changes nothing."""
    number = zoom.add(**weekly())["conferenceId"]
    assert problem(api.change(number, {"type": 8, "recurrence": None})) == (400, 300)
    assert len(api.read(number).json()["occurrences"]) == 4


def test_one_wrong_not_found(zoom: Zoom, api: Api) -> None:
    """One change is answered 404/3001 although the meeting is there (5)."""
    number = zoom.add()["conferenceId"]
    zoom.trouble("false-not-found", method="PATCH")
    assert problem(api.change(number, {"topic": "New"})) == (404, 3001)
    assert api.read(number).status_code == 200
    assert api.change(number, {"topic": "New"}).status_code == 204


def test_a_lost_creation_can_be_found(zoom: Zoom, api: Api) -> None:
    """The answer is lost, the meeting is there and listed with the agenda's beginning (15)."""
    zoom.trouble("lost-answer", method="POST")
    body = {"topic": "New", "agenda": "[ref 123]", "type": 1}
    with pytest.raises(httpx.RemoteProtocolError):
        api.call("POST", "/users/host@example.com/meetings", body)
    listed = api.call("GET", "/users/host@example.com/meetings").json()["meetings"]
    assert [each["agenda"] for each in listed] == ["[ref 123]"]


def test_the_kinds_are_made_over_http_too(zoom: Zoom, api: Api) -> None:
    """Another process can set the scene: host, account, kind, users."""
    with httpx.Client(base_url=f"{zoom.url}/_sandbox") as control:
        shown = control.post("/add", json={"host": BOB, "shown_as": "personal"}).json()
        assert shown["parameters"]
        other = control.post("/add", json={"account": "bigclient", "type": 3}).json()
        assert problem(api.read(other["conferenceId"])) == (404, 3001)
        assert control.patch("/settings", json={"hosts": []}).json()["hosts"] == []
        assert problem(api.read(shown["conferenceId"])) == (404, 1001)
        assert control.post("/add", json={"start_time": "tomorrow"}).status_code == 400
