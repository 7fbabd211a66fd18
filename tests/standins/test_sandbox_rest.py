"""The conferencing system of the sandbox, and the published contract: each is held against the
other.

Every request these tests send and every answer they get is checked against
docs/rest-conferencing.openapi.yaml, unless a test breaks the contract on purpose.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from openapi_core.exceptions import OpenAPIError

from sandbox.rest import Rest
from tests.support.rest_contract import SERVER, check_answer, check_request

CONFERENCE: dict[str, Any] = {
    "title": "Weekly",
    "description": "What we did",
    "start": "2026-05-04T10:00:00+02:00",
    "end": "2026-05-04T11:00:00+02:00",
    "time_zone": "Europe/Berlin",
    "all_day": False,
    "recurrence": ["RRULE:FREQ=WEEKLY;BYDAY=MO"],
    "organizer": "ada@example.com",
    "attendees": ["grace@example.com"],
    "event": {"calendar_id": "ada@example.com", "event_id": "e1", "ical_uid": "e1@google.com"},
}
OCCURRENCE: dict[str, Any] = {
    "title": "Weekly, later",
    "description": None,
    "start": "2026-05-11T16:00:00Z",
    "end": "2026-05-11T17:00:00Z",
    "time_zone": None,
    "all_day": False,
}


@pytest.fixture(scope="module")
def server() -> Iterator[Rest]:
    """One server for all tests; each has it anew by `reset`."""
    conferencing = Rest()
    conferencing.start()
    yield conferencing
    conferencing.stop()


@pytest.fixture
def conferencing(server: Rest) -> Rest:
    server.reset("secret")
    return server


class Api(httpx.Client):
    """A client of the contract; `honest=False` sends a request although the contract forbids it."""

    def __init__(self, url: str) -> None:
        # No TLS here: without `verify` the certificates of all authorities are not read for every
        # test.
        super().__init__(
            base_url=url, headers={"Authorization": "Bearer secret"}, timeout=10, verify=False
        )

    def call(
        self, method: str, path: str, body: Any = None, key: str | None = None, honest: bool = True
    ) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key is not None else {}
        request = self.build_request(method, f"/api{path}", json=body, headers=headers)
        if honest:
            check_request(request)
        else:
            with pytest.raises(OpenAPIError):
                check_request(request)
        response = self.send(request)
        response.read()
        check_answer(response)
        return response

    def create(self, key: str = "k1", honest: bool = True, **changes: Any) -> httpx.Response:
        return self.call("POST", "/conferences", {**CONFERENCE, **changes}, key, honest)


@pytest.fixture
def api(conferencing: Rest) -> Iterator[Api]:
    with Api(conferencing.url) as api:
        yield api


# The contract.


def test_a_conference_lives_its_life(conferencing: Rest, api: Api) -> None:
    """Created, read, replaced, deleted; deleted again is as good."""
    created = api.create()
    assert created.status_code == 201
    id = created.json()["id"]
    assert {name: created.json()[name] for name in CONFERENCE} == CONFERENCE
    video, phone = created.json()["entry_points"]
    assert (video["type"], video["uri"]) == ("video", f"https://meet.example.com/{id}")
    assert video["passcode"]
    assert (phone["type"], phone["uri"][:4]) == ("phone", "tel:")
    assert api.call("GET", f"/conferences/{id}").json() == created.json()

    moved = {
        **CONFERENCE,
        "title": "Moved",
        "start": "2026-05-04T10:00:00Z",
        "end": "2026-05-04T11:00:00Z",
    }
    del moved["attendees"]
    replaced = api.call("PUT", f"/conferences/{id}", moved)
    assert replaced.status_code == 200
    assert replaced.json() == {**created.json(), **moved, "attendees": []}
    assert conferencing.conferences[id]["title"] == "Moved"

    assert api.call("DELETE", f"/conferences/{id}").status_code == 204
    assert api.call("DELETE", f"/conferences/{id}").status_code == 404
    for method, body in (("GET", None), ("PUT", CONFERENCE)):
        assert api.call(method, f"/conferences/{id}", body).status_code == 404
    assert (conferencing.created, conferencing.deleted, conferencing.conferences) == (1, [id], {})


def test_an_all_day_conference_has_dates(api: Api) -> None:
    """Where `all_day` is true, start and end are dates, and nothing else is taken."""
    day: dict[str, Any] = {
        "all_day": True,
        "start": "2026-05-04",
        "end": "2026-05-05",
        "time_zone": None,
    }
    assert api.create("a", **day).status_code == 201
    assert (
        api.create("b", honest=False, **{**day, "start": "2026-05-04T10:00:00Z"}).status_code == 400
    )
    assert api.create("c", honest=False, **{**day, "all_day": False}).status_code == 400


def test_the_same_key_gives_the_same_conference(conferencing: Rest, api: Api) -> None:
    """A repeated POST makes no second conference, also after a change; a new key or a deletion
    does."""
    id = api.create("k1").json()["id"]
    api.call("PUT", f"/conferences/{id}", {**CONFERENCE, "title": "Renamed"})
    again = api.create("k1")
    assert (again.status_code, again.json()["id"], again.json()["title"]) == (201, id, "Renamed")
    assert conferencing.created == 1
    assert (
        api.create("k1", event={"calendar_id": "ada@example.com", "event_id": "other"}).status_code
        == 422
    )
    assert api.create("k2").json()["id"] != id
    api.call("DELETE", f"/conferences/{id}")
    assert api.create("k1").json()["id"] not in (id, None)
    assert conferencing.created == 3


def test_a_crowd_with_one_key_makes_one_conference(conferencing: Rest, api: Api) -> None:
    """However many send the same POST at once, there is one conference."""
    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda _: api.create("k").json()["id"], range(16)))
    assert len(set(ids)) == 1
    assert conferencing.created == 1


def test_occurrences_are_changed_and_cancelled(conferencing: Rest, api: Api) -> None:
    """One occurrence of a series is known by its original start, however the path is encoded."""
    id = api.create().json()["id"]
    first, second = "2026-05-11T08:00:00Z", "2026-05-18T08:00:00Z"
    assert api.call("PUT", f"/conferences/{id}/occurrences/{first}", OCCURRENCE).status_code == 200
    assert (
        api.call(
            "DELETE", f"/conferences/{id}/occurrences/{second}".replace(":", "%3A")
        ).status_code
        == 204
    )
    assert conferencing.conferences[id]["occurrences"] == {first: OCCURRENCE, second: None}
    assert "occurrences" not in api.call("GET", f"/conferences/{id}").json()
    assert (
        api.call("PUT", f"/conferences/{id}/occurrences/2026-05-11", OCCURRENCE).status_code == 200
    )
    assert (
        api.call("DELETE", f"/conferences/{id}/occurrences/monday", honest=False).status_code == 400
    )
    assert api.call("DELETE", f"/conferences/other/occurrences/{first}").status_code == 404
    # The series keeps what was told of its occurrences.
    api.call("PUT", f"/conferences/{id}", {**CONFERENCE, "title": "Renamed"})
    assert conferencing.conferences[id]["occurrences"][second] is None


@pytest.mark.parametrize("refusal", [404, 405, 501])
def test_a_system_may_have_no_occurrences(conferencing: Rest, api: Api, refusal: int) -> None:
    """Without occurrences these calls are refused, whichever way the system says so."""
    conferencing.reset("secret", occurrences=False, occurrence_refusal=refusal)
    id = api.create().json()["id"]
    path = f"/conferences/{id}/occurrences/2026-05-11T08:00:00Z"
    assert api.call("PUT", path, OCCURRENCE).status_code == refusal
    assert api.call("DELETE", path).status_code == refusal
    assert conferencing.conferences[id]["occurrences"] == {}


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_gone_is_gone_either_way(conferencing: Rest, api: Api, status: int) -> None:
    """A conference that existed answers 404 or 410, one that never did always 404."""
    conferencing.settings.gone_status = 410 if status == 410 else 404
    id = api.create().json()["id"]
    conferencing.forget(id)
    for method, body in (("GET", None), ("PUT", CONFERENCE), ("DELETE", None)):
        assert api.call(method, f"/conferences/{id}", body).status_code == status
        assert api.call(method, "/conferences/never", body).status_code == 404


@pytest.mark.parametrize(
    "changes",
    [
        {"title": None},
        {"title": 5},
        {"description": 5},
        {"start": "2026-05-04T10:00:00"},
        {"start": "2026-05-04"},
        {"start": "tomorrow"},
        {"start": None},
        {"end": "2026-13-04T10:00:00Z"},
        {"time_zone": 2},
        {"all_day": "no"},
        {"recurrence": "RRULE:FREQ=DAILY"},
        {"recurrence": ["FREQ=DAILY"]},
        {"recurrence": None},
        {"organizer": {"email": "ada@example.com"}},
        {"attendees": [{"email": "ada@example.com"}]},
        {"event": None},
        {"event": {"calendar_id": "ada@example.com"}},
        {"event": {"calendar_id": "", "event_id": "e1"}},
    ],
    ids=str,
)
def test_a_malformed_conference_is_refused_by_both(
    conferencing: Rest, api: Api, changes: dict[str, Any]
) -> None:
    """What the document forbids the system answers with 400, and stores nothing of it."""
    refused = api.create(honest=False, **changes)
    assert refused.status_code == 400
    assert next(iter(changes)) in refused.json()["error"]["message"]
    conferencing.add("there")
    assert (
        api.call("PUT", "/conferences/there", {**CONFERENCE, **changes}, honest=False).status_code
        == 400
    )
    assert conferencing.conferences["there"]["event"] is None
    assert conferencing.created == 0


@pytest.mark.parametrize("missing", ["title", "start", "end", "all_day", "event"])
def test_a_missing_member_is_refused_by_both(api: Api, missing: str) -> None:
    """The five members that are always sent are needed."""
    body = {name: value for name, value in CONFERENCE.items() if name != missing}
    refused = api.call("POST", "/conferences", body, "k", honest=False)
    assert refused.status_code == 400
    assert missing in refused.json()["error"]["message"]


def test_what_may_be_left_out_or_is_unknown_is_taken(api: Api) -> None:
    """The other members may be missing, and new ones may come: the contract can grow."""
    least = {name: CONFERENCE[name] for name in ("title", "start", "end", "all_day", "event")}
    created = api.call("POST", "/conferences", {**least, "colour": "red"}, "k")
    assert created.status_code == 201
    assert (created.json()["attendees"], created.json()["colour"]) == ([], "red")


def test_what_is_the_systems_own_stays(conferencing: Rest, api: Api) -> None:
    """A request changes neither the id nor the ways in nor the notes, whatever it carries."""
    entry = {"type": "video", "uri": "https://meet.example.com/mine"}
    added = conferencing.add("mine", notes="Wear a tie.", entry_points=[entry])
    own: dict[str, Any] = {"id": "other", "entry_points": [], "notes": None}
    replaced = api.call("PUT", "/conferences/mine", {**CONFERENCE, **own}).json()
    assert replaced == {**CONFERENCE, "id": "mine", "entry_points": [entry], "notes": "Wear a tie."}
    assert added["occurrences"] == {}


def test_a_post_needs_its_key(api: Api) -> None:
    """Without Idempotency-Key nothing is made."""
    assert api.call("POST", "/conferences", CONFERENCE, honest=False).status_code == 400


def test_only_its_tokens_open_the_system(conferencing: Rest, api: Api) -> None:
    """A missing or wrong token is 401; tokens can be added and taken away, as in a rotation."""
    del api.headers["Authorization"]
    assert api.call("GET", "/conferences/conf-1", honest=False).status_code == 401
    api.headers["Authorization"] = "Bearer new"
    assert api.call("GET", "/conferences/conf-1").status_code == 401
    conferencing.tokens.add("new")
    assert api.call("GET", "/conferences/conf-1").status_code == 404
    conferencing.tokens.discard("new")
    assert api.call("GET", "/conferences/conf-1").status_code == 401


def test_answers_may_name_no_organizer(conferencing: Rest, api: Api) -> None:
    """With the setting off, no answer has the member; what was sent of it is kept."""
    named = api.create()
    assert named.json()["organizer"] == "ada@example.com"
    conferencing.settings.names_organizer = False
    path = f"/conferences/{named.json()['id']}"
    for answer in (api.call("GET", path), api.call("PUT", path, CONFERENCE), api.create("k2")):
        assert "organizer" not in answer.json()
    assert conferencing.conferences[named.json()["id"]]["organizer"] == "ada@example.com"


def test_a_lost_creation_is_found_by_its_key(conferencing: Rest, api: Api) -> None:
    """The answer is lost; the same key brings the conference that was made."""
    conferencing.trouble("lost-answer", method="POST")
    with pytest.raises(httpx.RemoteProtocolError):
        api.create("k1")
    [made] = conferencing.conferences
    assert api.create("k1").json()["id"] == made
    assert conferencing.created == 1


def test_a_title_may_be_too_long(conferencing: Rest, api: Api) -> None:
    """With `max_title` a longer one is 422 with a message."""
    conferencing.settings.max_title = 10
    refused = api.create(title="x" * 11)
    assert refused.status_code == 422
    assert "10" in refused.json()["error"]["message"]
    assert api.create(title="é" * 10).status_code == 201


@pytest.mark.parametrize("form", ["seconds", "http-date", "iso"])
def test_too_many_requests_are_told_when_to_come_again(
    conferencing: Rest, api: Api, form: Any
) -> None:
    """Over the rate: 429, with Retry-After in the form that was chosen."""
    conferencing.settings.requests_per_second = 2
    conferencing.settings.retry_after_form = form
    answers = [api.call("GET", "/conferences/conf-1") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [404, 404, 429]
    told = answers[2].headers["Retry-After"]
    if form == "seconds":
        wait = float(told)
    else:
        at = parsedate_to_datetime(told) if form == "http-date" else datetime.fromisoformat(told)
        wait = (at - datetime.now(UTC)).total_seconds()
    assert 0 < wait <= 3
    conferencing.settings.requests_per_second = None
    assert api.call("GET", "/conferences/conf-1").status_code == 404


def test_unknown_paths_and_methods_are_refused_in_the_contracts_form(api: Api) -> None:
    """Also what the framework answers by itself has an error body."""
    for method, path, status in (
        ("GET", "/api/other", 404),
        ("PATCH", "/api/conferences/conf-1", 405),
    ):
        answer = api.request(method, path)
        assert (answer.status_code, bool(answer.json()["error"]["message"])) == (status, True)


# The document itself.


def answer_to(
    method: str, path: str, status: int, body: Any, content_type: str = "application/json"
) -> httpx.Response:
    request = httpx.Request(method, f"{SERVER}/api{path}", headers={"Authorization": "Bearer t"})
    data = b"" if body is None else json.dumps(body).encode()
    return httpx.Response(
        status, content=data, headers={"Content-Type": content_type}, request=request
    )


GOOD_ENTRY = {"type": "video", "uri": "https://meet.example.com/conf-1"}


@pytest.mark.parametrize(
    ("method", "status", "body"),
    [
        ("GET", 200, {"entry_points": []}),
        ("GET", 200, {"id": "", "entry_points": []}),
        ("GET", 200, {"id": "conf-1"}),
        ("GET", 200, {"id": 1, "entry_points": []}),
        ("GET", 200, {"id": "conf-1", "entry_points": [{"type": "video"}]}),
        (
            "GET",
            200,
            {"id": "conf-1", "entry_points": [{"type": "fax", "uri": "https://meet.example.com/"}]},
        ),
        (
            "GET",
            200,
            {
                "id": "conf-1",
                "entry_points": [{"type": "phone", "uri": "https://meet.example.com/"}],
            },
        ),
        ("GET", 200, {"id": "conf-1", "entry_points": [{**GOOD_ENTRY, "passcode": 123456}]}),
        ("GET", 200, {"id": "conf-1", "entry_points": [GOOD_ENTRY], "notes": 1}),
        ("PUT", 201, {"id": "conf-1", "entry_points": [GOOD_ENTRY]}),
        ("GET", 400, {"error": {}}),
        ("DELETE", 200, {}),
        ("GET", 404, {"error": "gone"}),
        ("GET", 418, {}),
        ("DELETE", 410, {"reason": "not the word of the contract"}),
    ],
    ids=str,
)
def test_the_document_bites(method: str, status: int, body: Any) -> None:
    """An answer outside the contract does not pass; the checks of these tests are not vacuous."""
    with pytest.raises(OpenAPIError):
        check_answer(answer_to(method, "/conferences/conf-1", status, body))


@pytest.mark.parametrize(
    ("method", "status", "body"),
    [
        (
            "GET",
            200,
            {"id": "conf-1", "entry_points": [GOOD_ENTRY], "notes": "Wear a tie.", "colour": "red"},
        ),
        ("PUT", 503, {}),
        ("PUT", 409, {"error": {"message": "The conference is running.", "code": 7}}),
        ("DELETE", 410, {"error": {"message": "Gone."}, "reason": "whatever a company says"}),
    ],
    ids=str,
)
def test_the_document_leaves_room(method: str, status: int, body: Any) -> None:
    """Unknown members and errors in another form pass."""
    check_answer(answer_to(method, "/conferences/conf-1", status, body))


# Controls.


def test_conferences_come_and_go_behind_the_back(conferencing: Rest, api: Api) -> None:
    """`add` and `forget` act as an add-on and an administrator would: not counted, but there and
    gone."""
    added = conferencing.add(title="Mine")
    assert api.call("GET", f"/conferences/{added['id']}").json()["title"] == "Mine"
    assert conferencing.add("my-id", recurrence=["RRULE:FREQ=DAILY"])["id"] == "my-id"
    conferencing.forget("my-id")
    assert api.call("GET", "/conferences/my-id").status_code == 404
    assert (conferencing.created, conferencing.deleted) == (0, [])
    assert conferencing.add("my-id")["id"] == "my-id"


def test_requests_are_recorded(conferencing: Rest, api: Api) -> None:
    """Method, path, body, key and status of every request, those that a fault struck included."""
    conferencing.faults.add(method="PUT", status=503, body={"error": {"message": "down"}})
    id = api.create("k1").json()["id"]
    api.call("PUT", f"/conferences/{id}", CONFERENCE)
    told = [
        (each.method, each.path, each.status, each.idempotency_key)
        for each in conferencing.requests
    ]
    assert told == [
        ("POST", "/api/conferences", 201, "k1"),
        ("PUT", f"/api/conferences/{id}", 503, None),
    ]
    assert conferencing.requests[0].body == CONFERENCE
    assert conferencing.requests[0].at.tzinfo is UTC


def test_requests_at_once_are_counted(conferencing: Rest, api: Api) -> None:
    """How many requests were under way at once is seen, over all and for each conference."""
    for id in ("a", "b", "c"):
        conferencing.add(id)
    conferencing.faults.add(delay_seconds=0.15, times=None)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda id: api.call("GET", f"/conferences/{id}"), ["a", "b", "c", "a"]))
    assert conferencing.max_concurrency == 4
    assert conferencing.max_concurrency_per_conference == 2
    assert sorted(each.concurrent for each in conferencing.requests) == [0, 1, 2, 3]


def test_faults_strike(conferencing: Rest, api: Api) -> None:
    """An answer can be lost after the effect, cut off, or never come."""
    conferencing.faults.add(method="POST", status=502, after=True)
    assert api.create("k").status_code == 502
    assert conferencing.created == 1
    conferencing.faults.add(method="GET", truncate=True)
    with pytest.raises(httpx.RemoteProtocolError):
        api.get("/api/conferences/conf-1")
    conferencing.faults.add(method="GET", hang=True)
    with pytest.raises(httpx.ReadTimeout):
        api.get("/api/conferences/conf-1", timeout=0.1)
    conferencing.faults.clear()
    assert api.call("GET", "/conferences/conf-1").status_code == 200


def test_the_controls_over_http(conferencing: Rest, api: Api) -> None:
    """Another process can do what a test does in this one."""
    control = httpx.Client(base_url=f"{conferencing.url}/_sandbox")
    with control:
        added = control.post("/add", json={"id": "x", "title": "Mine"}).json()
        assert control.get("/conferences").json() == {"x": added}
        assert control.put("/tokens", json=["other"]).json() == ["other"]
        assert api.call("GET", "/conferences/x").status_code == 401
        control.put("/tokens", json=["secret"])
        assert control.patch("/settings", json={"max_title": 3}).json()["max_title"] == 3
        assert control.patch("/settings", json={"colour": 3}).status_code == 400
        assert api.create(title="long").status_code == 422
        assert [each["status"] for each in control.get("/requests").json()] == [401, 422]
        assert control.delete("/requests").status_code == 204
        assert conferencing.requests == []
        assert control.post("/forget", json={"id": "x"}).status_code == 204
        assert control.post("/forget", json={"id": "x"}).status_code == 404
        control.post("/faults", json={"status": 500})
        assert api.call("GET", "/conferences/x").status_code == 500
