"""Webex' stand-in: who sees which meeting, and what kinds there are.

The numbers name the cases of ownership that the stand-in must be able to play.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sandbox.webex import HOST, Webex
from tests.support.sandbox_api import Api

ANNA, BOB = "anna@example.com", "bob@example.com"


@pytest.fixture(scope="module")
def started() -> Iterator[Webex]:
    webex = Webex()
    webex.start()
    yield webex
    webex.stop()


@pytest.fixture
def webex(started: Webex) -> Webex:
    started.reset()
    started.hosts |= {ANNA, BOB}
    return started


@pytest.fixture
def api(webex: Webex) -> Iterator[Api]:
    with Api(webex) as api:
        yield api


def found(api: Api, **query: Any) -> list[str]:
    answer = api.call("GET", "/meetings", **query)
    assert answer.status_code == 200
    return [each["hostEmail"] for each in answer.json()["items"]]


def test_a_meeting_is_shown_to_its_host_alone(webex: Webex, api: Api) -> None:
    """By link and number others get an empty list, by id 404; the host sees it (8, 9)."""
    shown = webex.add(host=BOB)
    link, number = shown["entryPoints"][0]["uri"], shown["entryPoints"][0]["meetingCode"]
    for query in ({"webLink": link}, {"meetingNumber": number}):
        assert found(api, hostEmail=BOB, **query) == [BOB]
        assert found(api, hostEmail=ANNA, **query) == []
        assert found(api, **query) == []
    meeting_id = shown["conferenceId"]
    assert api.read(meeting_id, hostEmail=BOB).json()["hostEmail"] == BOB
    for query in ({"hostEmail": ANNA}, {}):
        assert api.read(meeting_id, **query).status_code == 404
        assert api.remove(meeting_id, **query).status_code == 404
    assert api.change(meeting_id, {"title": "Mine", "hostEmail": ANNA}).status_code == 404
    assert webex.meetings[meeting_id]["title"] == "A meeting"
    assert webex.mails == []


def test_a_meeting_of_nobody_named_is_the_apps_own(webex: Webex, api: Api) -> None:
    """Without `hostEmail` a request is that of the app's own user."""
    meeting_id = webex.add()["conferenceId"]
    assert api.read(meeting_id).json()["hostEmail"] == HOST
    assert api.change(meeting_id, {"title": "Mine"}).status_code == 200


def test_an_invitee_sees_a_meeting_and_cannot_change_it(webex: Webex, api: Api) -> None:
    """The answer names the host, who is another than the one who asked (10)."""
    shown = webex.add(host=BOB, invitees=[ANNA])
    link, meeting_id = shown["entryPoints"][0]["uri"], shown["conferenceId"]
    assert found(api, webLink=link, hostEmail=ANNA) == [BOB]
    assert "invitees" not in api.read(meeting_id, hostEmail=ANNA).json()
    body = {"recurrence": None, "hostEmail": ANNA}
    assert api.change(meeting_id, body).status_code == 403
    assert api.remove(meeting_id, hostEmail=ANNA).status_code == 403
    assert [each.method for each in webex.writes(meeting_id)] == ["PATCH", "DELETE"]


def test_a_meeting_of_another_site_is_nobodys(webex: Webex, api: Api) -> None:
    """Its link has the other site's name, and no user of ours finds it (8)."""
    shown = webex.add(site="bigclient.webex.com", host="client@bigclient.example")
    link = shown["entryPoints"][0]["uri"]
    assert link.startswith("https://bigclient.webex.com/bigclient/j.php?MTID=m")
    for host in (HOST, ANNA, BOB):
        assert found(api, webLink=link, hostEmail=host) == []
        assert api.read(shown["conferenceId"], hostEmail=host).status_code == 404
    assert "client@bigclient.example" not in webex.hosts


@pytest.mark.parametrize("status", [403, 404])
def test_an_unknown_user_is_refused(webex: Webex, api: Api, status: int) -> None:
    """A host of nobody on the site is refused in either way, for every call."""
    webex.unknown_host_status = status
    meeting_id = webex.add()["conferenceId"]
    stranger = "stranger@elsewhere.example"
    assert api.call("GET", "/meetings", hostEmail=stranger).status_code == status
    assert api.read(meeting_id, hostEmail=stranger).status_code == status
    assert api.remove(meeting_id, hostEmail=stranger).status_code == status


@pytest.mark.parametrize("kind", ["meeting", "webinar", "personalRoomMeeting"])
def test_a_meeting_tells_its_kind(webex: Webex, api: Api, kind: Any) -> None:
    """`scheduledType` says what it is, `meetingType` that it stands for all its dates."""
    shown = webex.add(scheduled_type=kind, host=ANNA)
    link = shown["entryPoints"][0]["uri"]
    [meeting] = api.call("GET", "/meetings", webLink=link, hostEmail=ANNA).json()["items"]
    assert (meeting["scheduledType"], meeting["meetingType"]) == (kind, "meetingSeries")
    assert link.endswith("/meet/anna") == (kind == "personalRoomMeeting")


def test_a_scheduled_meeting_belongs_to_its_series(webex: Webex, api: Api) -> None:
    """One date of a series is a meeting of its own; what reaches it reaches the series."""
    meeting_id = webex.add(host=ANNA, recurrence="FREQ=DAILY;COUNT=3")["conferenceId"]
    first = webex.occurrences(meeting_id)[0]
    assert first["meetingType"] == "scheduledMeeting"
    assert api.read(first["id"], hostEmail=ANNA).json()["scheduledType"] == "meeting"
    assert api.read(first["id"], hostEmail=BOB).status_code == 404
    assert api.remove(first["id"], hostEmail=ANNA, sendEmail=False).status_code == 204
    assert [each.method for each in webex.writes(meeting_id)] == ["DELETE"]
    assert len(webex.occurrences(meeting_id)) == 2


def test_null_takes_the_recurrence_away(webex: Webex, api: Api) -> None:
    """A series becomes a single meeting, as it would at Webex."""
    meeting_id = webex.add(host=ANNA, recurrence="FREQ=DAILY;COUNT=3")["conferenceId"]
    body = {"recurrence": None, "hostEmail": ANNA, "sendEmail": False}
    assert "recurrence" not in api.change(meeting_id, body).json()
    assert len(webex.occurrences(meeting_id)) == 1


def test_a_lost_creation_can_be_found_by_its_tag(webex: Webex, api: Api) -> None:
    """The answer is lost, the meeting is listed by the tag the creation gave (15)."""
    other = webex.add()["conferenceId"]
    times = {name: webex.meetings[other][name] for name in ("start", "end")}
    webex.trouble("lost-answer", method="POST")
    body = {"title": "New", **times, "integrationTags": ["key-1"], "hostEmail": ANNA}
    with pytest.raises(httpx.RemoteProtocolError):
        api.call("POST", "/meetings", body)
    assert found(api, integrationTag="key-1", hostEmail=ANNA) == [ANNA]


def test_the_kinds_are_made_over_http_too(webex: Webex, api: Api) -> None:
    """Another process can set the scene: host, invitees, kind, site."""
    with httpx.Client(base_url=f"{webex.url}/_sandbox") as control:
        body = {"host": BOB, "invitees": [ANNA], "scheduled_type": "webinar"}
        link = control.post("/add", json=body).json()["entryPoints"][0]["uri"]
        assert found(api, webLink=link, hostEmail=ANNA) == [BOB]
        assert control.patch("/settings", json={"hosts": [ANNA]}).json()["hosts"] == [ANNA]
        assert api.call("GET", "/meetings", hostEmail=BOB).status_code == 403
