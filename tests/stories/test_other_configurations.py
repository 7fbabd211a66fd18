"""The configuration changes between two runs, and the events stay as they are (E3, C5, O1)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from sync.errors import SyncError
from sync.model.conference import FailureState
from sync.model.event import CalendarId, EventId
from sync.operate import explain
from tests.support.bench import Bench, BenchMaker
from tests.support.series import occurrence, weekly

Json = dict[str, Any]

OTHER = {"solutions": ["Other"], "uris": ["https://other.example.com/{id}"]}
NEW_PATTERN = {"uris": ["https://new.example.com/{id}"]}

# What SYNC_PROVIDERS holds after the entry that followed the conference was changed.
DEPLOYED: dict[str, Callable[[Json], list[Json]]] = {
    "E3-another-pattern": lambda entry: [{**entry, **NEW_PATTERN}],
    "E3-another-solution": lambda entry: [{**entry, "solutions": ["Renamed"]}],
    "E3-another-pattern-and-solution": lambda entry: [
        {**entry, **NEW_PATTERN, "solutions": ["Renamed"]}
    ],
    "E3-a-second-entry-before-it": lambda entry: [{**entry, "name": "second"}, entry],
    "E3-its-solution-given-to-a-second-entry": lambda entry: [
        {**entry, "name": "second"},
        {**entry, "solutions": ["Old"]},
    ],
    "E3-another-name": lambda entry: [{**entry, "name": "renamed"}],
    "E3-its-hosts-taken-out": lambda entry: [
        {name: value for name, value in entry.items() if name != "hosts"}
    ],
}


def shows(bench: Bench, calendar_id: CalendarId, evidence: str) -> tuple[EventId, str]:
    """An event that shows a conference of its owner's by this evidence, and is followed."""
    conference, conference_id = bench.hosted(calendar_id)
    if evidence == "data":
        event_id = bench.event(calendar_id, conference)
    else:
        location = f"Room 7, https://meet.example.com/{conference_id}"
        event_id = bench.event(calendar_id, location=location)
    bench.sync(calendar_id)
    link = bench.link(calendar_id, event_id)
    assert link is not None
    assert link.leading
    return event_id, conference_id


@pytest.mark.parametrize("deployed", list(DEPLOYED.values()), ids=list(DEPLOYED))
@pytest.mark.parametrize("evidence", ["data", "location"])
@pytest.mark.parametrize(
    "store", ["sqlite", pytest.param("firestore", marks=[pytest.mark.firestore])]
)
def test_e3_no_conference_is_removed_by_a_change_of_the_configuration(
    make_bench: BenchMaker, store: str, evidence: str, deployed: Callable[[Json], list[Json]]
) -> None:
    """The very words that showed the conference stand in the event, so nobody took it away. It
    goes on following the event, under the entry's new name too, and goes with the event."""
    bench = make_bench(store=store)
    anna = bench.watch()
    event_id, conference_id = shows(bench, anna, evidence)
    bench.deploy(*deployed(bench.entries[0]))
    for title in ("Once", "Twice"):
        bench.calendar.edit(anna, event_id, {"summary": title})
        bench.sync(anna)
        bench.pass_grace()
        assert bench.conferencing.conferences[conference_id]["title"] == title
    bench.calendar.expire_sync_tokens(anna)
    bench.sync(anna)
    bench.pass_grace()
    assert bench.conferencing.created == 0
    assert bench.failures(anna) == []
    bench.calendar.cancel(anna, event_id)
    bench.sync(anna)
    bench.pass_grace()
    assert conference_id not in bench.conferencing.conferences


@pytest.mark.parametrize("deployed", list(DEPLOYED.values()), ids=list(DEPLOYED))
def test_e3_what_a_person_takes_away_afterwards_is_deleted(
    bench: Bench, deployed: Callable[[Json], list[Json]]
) -> None:
    """The words do not stand in the event any more: the grace begins as ever."""
    anna = bench.watch()
    event_id, conference_id = shows(bench, anna, "location")
    bench.deploy(*deployed(bench.entries[0]))
    bench.calendar.edit(anna, event_id, {"summary": "Once"})
    bench.sync(anna)
    bench.calendar.edit(anna, event_id, {"location": "Room 7"})
    bench.sync(anna)
    bench.pass_grace()
    assert conference_id not in bench.conferencing.conferences


def test_e3_another_conference_takes_its_place_whatever_is_configured(bench: Bench) -> None:
    """The old link stands in the location under a pattern that is gone, and conference data of
    another conference came: that one is followed, and the old one goes."""
    anna = bench.watch()
    event_id, conference_id = shows(bench, anna, "location")
    bench.deploy({**bench.entries[0], **NEW_PATTERN})
    own, own_id = bench.conference(organizer=anna)
    bench.calendar.edit(anna, event_id, {"conferenceData": own, "summary": "Hers"})
    bench.sync(anna)
    bench.pass_grace()
    assert bench.conferencing.conferences[own_id]["title"] == "Hers"
    assert conference_id not in bench.conferencing.conferences


def test_e3_a_conference_waits_for_its_entry(any_bench: Bench) -> None:
    """Its entry was taken out, and is put back later: nothing is deleted, no failure is listed, and
    the event says why. Then its present state is sent."""
    bench = any_bench
    anna = bench.watch()
    event_id, conference_id = shows(bench, anna, "data")
    [entry] = bench.entries
    bench.deploy({**entry, **OTHER, "name": "other"})
    bench.calendar.edit(anna, event_id, {"summary": "Meanwhile"})
    bench.sync(anna)
    bench.pass_grace()
    assert bench.failures(anna) == []
    said = explain.explain(bench.services, anna, event_id)
    assert said["follows"] is True
    assert "my-web" in said["reason"]
    bench.deploy(entry)
    bench.calendar.edit(anna, event_id, {"description": "Agenda"})
    bench.sync(anna)
    assert bench.conferencing.conferences[conference_id]["title"] == "Meanwhile"


def test_e3_e5_an_occurrence_that_comes_before_its_series_finds_the_new_name(bench: Bench) -> None:
    """Only an occurrence is changed after its series' entry was renamed: it is told as one of the
    series, and is no event by itself."""
    anna = bench.watch()
    series, conference_id = weekly(bench, anna)
    bench.deploy({**bench.entries[0], "name": "renamed"})
    occurrence_id, original_start = occurrence(bench, anna, series, 2)
    bench.calendar.edit(anna, occurrence_id, {"summary": "Special"})
    bench.sync(anna)
    bench.pass_grace()
    told = bench.conferencing.conferences[conference_id]["occurrences"]
    assert told[original_start]["title"] == "Special"
    assert bench.failures(anna) == []


@pytest.mark.parametrize("trouble", ["its-entry-is-gone", "it-is-refused"])
def test_c5_a_deletion_that_fails_holds_up_nothing_else_of_its_event(
    bench: Bench, trouble: str
) -> None:
    """The conference that the event carried before cannot be deleted. That is parked, and the one
    that it carries now follows each change."""
    anna = bench.watch()
    [entry] = bench.entries
    second = {**entry, **OTHER, "name": "other"}
    bench.deploy(entry, second)
    event_id, old_id = shows(bench, anna, "data")
    own, own_id = bench.conference(organizer=anna)
    own["conferenceSolution"]["name"] = "Other"
    bench.calendar.edit(anna, event_id, {"conferenceData": own})
    bench.sync(anna)
    if trouble == "its-entry-is-gone":
        bench.deploy(second)
    else:
        body = {"error": {"message": "not yours"}}
        bench.conferencing.faults.add(method="DELETE", status=403, body=body, times=None)
    bench.pass_grace()
    for title in ("Once", "Twice"):
        bench.calendar.edit(anna, event_id, {"summary": title})
        bench.sync(anna)
        assert bench.conferencing.conferences[own_id]["title"] == title
    [failure] = bench.failures(anna)
    assert (failure.state, failure.action) == (FailureState.PARKED, "delete")
    assert failure.conference_id == old_id


@pytest.mark.parametrize("evidence", ["data", "location"])
def test_e7_two_entries_of_one_system_know_one_conference(any_bench: Bench, evidence: str) -> None:
    """A second entry of the same system was put before the first, and a copy of the event is made.
    The conference follows the first event, then the copy, and goes with the last of them."""
    bench = any_bench
    anna = bench.watch()
    event_id, conference_id = shows(bench, anna, evidence)
    [entry] = bench.entries
    bench.deploy({**entry, "name": "second"}, entry)
    event = bench.calendar.get(anna, event_id)
    assert event is not None
    copied = {name: event[name] for name in ("location",) if name in event}
    copy_id = bench.event(anna, event.get("conferenceData"), summary="The copy", **copied)
    bench.sync(anna)
    assert bench.conferencing.conferences[conference_id]["title"] == "Planning"
    bench.calendar.cancel(anna, event_id)
    bench.sync(anna)
    bench.pass_grace()
    assert bench.conferencing.conferences[conference_id]["title"] == "The copy"
    bench.calendar.cancel(anna, copy_id)
    bench.sync(anna)
    bench.pass_grace()
    assert conference_id not in bench.conferencing.conferences
    assert bench.failures(anna) == []


def test_o1_e7_another_token_of_the_same_address_opens_another_account(bench: Bench) -> None:
    """Two entries have one address and a secret each, so one id may name two conferences: nothing
    of the first account is told what an event of the second says."""
    anna = bench.watch()
    event_id, _ = shows(bench, anna, "data")
    [entry] = bench.entries
    secret = "projects/sandbox/secrets/second-account"
    bench.secrets.put(secret, {"token": "of-the-second-account"})
    bench.deploy({**entry, **OTHER, "name": "other", "secret": secret}, entry)
    event = bench.calendar.get(anna, event_id)
    assert event is not None
    theirs = event["conferenceData"]
    theirs["conferenceSolution"]["name"] = "Other"
    bench.forget_calls()
    bench.event(anna, theirs, summary="Theirs")
    with suppress(SyncError):
        bench.sync(anna)
    asked = [one for one in bench.conferencing.requests if one.status == 200]
    assert asked == []
