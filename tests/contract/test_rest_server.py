"""What any server of the `rest` contract keeps: the skeleton in examples/, or a company's own.

    make contract BASE_URL=https://meet.example.com/api TOKEN=…

Makes some dozens of conferences named "Contract test" in the system, and deletes them again. Each
request and answer is held against docs/rest-conferencing.openapi.yaml as well.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from urllib.parse import quote

import flask
import httpx
import pytest
from openapi_core.exceptions import OpenAPIError

from examples.rest_server import create_app
from sandbox.servers import HttpServer
from tests.support.rest_contract import check_answer, check_request

Json = dict[str, Any]

TOKEN = "token-of-the-skeleton"
GONE = (404, 410)
NO_OCCURRENCES = (404, 405, 501)

CONFERENCE: Json = {
    "title": "Contract test",
    "description": "Made by a test, and deleted again.",
    "start": "2036-05-05T10:00:00+02:00",
    "end": "2036-05-05T11:00:00+02:00",
    "time_zone": "Europe/Berlin",
    "all_day": False,
    "recurrence": [],
    "organizer": "ada@example.com",
    "attendees": ["grace@example.com"],
    "event": {"calendar_id": "ada@example.com", "event_id": "e1", "ical_uid": "e1@google.com"},
}
WEEKLY: Json = {**CONFERENCE, "recurrence": ["RRULE:FREQ=WEEKLY;BYDAY=MO"]}


class Api(httpx.Client):
    """A client of the contract, which checks what it sends and what it gets."""

    def __init__(self, base_url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        secure = base_url.startswith("https:")
        super().__init__(base_url=base_url, headers=headers, timeout=30, verify=secure)
        self.made: list[str] = []

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        honest: bool = True,
        **headers: str,
    ) -> httpx.Response:
        """Send one request. `honest=False`: one that the contract forbids."""
        if key is not None:
            headers["Idempotency-Key"] = key
        request = self.build_request(method, path.lstrip("/"), json=body, headers=headers)
        if honest:
            check_request(request, f"/api{path}")
        response = self.send(request)
        check_answer(response, f"/api{path}")
        return response

    def create(self, key: str | None = None, **changes: Any) -> Json:
        """Make a conference, and return the answer."""
        key = key or uuid.uuid4().hex
        response = self.call("POST", "/conferences", {**CONFERENCE, **changes}, key=key)
        assert response.status_code in (200, 201), response.text
        made: Json = response.json()
        self.made.append(made["id"])
        return made

    def tidy(self) -> None:
        """Delete what was made."""
        while self.made:
            self.delete(path_of(self.made.pop()).lstrip("/"))


def path_of(id: str, original_start: str | None = None) -> str:
    path = f"/conferences/{quote(id, safe='')}"
    return path if original_start is None else f"{path}/occurrences/{original_start}"


@pytest.fixture(scope="module")
def address(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Base address and token of the server under test."""
    asked = request.config.getoption("--rest-server", default=None)
    if asked:
        token = os.environ.get("TOKEN", "")
        if problem := problem_with(asked, token):
            # One sentence, and not the same failure fifty times.
            pytest.exit(problem, returncode=1)
        yield asked, token
        return
    with serving(create_app(frozenset({TOKEN}))) as base_url:
        yield base_url, TOKEN


def problem_with(base_url: str, token: str) -> str | None:
    """Return why no test could succeed against this server, None if it answers us."""
    try:
        with Api(base_url, token) as client:
            status = client.get(f"conferences/{uuid.uuid4().hex}").status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return (
            f"{base_url} does not answer ({error}); start the server, and give the address in "
            "front of /conferences as BASE_URL"
        )
    if status in (401, 403):
        return f"{base_url} refuses the token ({status}); give a good one as TOKEN"
    return None


@contextlib.contextmanager
def serving(app: flask.Flask) -> Iterator[str]:
    server = HttpServer(app)
    server.start()
    try:
        yield f"{server.url}/api"
    finally:
        server.stop()


@pytest.fixture(scope="module")
def client(address: tuple[str, str]) -> Iterator[Api]:
    """One client for all tests: making one reads the certificates of all authorities."""
    with Api(*address) as client:
        yield client


@pytest.fixture
def api(client: Api) -> Iterator[Api]:
    yield client
    client.tidy()


def unlike(answered: Json, sent: Json) -> set[str]:
    """Name the members that an answer has, and has otherwise than they were sent.

    Rules may be spelt otherwise, for the client compares their dates.
    """
    compared = [name for name in sent if name not in ("event", "recurrence", "id")]
    return {
        name
        for name in compared
        if answered.get(name) not in (None, "", [])
        and _meant(name, answered[name]) != _meant(name, sent[name])
    }


def _meant(name: str, value: Any) -> object:
    if name == "attendees":
        return {each.lower() for each in value}
    if name in ("start", "end") and len(value) > len("2036-05-05"):
        return datetime.fromisoformat(value)
    return value.lower() if name == "organizer" and value else value


def test_a_conference_lives_its_life(api: Api) -> None:
    """Made, read, replaced, deleted. Then it is gone, in the system's own words."""
    made = api.create()
    path = path_of(made["id"])
    assert unlike(made, CONFERENCE) == set()
    assert [each["type"] for each in made["entry_points"]]
    read = api.call("GET", path).json()
    assert (read["id"], read["entry_points"]) == (made["id"], made["entry_points"])
    assert unlike(read, CONFERENCE) == set()
    moved = {**CONFERENCE, "title": "Contract test, moved", "start": "2036-05-05T09:00:00Z"}
    assert api.call("PUT", path, moved).status_code in (200, 204)
    read = api.call("GET", path).json()
    assert (read["id"], read["entry_points"]) == (made["id"], made["entry_points"])
    assert unlike(read, moved) == set()
    assert api.call("DELETE", path).status_code == 204
    assert api.call("GET", path).status_code in GONE


def test_repeating_a_replacement_or_a_deletion_ends_in_the_same_state(api: Api) -> None:
    """Answers get lost, and the same call is made again."""
    path = path_of(api.create()["id"])
    changed = {**CONFERENCE, "title": "Contract test, again", "id": path.rpartition("/")[2]}
    states = []
    for _ in range(2):
        assert api.call("PUT", path, changed).status_code in (200, 204)
        states.append(api.call("GET", path).json())
    assert states[0] == states[1]
    assert api.call("DELETE", path).status_code == 204
    assert api.call("DELETE", path).status_code in (204, *GONE)
    assert api.call("PUT", path, changed).status_code in GONE


def test_a_creation_is_made_once_for_each_key(api: Api) -> None:
    """The repetition is answered with the conference that the key made. Another key makes
    another."""
    key = uuid.uuid4().hex
    made = api.create(key)
    assert api.create(key)["id"] == made["id"]
    assert api.create()["id"] != made["id"]


def test_two_creations_at_once_of_one_key_make_one_conference(api: Api) -> None:
    """One of them may be told to come again, and then gets what the other made."""
    key = uuid.uuid4().hex

    def post() -> httpx.Response:
        return api.call("POST", "/conferences", CONFERENCE, key=key)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: post(), range(4)))
    assert {answer.status_code for answer in answers} <= {200, 201, 409, 429}
    made = {answer.json()["id"] for answer in answers if answer.is_success}
    assert len(made | {api.create(key)["id"]}) == 1


def test_a_key_whose_conference_was_deleted_makes_a_new_one(api: Api) -> None:
    """A conference is made anew with the key of its event."""
    key = uuid.uuid4().hex
    first = api.create(key)["id"]
    assert api.call("DELETE", path_of(first)).status_code == 204
    second = api.create(key)["id"]
    assert second != first
    assert api.call("GET", path_of(second)).status_code == 200


def test_a_key_of_another_event_is_refused(api: Api) -> None:
    """422: nobody is given the conference of somebody else's event."""
    key = uuid.uuid4().hex
    api.create(key)
    other = {**CONFERENCE, "event": {"calendar_id": "ada@example.com", "event_id": "e2"}}
    assert api.call("POST", "/conferences", other, key=key).status_code == 422


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic d3Jvbmc6d3Jvbmc="])
def test_without_the_token_nothing_is_told(api: Api, header: str) -> None:
    """401 to every call, also about conferences that are not there."""
    path = path_of(api.create()["id"])
    for method, url, body in (
        ("POST", "/conferences", CONFERENCE),
        ("GET", path, None),
        ("PUT", path, CONFERENCE),
        ("DELETE", path, None),
        ("GET", path_of("contract-test-none"), None),
    ):
        key = uuid.uuid4().hex if method == "POST" else None
        answer = api.call(method, url, body, key=key, honest=False, Authorization=header)
        assert answer.status_code == 401, (method, url)
    assert api.call("GET", path).status_code == 200


@pytest.mark.parametrize("id", ["contract-test-none", "none@example.com", "a b", "ä", "a%2Fb"])
def test_a_conference_that_is_not_there_is_told_in_the_systems_own_words(api: Api, id: str) -> None:
    """404 or 410 with `error`: a proxy's page would not make a conference look deleted."""
    for method, body in (("GET", None), ("PUT", CONFERENCE), ("DELETE", None)):
        answer = api.call(method, path_of(id), body)
        assert answer.status_code in (GONE if method != "DELETE" else (204, *GONE))


def test_what_a_request_leaves_out_is_empty_and_what_is_unknown_is_ignored(api: Api) -> None:
    """A replacement carries the whole, and the contract may grow."""
    path = path_of(api.create(**WEEKLY)["id"])
    needed = {name: CONFERENCE[name] for name in ("title", "start", "end", "all_day", "event")}
    assert api.call("PUT", path, {**needed, "later_version": {"a": 1}}).status_code in (200, 204)
    read = api.call("GET", path).json()
    for name in ("description", "recurrence", "attendees"):
        assert not read.get(name), name


ODD: dict[str, Json] = {
    "no title": {"title": ""},
    "every script": {"title": "会議 🎉 \u202e\u05e9\u05dc\u05d5\u05dd"},
    "markup": {"description": '<b>bold</b> & "quoted"\n\ttab'},
    "no description": {"description": None},
    "no end": {"end": CONFERENCE["start"]},
    "no zone": {"time_zone": None, "start": "2036-05-05T08:00:00Z", "end": "2036-05-05T09:00:00Z"},
    "years long": {"end": "2038-05-05T11:00:00+02:00"},
    "past": {"start": "2020-05-04T10:00:00+02:00", "end": "2020-05-04T11:00:00+02:00"},
    "nobody": {"organizer": None, "attendees": []},
    "two thousand guests": {"attendees": [f"guest{number}@example.com" for number in range(2000)]},
    "no iCalendar id": {"event": {"calendar_id": "c", "event_id": "e", "ical_uid": None}},
}
ALL_DAY: Json = {"start": "2036-05-05", "end": "2036-05-07", "time_zone": None, "all_day": True}
SERIES: dict[str, Json] = {
    "weekly": {"recurrence": ["RRULE:FREQ=WEEKLY;BYDAY=MO"]},
    "counted": {"recurrence": ["RRULE:FREQ=MONTHLY;BYDAY=1MO,-1FR;COUNT=12"]},
    "until, with dates out": {
        "recurrence": [
            "RRULE:FREQ=DAILY;INTERVAL=2;UNTIL=20360801T080000Z",
            "EXDATE;TZID=Europe/Berlin:20360507T100000",
        ]
    },
    "dates alone": {"recurrence": ["RDATE;TZID=Europe/Berlin:20360512T100000,20360601T100000"]},
    "all day": {**ALL_DAY, "recurrence": ["RRULE:FREQ=YEARLY"]},
}


@pytest.mark.parametrize(
    "changes", [*ODD.values(), ALL_DAY, *SERIES.values()], ids=[*ODD, "all day", *SERIES]
)
def test_whatever_an_event_holds_is_taken_or_refused_in_words(api: Api, changes: Json) -> None:
    """As a new conference and as a replacement. 422 says what the system cannot hold, and never
    changes what is there."""
    wanted = {**CONFERENCE, **changes}
    path = path_of(api.create(event=wanted["event"])["id"])
    before = api.call("GET", path).json()
    answer = api.call("PUT", path, wanted)
    after = api.call("GET", path).json()
    if answer.status_code == 422:
        assert answer.json()["error"]["message"]
        assert after == before
    else:
        assert answer.status_code in (200, 204), answer.text
        assert unlike(after, wanted) == set()
    answer = api.call("POST", "/conferences", wanted, key=uuid.uuid4().hex)
    assert answer.status_code in (200, 201, 422), answer.text
    if answer.is_success:
        api.made.append(answer.json()["id"])


def test_a_very_long_title_is_shortened_or_refused(api: Api) -> None:
    """Never a crash."""
    path = path_of(api.create()["id"])
    answer = api.call("PUT", path, {**CONFERENCE, "title": "x" * 5000})
    assert answer.status_code in (200, 204, 422)


@pytest.mark.parametrize(
    "changes",
    [
        {"start": None},
        {"start": "tomorrow"},
        {"start": "2036-05-05T10:00:00"},
        {"start": "2036-05-05"},
        {"end": 7},
        {"title": None},
        {"event": None},
    ],
    ids=str,
)
def test_a_request_against_the_contract_is_refused(api: Api, changes: Json) -> None:
    """400 or 422, and nothing is changed."""
    path = path_of(api.create()["id"])
    before = api.call("GET", path).json()
    answer = api.call("PUT", path, {**CONFERENCE, **changes}, honest=False)
    assert answer.status_code in (400, 422)
    assert api.call("GET", path).json() == before


def test_a_body_that_is_no_object_is_refused(api: Api) -> None:
    """400 or 422, and no crash."""
    path = path_of(api.create()["id"])
    odd: list[Any] = [[], "text", 7]
    for body in odd:
        assert api.call("PUT", path, body, honest=False).status_code in (400, 422)


def test_an_organizer_that_answers_name_is_the_one_that_was_sent(api: Api) -> None:
    """By it, and by nothing else, a stranger's event is kept from a conference."""
    made = api.create()
    if not made.get("organizer"):
        pytest.skip("answers name no organizer: conference data is believed, a mere link is not")
    path = path_of(made["id"])
    assert api.call("PUT", path, {**CONFERENCE, "title": "Contract test, 2"}).is_success
    assert api.call("GET", path).json()["organizer"].lower() == CONFERENCE["organizer"]


def test_single_occurrences_are_moved_and_cancelled_or_not_known(api: Api) -> None:
    """Either the system has none and says so, or they change without the series."""
    made = api.create(**WEEKLY)
    series = api.call("GET", path_of(made["id"])).json()
    path = path_of(made["id"], "2036-05-12T08:00:00Z")
    moved = {
        **{name: CONFERENCE[name] for name in ("title", "description", "time_zone", "all_day")},
        "start": "2036-05-13T10:00:00+02:00",
        "end": "2036-05-13T11:00:00+02:00",
    }
    answer = api.call("PUT", path, moved)
    if answer.status_code in NO_OCCURRENCES:
        assert answer.json()["error"]["message"]
        assert api.call("DELETE", path).status_code in NO_OCCURRENCES
        pytest.skip("this system has no single occurrences, and they are left alone")
    again = {**moved, "start": "2036-05-14T10:00:00+02:00", "end": "2036-05-14T11:00:00+02:00"}
    for body in (again, again):
        assert api.call("PUT", path, body).status_code in (200, 204)
    other = path_of(made["id"], "2036-05-19T08:00:00Z")
    for _ in range(2):
        assert api.call("DELETE", other).status_code in (204, *GONE)
    # Restored: a cancelled occurrence is told as it shall be.
    assert api.call("PUT", other, {**moved, "start": "2036-05-19T10:00:00+02:00"}).is_success
    assert api.call("GET", path_of(made["id"])).json() == series
    nowhere = path_of("contract-test-none", "2036-05-12T08:00:00Z")
    assert api.call("PUT", nowhere, moved).status_code in GONE


# The control: the suite notices a server that breaks the contract.


def _forgets_keys(app: flask.Flask) -> None:
    app.before_request_funcs[None].append(
        lambda: flask.request.environ.update(HTTP_IDEMPOTENCY_KEY=uuid.uuid4().hex)
    )


def _lets_everybody_in(app: flask.Flask) -> None:
    app.before_request_funcs[None].clear()


def _answering(change: Callable[[flask.Response], None]) -> Callable[[flask.Flask], None]:
    def broken(app: flask.Flask) -> None:
        @app.after_request
        def changed(response: flask.Response) -> flask.Response:
            change(response)
            return response

    return broken


def _with_pages(response: flask.Response) -> None:
    if response.status_code == 404:
        response.set_data(b"<html>not found</html>")
        response.content_type = "text/html"


def _with_another_way_in(response: flask.Response) -> None:
    if flask.request.method == "GET" and response.status_code == 200:
        point = {"type": "video", "uri": f"https://meet.example.com/{uuid.uuid4().hex}"}
        response.set_data(flask.json.dumps({**response.get_json(), "entry_points": [point]}))


def _without_ways_in(response: flask.Response) -> None:
    if response.status_code == 201:
        response.set_data(flask.json.dumps({"id": response.get_json()["id"]}))


BROKEN: list[tuple[Callable[[flask.Flask], None], Callable[[Api], None]]] = [
    (_forgets_keys, test_a_creation_is_made_once_for_each_key),
    (_forgets_keys, test_a_key_of_another_event_is_refused),
    (_lets_everybody_in, lambda api: test_without_the_token_nothing_is_told(api, "Bearer wrong")),
    (
        _answering(_with_pages),
        lambda api: test_a_conference_that_is_not_there_is_told_in_the_systems_own_words(api, "x"),
    ),
    (_answering(_with_another_way_in), test_a_conference_lives_its_life),
    (_answering(_without_ways_in), test_a_conference_lives_its_life),
]


@pytest.mark.parametrize(("break_it", "promise"), BROKEN, ids=range(len(BROKEN)))
def test_a_server_that_breaks_the_contract_is_noticed(
    break_it: Callable[[flask.Flask], None], promise: Callable[[Api], None]
) -> None:
    """Keys forgotten, anybody let in, pages for errors, ways in that change or are missing."""
    app = create_app(frozenset({TOKEN}))
    break_it(app)
    with (
        serving(app) as base_url,
        Api(base_url, TOKEN) as api,
        pytest.raises((AssertionError, OpenAPIError)),
    ):
        promise(api)
