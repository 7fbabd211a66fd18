"""Clients of the Calendar stand-in, for every test module with a fixture `calendar`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httplib2
import httpx
import pytest
from googleapiclient.discovery import build

from sandbox.google_calendar import GoogleCalendar


@pytest.fixture
def http(calendar: GoogleCalendar) -> Iterator[httpx.Client]:
    """The API, by plain HTTP."""
    with client_of(calendar, "calendar/v3") as client:
        yield client


@pytest.fixture
def door(calendar: GoogleCalendar) -> Iterator[httpx.Client]:
    """The back door, by plain HTTP."""
    with client_of(calendar, "_sandbox") as client:
        yield client


@pytest.fixture
def service(calendar: GoogleCalendar) -> Iterator[Any]:
    """The API, by Google's own client."""
    options = {"api_endpoint": f"http://{calendar.host}/calendar/v3/"}
    with build(
        "calendar", "v3", client_options=options, http=httplib2.Http(), static_discovery=True
    ) as client:
        yield client


def client_of(calendar: GoogleCalendar, path: str) -> httpx.Client:
    # Loading the certificates for https would cost more than the test.
    return httpx.Client(base_url=f"http://{calendar.host}/{path}", trust_env=False, verify=False)
