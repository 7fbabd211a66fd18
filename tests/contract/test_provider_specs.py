"""The published descriptions of the providers' APIs, held against what our adapters send and our
stand-ins answer.

The descriptions are not part of this project: they lie beside it, in `../shared/specs` or where
PROVIDER_SPECS says, where they can be had. Elsewhere these checks are skipped. Where CI runs they
are required, unless PROVIDER_SPECS is empty.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from openapi_core.exceptions import OpenAPIError

from sandbox.oauth_service import Exchange
from tests.support.specs import Document, document, needs_specs

# Each description is proved to bite.


def an_exchange(method: str, path: str, body: Any = None, **changes: Any) -> Exchange:
    sent = {
        "Authorization": "Bearer token",
        **({"Content-Type": "application/json"} if body is not None else {}),
    }
    exchange = Exchange(
        method=method, path=path, query={}, headers=sent, body=body, at=datetime.now(UTC)
    )
    return replace(exchange, **changes)


ZOOM_MEETING = {
    "topic": "Weekly",
    "type": 8,
    "start_time": "2026-05-04T10:00:00",
    "timezone": "Europe/Berlin",
    "duration": 60,
    "recurrence": {"type": 2, "repeat_interval": 1, "weekly_days": "2,4", "end_times": 50},
}
WEBEX_MEETING = {
    "title": "Weekly",
    "start": "2026-05-04T10:00:00+02:00",
    "end": "2026-05-04T11:00:00+02:00",
}
TEAMS_MEETING = {
    "subject": "Weekly",
    "startDateTime": "2026-05-04T08:00:00Z",
    "endDateTime": "2026-05-04T09:00:00Z",
}


@needs_specs
@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "zoom",
            an_exchange("POST", "/users/a@b/meetings", ZOOM_MEETING),
            {**ZOOM_MEETING, "type": 7},
        ),
        (
            "zoom",
            an_exchange("POST", "/users/a@b/meetings", ZOOM_MEETING),
            {**ZOOM_MEETING, "recurrence": {}},
        ),
        (
            "zoom",
            an_exchange("PATCH", "/meetings/1", ZOOM_MEETING),
            {**ZOOM_MEETING, "agenda": "x" * 2001},
        ),
        (
            "zoom",
            an_exchange("PATCH", "/meetings/1", ZOOM_MEETING),
            {**ZOOM_MEETING, "start_time": "tomorrow"},
        ),
        ("webex", an_exchange("POST", "/meetings", WEBEX_MEETING), {"title": "without times"}),
        (
            "webex",
            an_exchange("POST", "/meetings", WEBEX_MEETING),
            {**WEBEX_MEETING, "sendEmail": "no"},
        ),
        ("teams", an_exchange("POST", "/users/1/onlineMeetings", TEAMS_MEETING), {"subject": 5}),
        (
            "teams",
            an_exchange("PATCH", "/users/1/onlineMeetings/2", TEAMS_MEETING),
            {"startDateTime": "tomorrow"},
        ),
        (
            "teams",
            an_exchange(
                "POST", "/users/1/onlineMeetings/createOrGet", {**TEAMS_MEETING, "externalId": "k"}
            ),
            TEAMS_MEETING,
        ),
    ],
)
def test_a_description_refuses_a_wrong_request(name: str, good: Exchange, bad: Any) -> None:
    """The same request passes and, spoilt in one place, does not."""
    described = document(name)
    assert described is not None
    described.check_request(good, "")
    with pytest.raises(OpenAPIError):
        described.check_request(replace(good, body=bad), "")


@needs_specs
@pytest.mark.parametrize("name", ["zoom", "webex", "teams"])
def test_a_description_refuses_an_unknown_path(name: str) -> None:
    """What no description names is not sent."""
    described = document(name)
    assert described is not None
    with pytest.raises(OpenAPIError):
        described.check_request(an_exchange("GET", "/somewhere/else"), "")


@needs_specs
@pytest.mark.parametrize(
    ("name", "path", "good", "bad"),
    [
        ("zoom", "/meetings/1", {"id": 81234567890, "topic": "x"}, {"id": "eight", "topic": "x"}),
        (
            "teams",
            "/users/1/onlineMeetings/2",
            {"id": "a"},
            {"id": "a", "startDateTime": "tomorrow"},
        ),
        ("webex", "/meetings/1", None, {"id": "a"}),
    ],
)
def test_a_description_refuses_a_wrong_answer(name: str, path: str, good: Any, bad: Any) -> None:
    """A stand-in that answered so would be found out."""
    described = document(name)
    assert described is not None

    def answered(body: Any) -> Exchange:
        mimetype = "application/json;charset=UTF-8" if name == "webex" else "application/json"
        headers = {"Content-Type": mimetype}
        return an_exchange(
            "GET", path, status=200, answer=json.dumps(body).encode(), answer_headers=headers
        )

    if good is not None:
        described.check_answer(answered(good), "")
    with pytest.raises(OpenAPIError):
        described.check_answer(answered(bad), "")


@needs_specs
@pytest.mark.parametrize(
    "bad",
    [{"type": 7}, {"start_time": 5}, {"duration": "an hour"}, {"recurrence": {"type": "weekly"}}],
    ids=str,
)
def test_zooms_own_older_description_takes_single_meetings(bad: dict[str, Any]) -> None:
    """The description that Zoom published in 2018 agrees, but for lists of weekdays, which it
    does not know."""
    document_2018 = Document("zoom-meetings-2018.swagger2.json", "https://api.zoom.us/v2")
    single = {**ZOOM_MEETING, "type": 2, "start_time": "2026-05-04T08:00:00Z"}
    del single["recurrence"]
    document_2018.check_request(an_exchange("PATCH", "/meetings/1", single), "")
    with pytest.raises(OpenAPIError):
        document_2018.check_request(an_exchange("PATCH", "/meetings/1", {**single, **bad}), "")
