"""Graph's stand-in: whose meetings there are, the forms of join links, and who left.

The numbers name the cases of ownership that the stand-in must be able to play.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

import httpx
import pytest

from sandbox.teams import ELSEWHERE, HOST, HOST_ADDRESS, TENANT, Teams
from tests.support.sandbox_api import Api

BOB = "bob@example.com"


@pytest.fixture(scope="module")
def started() -> Iterator[Teams]:
    teams = Teams()
    teams.start()
    yield teams
    teams.stop()


@pytest.fixture
def teams(started: Teams) -> Teams:
    started.reset()
    return started


@pytest.fixture
def api(teams: Teams) -> Iterator[Api]:
    with Api(teams) as api:
        yield api


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def look_up(api: Api, link: str, host: str) -> httpx.Response:
    condition = {"$filter": f"JoinWebUrl eq '{link}'"}
    return api.call("GET", "/onlineMeetings", host=host, **condition)


def test_a_meeting_names_its_organizer(teams: Teams, api: Api) -> None:
    """By address and by object id, in every answer; the stand-in's own words stay out."""
    meeting_id = teams.add(host=BOB)["conferenceId"]
    bob = teams.add_user(BOB)
    meeting = api.read(meeting_id, host=bob).json()
    organizer = meeting["participants"]["organizer"]
    assert (organizer["upn"], organizer["identity"]["user"]["id"]) == (BOB, bob)
    assert meeting.keys().isdisjoint({"organizer", "tenant"})
    made = api.call("POST", "/onlineMeetings", {"subject": "x"}).json()
    assert made["participants"]["organizer"]["upn"] == HOST_ADDRESS


def test_a_meeting_is_its_organizers_alone(teams: Teams, api: Api) -> None:
    """Asked as another user: by id 404, by link 404 or an empty list (12)."""
    shown = teams.add(host=BOB)
    link, bob = shown["entryPoints"][0]["uri"], teams.add_user(BOB)
    assert len(look_up(api, link, bob).json()["value"]) == 1
    assert code(api.read(shown["conferenceId"])) == (404, "NotFound")
    assert code(api.remove(shown["conferenceId"])) == (404, "NotFound")
    assert code(look_up(api, link, HOST)) == (404, "NotFound")
    teams.looks_up_empty = True
    assert look_up(api, link, HOST).json() == {"value": []}
    assert shown["conferenceId"] in teams.meetings


def test_the_policy_may_leave_out_one_user(teams: Teams, api: Api) -> None:
    """403 for that user's meetings, and all others go on (11)."""
    mine, others = teams.add()["conferenceId"], teams.add(host=BOB)["conferenceId"]
    bob = teams.add_user(BOB)
    teams.without_policy.add(bob)
    refused = api.read(others, host=bob)
    assert code(refused) == (403, "Forbidden")
    assert "No application access policy found for this app" in refused.json()["error"]["message"]
    assert api.read(mine).status_code == 200
    teams.policy = False
    assert code(api.read(mine)) == (403, "Forbidden")


@pytest.mark.parametrize(
    ("words", "expected"), [("resource", "Request_ResourceNotFound"), ("user", "NotFound")]
)
def test_a_host_who_left(teams: Teams, api: Api, words: str, expected: str) -> None:
    """404 about the user, in either form; the meeting lives on and nobody can delete it."""
    teams.unknown_user = "user" if words == "user" else "resource"
    shown = teams.add(host=BOB)
    bob = teams.add_user(BOB)
    teams.leave(BOB)
    for answer in (
        api.read(shown["conferenceId"], host=bob),
        api.remove(shown["conferenceId"], host=bob),
        look_up(api, shown["entryPoints"][0]["uri"], bob),
        api.call("POST", "/onlineMeetings", {"subject": "x"}, host=bob),
    ):
        assert code(answer) == (404, expected)
        assert "3004" not in answer.json()["error"]["message"]
    assert shown["conferenceId"] in teams.meetings


def test_a_long_link_tells_tenant_and_organizer(teams: Teams) -> None:
    """The context names both, by their ids."""
    link = unquote(teams.add(host=BOB)["entryPoints"][0]["uri"])
    assert re.match(
        r"https://teams\.microsoft\.com/l/meetup-join/19:meeting_\w+@thread\.v2/0", link
    )
    assert f'"Tid":"{TENANT}"' in link
    assert f'"Oid":"{teams.add_user(BOB)}"' in link


def test_a_short_link_tells_the_number_alone(teams: Teams, api: Api) -> None:
    """It is found by link and by number, as its organizer only (12)."""
    shown = teams.add(host=BOB, form="short")
    link, bob = shown["entryPoints"][0]["uri"], teams.add_user(BOB)
    number = re.fullmatch(r"https://teams\.microsoft\.com/meet/(\d{12,13})\?p=\w+", link)
    assert number is not None
    by_number = {"$filter": f"joinMeetingIdSettings/joinMeetingId eq '{number[1]}'"}
    for answer in (
        look_up(api, link, bob),
        api.call("GET", "/onlineMeetings", host=bob, **by_number),
    ):
        assert [each["id"] for each in answer.json()["value"]] == [shown["conferenceId"]]
    assert api.call("GET", "/onlineMeetings", **by_number).status_code == 404


def test_a_channels_meeting_has_a_thread_of_the_channel(teams: Teams, api: Api) -> None:
    """Its link names the channel's thread and a message in it; its organizer finds it."""
    link = teams.add(host=BOB, form="channel")["entryPoints"][0]["uri"]
    assert re.search(r"/19%3a\w+%40thread\.tacv2/\d{13}\?context=", link)
    assert look_up(api, link, teams.add_user(BOB)).status_code == 200


def test_a_government_cloud_has_a_site_of_its_own(teams: Teams, api: Api) -> None:
    """The host of the link differs, and the meeting is there as any other."""
    shown = teams.add(site="gov.teams.microsoft.us")
    link = shown["entryPoints"][0]["uri"]
    assert link.startswith("https://gov.teams.microsoft.us/l/meetup-join/")
    assert look_up(api, link, HOST).status_code == 200


def test_another_tenants_meeting_is_nobodys(teams: Teams, api: Api) -> None:
    """The link names the other tenant, no user of ours finds the meeting, and none is added."""
    shown = teams.add(tenant=ELSEWHERE, host="client@elsewhere.example")
    link = shown["entryPoints"][0]["uri"]
    assert ELSEWHERE in link
    assert "client@elsewhere.example" not in teams.users.values()
    assert look_up(api, link, HOST).status_code == 404
    assert api.read(shown["conferenceId"]).status_code == 404


def test_a_repeated_creation_gives_the_same_meeting(teams: Teams, api: Api) -> None:
    """The answer is lost, and `createOrGet` with the same externalId finds the meeting (15)."""
    teams.trouble("lost-answer", method="POST")
    with pytest.raises(httpx.RemoteProtocolError):
        api.call("POST", "/onlineMeetings/createOrGet", {"externalId": "key-1"})
    [known] = teams.meetings
    again = api.call("POST", "/onlineMeetings/createOrGet", {"externalId": "key-1"})
    assert (again.status_code, again.json()["id"]) == (200, known)
    assert [each.conference for each in teams.requests] == [None, None]


def test_the_kinds_are_made_over_http_too(teams: Teams, api: Api) -> None:
    """Another process can set the scene: host, form of the link, users, policy."""
    with httpx.Client(base_url=f"{teams.url}/_sandbox") as control:
        shown = control.post("/add", json={"host": BOB, "form": "short"}).json()
        bob = teams.add_user(BOB)
        assert "/meet/" in shown["entryPoints"][0]["uri"]
        control.patch("/settings", json={"without_policy": [bob]})
        assert api.read(shown["conferenceId"], host=bob).status_code == 403
        control.patch("/settings", json={"users": {HOST: HOST_ADDRESS}})
        assert api.read(shown["conferenceId"], host=bob).status_code == 404
