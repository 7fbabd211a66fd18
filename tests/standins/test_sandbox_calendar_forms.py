"""The Calendar stand-in's event form: a person picks a conference solution, an add-on is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import flask
import httpx
import pytest

from sandbox.addon_bridge import AddonBridge
from sandbox.google_calendar import ApiError, GoogleCalendar
from sandbox.google_calendar.event_form import USER_HEADER
from sandbox.servers import HttpServer
from tests.support.sandbox_api import ask

ANNA, BOB = "anna@example.com", "bob@example.com"
SOLUTION = "My Web Conference"
DRAFT = {
    "summary": "Planning",
    "start": {"dateTime": "2030-05-02T12:00:00Z"},
    "end": {"dateTime": "2030-05-02T13:00:00Z"},
}
CONFERENCE: dict[str, Any] = {
    "conferenceId": "abc",
    "entryPoints": [{"entryPointType": "video", "uri": "https://meet.example.com/abc"}],
    "notes": "Bring cake",
    "parameters": {"addOnParameters": {"parameters": {"meeting": "abc"}}},
}
# The answer of `create_conference` that means the same.
CREATED = {
    "conference_id": "abc",
    "solution": SOLUTION,
    "entry_points": [{"type": "video", "uri": "https://meet.example.com/abc", "label": None}],
    "notes": "Bring cake",
    "parameters": {"meeting": "abc"},
}


class AddOn:
    """An add-on whose answer the test chooses, and that looks the event up first."""

    def __init__(self, calendar: GoogleCalendar) -> None:
        self.answer: Any = CONFERENCE
        self.asked: list[tuple[Any, str]] = []
        self.found: list[int] = []
        self._calendar = calendar

    def __call__(self, argument: Any, user: str) -> Any:
        self.asked.append((argument, user))
        told = argument["eventData"]
        url = f"http://{self._calendar.host}/calendar/v3/calendars/{told['calendarId']}/events/"
        self.found.append(ask("GET", url + told["eventId"]).status_code)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def calendar() -> Iterator[GoogleCalendar]:
    with GoogleCalendar(now=lambda: datetime(2030, 5, 1, tzinfo=UTC)) as running:
        running.add_calendar(ANNA)
        running.add_calendar(BOB)
        yield running


@pytest.fixture
def addon(calendar: GoogleCalendar) -> AddOn:
    offered = AddOn(calendar)
    calendar.offer_solution(SOLUTION, offered, icon_uri="https://meet.example.com/logo.png")
    return offered


def test_pick_and_save(calendar: GoogleCalendar, addon: AddOn) -> None:
    """The add-on is asked before the event exists. Once saved, the event shows its conference."""
    form = calendar.open_form(ANNA, DRAFT)
    picked = calendar.pick_solution(form["form_id"], SOLUTION)
    assert picked["error"] is None
    asked = {"eventData": {"calendarId": ANNA, "eventId": form["event_id"]}}
    assert (addon.asked, addon.found) == ([(asked, ANNA)], [404])
    assert calendar.events(ANNA) == []
    event = calendar.save_form(form["form_id"])
    assert event["id"] == form["event_id"]
    assert event == calendar.get(ANNA, event["id"])
    shown = event["conferenceData"]
    assert {name: shown[name] for name in CONFERENCE} == CONFERENCE
    assert shown["conferenceSolution"] == {
        "key": {"type": "addOn"},
        "name": SOLUTION,
        "iconUri": "https://meet.example.com/logo.png",
    }
    assert shown["signature"]
    with pytest.raises(ApiError):
        calendar.save_form(form["form_id"])


def test_pick_and_close(calendar: GoogleCalendar, addon: AddOn) -> None:
    """Closing the form drops the draft with its conference, and the add-on is not told."""
    form = calendar.open_form(ANNA, DRAFT)
    calendar.pick_solution(form["form_id"], SOLUTION)
    calendar.close_form(form["form_id"])
    assert calendar.events(ANNA) == []
    assert calendar.get(ANNA, form["event_id"]) is None
    assert calendar.forms() == []
    assert len(addon.asked) == 1


def test_pick_for_an_event_that_exists(calendar: GoogleCalendar, addon: AddOn) -> None:
    """The event is found then, and stays as it is until the form is saved."""
    event = calendar.seed_event(ANNA, DRAFT)
    form = calendar.open_form(ANNA, event_id=event["id"])
    calendar.pick_solution(form["form_id"], SOLUTION, user=BOB)
    assert (addon.asked[0][1], addon.found) == (BOB, [200])
    assert calendar.get(ANNA, event["id"]) == event
    assert calendar.save_form(form["form_id"])["conferenceData"]["conferenceId"] == "abc"
    again = calendar.open_form(ANNA, event_id=event["id"])
    calendar.take_conference_away(again["form_id"])
    assert "conferenceData" not in calendar.save_form(again["form_id"])


def test_guests_see_the_conference(calendar: GoogleCalendar, addon: AddOn) -> None:
    """A saved event reaches the guests' calendars with its conference."""
    form = calendar.open_form(ANNA, DRAFT)
    calendar.fill_in_form(form["form_id"], {"attendees": [{"email": BOB}]})
    calendar.pick_solution(form["form_id"], SOLUTION)
    calendar.save_form(form["form_id"])
    copy = calendar.get(BOB, form["event_id"])
    assert copy is not None
    assert copy["conferenceData"]["conferenceId"] == "abc"
    assert len(addon.asked) == 1


def test_conference_may_be_picked_anew_and_taken_away(
    calendar: GoogleCalendar, addon: AddOn
) -> None:
    """A second pick replaces the first one's answer. A draft may be saved without any."""
    form = calendar.open_form(ANNA, DRAFT)["form_id"]
    calendar.pick_solution(form, SOLUTION)
    addon.answer = CONFERENCE | {"conferenceId": "second"}
    draft = calendar.pick_solution(form, SOLUTION)["draft"]
    assert draft["conferenceData"]["conferenceId"] == "second"
    assert "conferenceData" not in calendar.take_conference_away(form)["draft"]
    assert "conferenceData" not in calendar.save_form(form)


FORBIDDEN = {"error": {"conferenceErrorType": "PERMISSION_DENIED"}}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (FORBIDDEN, "PERMISSION_DENIED"),
        (RuntimeError("broken"), "UNKNOWN"),
        ({}, "UNKNOWN"),
        (None, "UNKNOWN"),
        (CONFERENCE | {"conferenceId": "x" * 513}, "UNKNOWN"),
        (CONFERENCE | {"notes": "x" * 2049}, "UNKNOWN"),
        (CONFERENCE | {"conferenceSolution": {}}, "UNKNOWN"),
        (CONFERENCE | {"entryPoints": CONFERENCE["entryPoints"] * 301}, "UNKNOWN"),
        (CONFERENCE | {"entryPoints": [{"entryPointType": "video", "uri": "tel:+1"}]}, "UNKNOWN"),
        (
            CONFERENCE | {"parameters": {"addOnParameters": {"parameters": {"k": "x" * 1025}}}},
            "UNKNOWN",
        ),
    ],
)
def test_failures_are_shown_in_the_form(
    calendar: GoogleCalendar, addon: AddOn, answer: Any, kind: str
) -> None:
    """An error, an exception, or an answer that Calendar would not take: the draft stays as it
    was."""
    form = calendar.open_form(ANNA, DRAFT)["form_id"]
    addon.answer = answer
    picked = calendar.pick_solution(form, SOLUTION)
    assert picked["error"]["conferenceErrorType"] == kind
    assert picked["draft"] == DRAFT
    addon.answer = CONFERENCE
    assert calendar.pick_solution(form, SOLUTION)["error"] is None
    assert "conferenceData" in calendar.save_form(form)


def test_form_closed_while_the_add_on_works(calendar: GoogleCalendar) -> None:
    """An answer that comes too late finds no form, and nothing is shown anywhere."""
    form = calendar.open_form(ANNA, DRAFT)["form_id"]

    def slow(_argument: Any, _user: str) -> Any:
        calendar.close_form(form)
        return CONFERENCE

    calendar.offer_solution(SOLUTION, slow)
    with pytest.raises(ApiError) as refused:
        calendar.pick_solution(form, SOLUTION)
    assert refused.value.status == 404
    assert calendar.events(ANNA) == []


@pytest.mark.slow
def test_senseless_requests_are_refused(calendar: GoogleCalendar, addon: AddOn) -> None:
    """A solution that nobody offers, an event that is gone, and a draft without a time."""
    form = calendar.open_form(ANNA, {"summary": "No time"})["form_id"]
    calendar.withdraw_solution(SOLUTION)
    with pytest.raises(ApiError, match=SOLUTION):
        calendar.pick_solution(form, SOLUTION)
    with pytest.raises(ApiError, match="notFound"):
        calendar.open_form(ANNA, event_id="nothing")
    with pytest.raises(ApiError, match="Missing start time"):
        calendar.save_form(form)
    calendar.fill_in_form(form, DRAFT)
    assert calendar.save_form(form)["summary"] == "Planning"
    assert addon.asked == []


@pytest.fixture
def function() -> Iterator[Function]:
    running = Function()
    running.server.start()
    yield running
    running.server.stop()


class Function:
    """Answers in the place of the function `create_conference`, and of an add-on's own URL."""

    def __init__(self) -> None:
        self.answer: tuple[Any, int] = (CREATED, 200)
        self.seen: list[tuple[Any, dict[str, str]]] = []
        self.hang = threading.Event()
        self.hang.set()
        app = flask.Flask(__name__)
        app.add_url_rule("/", view_func=self._answer, methods=["POST"])
        self.server = HttpServer(app)

    def _answer(self) -> Any:
        self.seen.append((flask.request.get_json(), dict(flask.request.headers)))
        self.hang.wait(30)
        return self.answer


def test_callback_may_be_an_address(calendar: GoogleCalendar, function: Function) -> None:
    """An add-on at a URL gets the argument as JSON and the person's address in a header."""
    function.answer = (CONFERENCE, 200)
    calendar.offer_solution(SOLUTION, function.server.url)
    form = calendar.open_form(ANNA, DRAFT)
    calendar.pick_solution(form["form_id"], SOLUTION, user=BOB)
    body, headers = function.seen[0]
    assert body == {"eventData": {"calendarId": ANNA, "eventId": form["event_id"]}}
    assert headers[USER_HEADER] == BOB
    assert calendar.save_form(form["form_id"])["conferenceData"]["conferenceId"] == "abc"


def test_add_on_that_is_too_slow(calendar: GoogleCalendar, function: Function) -> None:
    """Calendar waits so long and no longer. The form shows the failure."""
    calendar.settings.addon_timeout_seconds = 0.2
    calendar.offer_solution(SOLUTION, function.server.url)
    function.hang.clear()
    form = calendar.open_form(ANNA, DRAFT)["form_id"]
    assert calendar.pick_solution(form, SOLUTION)["error"]["conferenceErrorType"] == "UNKNOWN"
    function.hang.set()


def test_bridge_asks_the_function_and_shows_its_answer(
    calendar: GoogleCalendar, function: Function
) -> None:
    """The wish carries the user's ID token. The answer becomes conferenceData."""
    bridge = AddonBridge(url=function.server.url, identity_token=lambda user: f"id-of-{user}")
    calendar.offer_solution(SOLUTION, bridge.callback(SOLUTION))
    form = calendar.open_form(ANNA, DRAFT)
    assert calendar.pick_solution(form["form_id"], SOLUTION)["error"] is None
    body, headers = function.seen[0]
    assert body == {"calendar_id": ANNA, "event_id": form["event_id"], "solution": SOLUTION}
    assert headers["Authorization"] == f"Bearer id-of-{ANNA}"
    shown = calendar.save_form(form["form_id"])["conferenceData"]
    assert {name: shown[name] for name in CONFERENCE} == CONFERENCE


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (("", 401), "AUTHENTICATION"),
        (({"error": {"type": "PERMISSION_DENIED", "message": "No."}}, 403), "PERMISSION_DENIED"),
        (({"error": {"type": "TEMPORARY", "message": "Later."}}, 503), "TEMPORARY"),
        (({"error": {"type": "PERMANENT", "message": "Never."}}, 422), "PERMANENT"),
        (({"error": {"type": "NEW", "message": "?"}}, 422), "UNKNOWN"),
        (("<html>", 502), "UNKNOWN"),
        (([], 404), "UNKNOWN"),
    ],
)
def test_bridge_turns_refusals_into_errors_of_the_form(
    calendar: GoogleCalendar, function: Function, answer: tuple[Any, int], kind: str
) -> None:
    """Each answer of the function has its kind of error, and the message is passed on."""
    function.answer = answer
    bridge = AddonBridge(url=function.server.url, identity_token=lambda _user: "token")
    calendar.offer_solution(SOLUTION, bridge.callback(SOLUTION))
    form = calendar.open_form(ANNA, DRAFT)["form_id"]
    error = calendar.pick_solution(form, SOLUTION)["error"]
    assert error["conferenceErrorType"] == kind
    if isinstance(answer[0], dict) and kind != "UNKNOWN":
        assert error["message"] == answer[0]["error"]["message"]
    if kind == "AUTHENTICATION":
        assert error["authenticationUrl"].startswith("https://")


def test_bridge_without_a_function(calendar: GoogleCalendar, function: Function) -> None:
    """A function that cannot be reached is a failure that may pass."""
    bridge = AddonBridge(url=function.server.url, identity_token=lambda _user: "token")
    function.server.stop()
    calendar.offer_solution(SOLUTION, bridge.callback(SOLUTION))
    form = calendar.open_form(ANNA, DRAFT)["form_id"]
    assert calendar.pick_solution(form, SOLUTION)["error"]["conferenceErrorType"] == "TEMPORARY"


def test_bridge_starts_a_calendar(function: Function) -> None:
    """Without an event, the wish is the calendar alone (A8)."""
    bridge = AddonBridge(url=function.server.url, identity_token=lambda _user: "token")
    function.answer = ({"calendar_id": ANNA, "status": "ok", "reason": None}, 200)
    assert bridge.start_calendar(ANNA, ANNA).json()["status"] == "ok"
    assert function.seen[0][0] == {"calendar_id": ANNA}


def test_forms_over_http(door: httpx.Client, function: Function) -> None:
    """Everything a person does in the form can be done by the back door's HTTP API."""
    function.answer = (CONFERENCE, 200)
    offer = {"name": SOLUTION, "callback": function.server.url, "icon_uri": None}
    assert door.post("/solutions", json=offer).status_code == 204
    assert door.get("/solutions").json() == [offer]
    opened = door.post(f"/calendars/{ANNA}/forms", json={"draft": DRAFT})
    assert opened.status_code == 201
    form = f"/forms/{opened.json()['form_id']}"
    door.patch(form, json={"summary": "Renamed"})
    picked = door.post(f"{form}/pick", json={"solution": SOLUTION, "user": BOB}).json()
    assert picked["draft"]["conferenceData"]["conferenceId"] == "abc"
    assert door.get("/forms").json() == [picked]
    assert "conferenceData" not in door.delete(f"{form}/conference").json()["draft"]
    door.post(f"{form}/pick", json={"solution": SOLUTION})
    event = door.post(f"{form}/save").json()
    assert (event["summary"], event["id"]) == ("Renamed", opened.json()["event_id"])
    assert door.post(f"{form}/save").status_code == 404
    again = door.post(f"/calendars/{ANNA}/forms", json={"event_id": event["id"]}).json()
    assert door.delete(f"/forms/{again['form_id']}").status_code == 204
    assert door.get("/forms").json() == []
    assert door.delete(f"/solutions/{SOLUTION}").status_code == 204
    assert door.get("/solutions").json() == []
