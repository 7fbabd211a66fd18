"""Whose conference is it (O1-O4): what a provider's answer proves, and what it does not."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sync.errors import Gone, Invalid, LeftAlone, Malformed, NotAllowed, SyncError, TryLater
from sync.event.content import content_of
from sync.event.ownership import is_hosted, judge, owners_of, refusal
from sync.event.recognise import Shown
from sync.model.conference import Evidence, Sight, WayIn
from sync.model.event import ConferenceId, Event, EventTime
from sync.model.provider import ProviderRules
from tests.support.events import (
    ANNA,
    BEN,
    WEB,
    ZOOM,
    Json,
    at,
    by_data,
    by_location,
    item,
    parsed,
    web,
)

MALLORY = "mallory@example.com"
VICTIM = "victim@example.org"
START = datetime(2030, 5, 2, 10, 0, tzinfo=UTC)
WAY_IN = WayIn(conference_id=ConferenceId("c-1"))
STRONG = by_data(web())
WEAK = by_location(web())
BY_PROPERTY = Shown(conference=web(), evidence=Evidence.PROPERTY, strong=True)


def moment(hours: float = 0) -> EventTime:
    return EventTime(moment=START + timedelta(hours=hours))


def sight(*hosts: str, **changes: Any) -> Sight:
    """A single conference that begins when the event of `item` does."""
    known = Sight(way_in=WAY_IN, hosts=frozenset(hosts), starts=moment())
    return replace(known, **changes)


def verdict(body: Json, shown: Shown, seen: Sight, rules: ProviderRules = ZOOM) -> str | None:
    event = parsed(body)
    return judge(event, content_of(event, at()), shown, seen, rules)


SINGLE = item(creator={"email": BEN})
SERIES = item(creator={"email": BEN}, recurrence=["RRULE:FREQ=WEEKLY;COUNT=6"])

# Who hosts the conference, what `hosts` of the entry says, and whether the host is one of ours.
HOSTS: dict[str, tuple[tuple[str, ...], frozenset[str], bool]] = {
    "O2-the-organizer": ((ANNA,), frozenset(), True),
    "O2-the-creator": ((BEN,), frozenset(), True),
    "O2-an-address-of-hosts": (("rooms@example.org",), frozenset({"rooms@example.org"}), True),
    "O2-a-domain-of-hosts": (("rooms@example.org",), frozenset({"*@example.org"}), True),
    "O2-one-of-several": ((MALLORY, ANNA), frozenset(), True),
    "O2-a-stranger": ((MALLORY,), frozenset(), False),
    "O2-a-stranger-beside-hosts": ((MALLORY,), frozenset({BEN, "*@example.org"}), False),
    "O2-a-subdomain-of-a-domain": (("x@sub.example.org",), frozenset({"*@example.org"}), False),
    "O2-a-domain-that-ends-alike": (("x@evilexample.org",), frozenset({"*@example.org"}), False),
    "O2-a-domain-that-begins-alike": (("x@example.org.evil",), frozenset({"*@example.org"}), False),
    "O2-a-domain-after-two-signs": (("x@y@example.org",), frozenset({"*@example.org"}), False),
    "O2-a-domain-between-two-signs": (("x@example.org@evil",), frozenset({"*@example.org"}), False),
    "O2-an-address-that-begins-alike": ((f"{ANNA}.evil",), frozenset(), False),
    "O2-a-name-without-a-domain": (("example.org",), frozenset({"*@example.org"}), False),
    "O2-an-empty-name": (("",), frozenset({"*@example.org"}), False),
    "O2-an-empty-domain": (("x@",), frozenset({"*@"}), False),
    "O2-two-addresses-in-one": ((f"{MALLORY},x@example.org",), frozenset({"*@example.org"}), False),
    "O2-two-addresses-in-a-row": (
        (f"{MALLORY} x@example.org",),
        frozenset({"*@example.org"}),
        False,
    ),
    "O2-two-signs": ((f"{MALLORY}@example.org",), frozenset({"*@example.org"}), False),
    "O2-a-name-beside-the-address": (
        ("Rooms <x@example.org>",),
        frozenset({"*@example.org"}),
        False,
    ),
    "O2-nobody": ((), frozenset({"*@example.org"}), False),
}


@pytest.mark.parametrize(("hosts", "entry", "ours"), list(HOSTS.values()), ids=list(HOSTS))
@pytest.mark.parametrize("trusts", [False, True])
@pytest.mark.parametrize("shown", [STRONG, BY_PROPERTY, WEAK], ids=["data", "property", "location"])
def test_o2_the_host_is_the_event_s(
    hosts: tuple[str, ...], entry: frozenset[str], ours: bool, trusts: bool, shown: Shown
) -> None:
    """The organizer, the creator, or whom `hosts` of the entry names; where a company's own system
    names nobody, strong evidence suffices, and a link never does."""
    rules = replace(ZOOM, hosts=entry, trusts_conference_data=trusts)
    proven = ours or (not hosts and trusts and shown.strong)
    assert (verdict(SINGLE, shown, sight(*hosts), rules) is None) is proven
    hosted = is_hosted(parsed(SINGLE), sight(*hosts), rules)
    assert hosted is (ours or (not hosts and trusts))


def test_o2_an_event_without_people_is_nobody_s() -> None:
    """No organizer's and no creator's address: only `hosts` can prove whose conference it is."""
    body = item(organizer={"self": True})
    assert owners_of(parsed(body)) == ()
    assert verdict(body, STRONG, sight(ANNA)) is not None
    assert verdict(body, STRONG, sight("")) is not None
    assert verdict(body, STRONG, sight(ANNA), replace(ZOOM, hosts=frozenset({ANNA}))) is None


def test_o2_owners_are_the_organizer_and_the_creator_in_lower_case() -> None:
    """Each address once, in this order: a system may be asked as each of them."""
    both = item(organizer={"email": "Anna@EXAMPLE.com", "self": True}, creator={"email": BEN})
    assert owners_of(parsed(both)) == (ANNA, BEN)
    same = item(creator={"email": " ANNA@example.com"})
    assert owners_of(parsed(same)) == (ANNA,)
    assert verdict(both, STRONG, sight(ANNA)) is None


@pytest.mark.parametrize("shown", [STRONG, BY_PROPERTY, WEAK], ids=["data", "property", "location"])
@pytest.mark.parametrize("body", [SINGLE, SERIES], ids=["single", "series"])
@pytest.mark.parametrize(
    "unfit",
    ["a personal room", "a webinar", "an instant meeting", "a meeting without a fixed time"],
)
def test_o2_a_conference_that_cannot_be_scheduled_is_left_alone(
    unfit: str, body: Json, shown: Shown
) -> None:
    """Even the organizer's own: an evergreen link would become a one-off."""
    said = verdict(body, shown, sight(ANNA, unfit=unfit, recurring=body is SERIES))
    assert said == f"it is {unfit}, which is not scheduled by an event"


# The event, the conference, the evidence, and what is said.
SHAPES: dict[str, tuple[Json, bool, Shown, str | None]] = {
    "O2-single-for-single-strong": (SINGLE, False, STRONG, None),
    "O2-single-for-single-weak": (SINGLE, False, WEAK, None),
    "O2-series-for-series-strong": (SERIES, True, STRONG, None),
    "O2-series-for-series-weak": (SERIES, True, WEAK, None),
    "O2-series-for-a-single-event-strong": (SINGLE, True, STRONG, "recurring meeting"),
    "O2-series-for-a-single-event-weak": (SINGLE, True, WEAK, "recurring meeting"),
    "O2-single-for-a-series-strong": (SERIES, False, STRONG, None),
    "O2-single-for-a-series-by-our-property": (SERIES, False, BY_PROPERTY, None),
    "O2-single-for-a-series-weak": (SERIES, False, WEAK, "single meeting"),
}


@pytest.mark.parametrize(
    ("body", "recurring", "shown", "reason"), list(SHAPES.values()), ids=list(SHAPES)
)
def test_o2_a_series_and_a_single_event_are_not_mixed(
    body: Json, recurring: bool, shown: Shown, reason: str | None
) -> None:
    """A single event never flattens a recurring meeting; a series takes a single meeting only on
    strong evidence."""
    said = verdict(body, shown, sight(ANNA, recurring=recurring))
    assert (reason in said) if reason and said else said == reason


BEGINS: dict[str, tuple[Json, EventTime | None, bool]] = {
    "O2-with-the-event": ({}, moment(), True),
    "O2-with-the-event-in-another-offset": (
        {},
        EventTime(moment=datetime.fromisoformat("2030-05-02T19:00:00+09:00")),
        True,
    ),
    "O2-seconds-do-not-count": ({}, moment(20 / 3600), True),
    "O2-a-minute-earlier": ({}, moment(-1 / 60), False),
    "O2-a-minute-later": ({}, moment(1 / 60), False),
    "O2-a-week-later": ({}, moment(24 * 7), False),
    "O2-the-system-does-not-say": ({}, None, False),
    "O2-a-day-for-a-moment": ({}, EventTime(day=date(2030, 5, 2)), False),
    "O2-with-an-event-of-an-unknown-zone": (
        {"start": {"dateTime": "2030-05-02T12:00:00+02:00", "timeZone": "Mars/Olympus"}},
        moment(),
        True,
    ),
    "O2-all-day-on-its-day": (
        {"start": {"date": "2030-05-02"}, "end": {"date": "2030-05-03"}},
        EventTime(day=date(2030, 5, 2)),
        True,
    ),
    "O2-all-day-on-another-day": (
        {"start": {"date": "2030-05-02"}, "end": {"date": "2030-05-03"}},
        EventTime(day=date(2030, 5, 3)),
        False,
    ),
    "O2-all-day-at-a-moment-of-its-day": (
        {"start": {"date": "2030-05-02"}, "end": {"date": "2030-05-03"}},
        EventTime(moment=datetime(2030, 5, 1, 22, tzinfo=UTC), time_zone="Europe/Berlin"),
        True,
    ),
}


@pytest.mark.parametrize(("changes", "starts", "same"), list(BEGINS.values()), ids=list(BEGINS))
def test_o2_a_link_alone_needs_the_same_start(
    changes: Json, starts: EventTime | None, same: bool
) -> None:
    """Somebody's note with the link of another meeting of the same host is no proof; conference
    data is, for the provider is about to be told the event's time."""
    body = item(**changes)
    assert (verdict(body, WEAK, sight(ANNA, starts=starts)) is None) is same
    assert verdict(body, STRONG, sight(ANNA, starts=starts)) is None


WEEKLY = ["RRULE:FREQ=WEEKLY;COUNT=6", "EXDATE;TZID=Europe/Berlin:20300516T120000"]
DATES: dict[str, tuple[list[str], EventTime | None, bool]] = {
    "O2-on-the-first-date": (WEEKLY, moment(), True),
    "O2-on-the-second-date": (WEEKLY, moment(7 * 24), True),
    "O2-on-the-last-date": (WEEKLY, moment(5 * 7 * 24), True),
    "O2-behind-the-last-date": (WEEKLY, moment(6 * 7 * 24), False),
    "O2-before-the-first-date": (WEEKLY, moment(-7 * 24), False),
    "O2-between-two-dates": (WEEKLY, moment(24), False),
    "O2-at-another-hour": (WEEKLY, moment(7 * 24 + 1), False),
    "O2-on-an-excluded-date": (WEEKLY, moment(14 * 24), False),
    "O2-on-an-excluded-first-date": (
        ["RRULE:FREQ=WEEKLY", "EXDATE:20300502T100000Z"],
        moment(),
        False,
    ),
    "O2-on-an-added-date": (
        [*WEEKLY, "RDATE;TZID=Europe/Berlin:20300503T120000"],
        moment(24),
        True,
    ),
    "O2-on-a-date-behind-a-change-of-clocks": (
        ["RRULE:FREQ=WEEKLY"],
        EventTime(moment=datetime(2030, 11, 7, 11, tzinfo=UTC)),
        True,
    ),
    "O2-at-an-hour-that-clocks-moved-away-from": (
        ["RRULE:FREQ=WEEKLY"],
        EventTime(moment=datetime(2030, 11, 7, 10, tzinfo=UTC)),
        False,
    ),
    "O2-of-a-rule-that-cannot-be-read": (["RRULE:FREQ=SOMETIMES"], moment(), False),
    "O2-of-a-rule-without-a-date": (
        ["RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"],
        moment(),
        False,
    ),
    "O2-of-an-exception-in-an-unknown-zone": (
        ["RRULE:FREQ=WEEKLY", "EXDATE;TZID=Pacific Standard Time:20300509T120000"],
        moment(),
        False,
    ),
    "O2-the-system-does-not-say-when": (WEEKLY, None, False),
}


@pytest.mark.parametrize(("recurrence", "starts", "same"), list(DATES.values()), ids=list(DATES))
def test_o2_a_link_alone_needs_a_date_of_the_series(
    recurrence: list[str], starts: EventTime | None, same: bool
) -> None:
    """The system may tell the series' next date instead of its first one."""
    body = item(recurrence=recurrence)
    assert (verdict(body, WEAK, sight(ANNA, starts=starts, recurring=True)) is None) is same
    assert verdict(body, STRONG, sight(ANNA, starts=starts, recurring=True)) is None


@dataclass(frozen=True)
class Combination:
    strong: bool
    hosts: tuple[str, ...]
    trusts: bool
    series: bool
    recurring: bool
    unfit: str | None
    starts: EventTime | None

    @property
    def proven(self) -> bool:
        """Every condition of O2, each by itself."""
        hosted = ANNA in self.hosts or (not self.hosts and self.trusts and self.strong)
        fits = self.series or not self.recurring
        alike = self.strong or (self.series == self.recurring and self.starts == moment())
        return self.unfit is None and hosted and fits and alike


COMBINATIONS = [
    Combination(*values)
    for values in itertools.product(
        (True, False),
        ((ANNA,), (MALLORY,), ()),
        (True, False),
        (True, False),
        (True, False),
        (None, "a webinar"),
        (moment(), moment(1), None),
    )
]


@pytest.mark.parametrize("one", COMBINATIONS, ids=repr)
def test_o2_all_conditions_together_are_the_proof(one: Combination) -> None:
    """None of them stands in for another; whatever is missing, the reason is said."""
    said = verdict(
        SERIES if one.series else SINGLE,
        STRONG if one.strong else WEAK,
        sight(*one.hosts, recurring=one.recurring, unfit=one.unfit, starts=one.starts),
        replace(ZOOM, trusts_conference_data=one.trusts),
    )
    assert (said is None) is one.proven
    assert said != ""


LINK_ONLY = "the event shows no more than its link"
REASONS: dict[str, tuple[Json, Shown, Sight, ProviderRules, str]] = {
    "O3-host": (
        SINGLE,
        STRONG,
        sight(MALLORY),
        ZOOM,
        "its host is neither the event's organizer nor its creator, and matches none of hosts in "
        "the entry zoom of SYNC_PROVIDERS",
    ),
    "O3-no-host": (SINGLE, STRONG, sight(), ZOOM, "zoom does not say who hosts it"),
    "O3-no-host-and-a-link": (
        SINGLE,
        WEAK,
        sight(),
        WEB,
        "web does not say who hosts it and a link alone proves nothing",
    ),
    "O3-start": (
        SINGLE,
        WEAK,
        sight(ANNA, starts=moment(1)),
        ZOOM,
        f"{LINK_ONLY}, and it does not begin when the event does",
    ),
    "O3-series": (
        SINGLE,
        STRONG,
        sight(ANNA, recurring=True),
        ZOOM,
        "it is a recurring meeting and the event is a single one: it would lose its dates",
    ),
    "O3-single": (
        SERIES,
        WEAK,
        sight(ANNA),
        ZOOM,
        "it is a single meeting and the event a series that shows no more than its link",
    ),
}


@pytest.mark.parametrize(
    ("body", "shown", "seen", "rules", "reason"), list(REASONS.values()), ids=list(REASONS)
)
def test_o3_the_reason_can_be_read(
    body: Json, shown: Shown, seen: Sight, rules: ProviderRules, reason: str
) -> None:
    """It names the setting that could mend it, and nobody's address."""
    assert verdict(body, shown, seen, rules) == reason
    assert "@" not in reason


LEFT_BECAUSE = {
    "O3": "it cannot be read, so nothing proves whose it is: no",
    "O4": "zoom knows no such conference, and nothing is created in place of one that was never "
    "reached",
}
REFUSALS: dict[str, tuple[SyncError, bool, bool, str | None]] = {
    "C4-gone-from-a-system-that-vouches-strong": (Gone("no"), True, True, None),
    "O4-gone-from-a-system-that-vouches-weak": (Gone("no"), True, False, "O4"),
    "O4-gone-strong": (Gone("no"), False, True, "O4"),
    "O4-gone-weak": (Gone("no"), False, False, "O4"),
    "O3-not-shown-to-us-strong": (NotAllowed("no"), False, True, "O3"),
    "O3-not-shown-to-us-weak": (NotAllowed("no"), True, False, "O3"),
    "O3-not-shown-by-a-system-that-vouches": (NotAllowed("no"), True, True, "O3"),
    "O3-not-understood": (Invalid("no"), True, True, "O3"),
    "O3-malformed": (Malformed("no"), False, True, "O3"),
}


@pytest.mark.parametrize(
    ("error", "vouches", "strong", "rule"), list(REFUSALS.values()), ids=list(REFUSALS)
)
def test_o3_o4_what_cannot_be_read_at_first_sight_is_left_alone(
    error: SyncError, vouches: bool, strong: bool, rule: str | None
) -> None:
    """Nothing is created in place of what was never reached, but where the company's own system
    says that its own conference data leads nowhere. The operator reads which of the two it is."""
    left = refusal(error, replace(ZOOM, creates_unseen=vouches), strong=strong)
    assert (left.rule if left else None) == rule
    assert left is None or str(left) == LEFT_BECAUSE[left.rule]


def test_o3_an_outage_is_no_answer() -> None:
    """What may be better later is tried later, and never left alone."""
    with pytest.raises(TryLater):
        refusal(TryLater("down"), ZOOM, strong=True)
    assert isinstance(refusal(NotAllowed("no"), ZOOM, strong=True), LeftAlone)


# Whatever an attacker writes.

_PEOPLE = st.sampled_from(
    [ANNA, BEN, MALLORY, VICTIM, "rooms@example.org", "x@sub.example.org", "example.org", ""]
)
_HOSTS = st.frozensets(
    st.sampled_from([VICTIM, "*@example.org", "*@sub.example.org", "rooms@example.org"]), max_size=2
)
_TIMES = st.sampled_from(
    [
        {"dateTime": "2030-05-02T12:00:00+02:00", "timeZone": "Europe/Berlin"},
        {"dateTime": "2030-05-09T12:00:00+02:00", "timeZone": "Mars/Olympus"},
        {"date": "2030-05-02"},
    ]
)
_BODIES = st.fixed_dictionaries(
    {"start": _TIMES, "end": _TIMES},
    optional={
        "organizer": st.fixed_dictionaries({"self": st.just(True)}, optional={"email": _PEOPLE}),
        "creator": st.fixed_dictionaries({}, optional={"email": _PEOPLE}),
        "recurrence": st.lists(
            st.sampled_from(["RRULE:FREQ=WEEKLY", "RRULE:FREQ=DAILY;COUNT=3", "EXDATE:x", "?"]),
            max_size=2,
        ),
        "attendees": st.just([{"email": VICTIM, "organizer": True, "self": True}]),
    },
)
_SIGHTS = st.builds(
    Sight,
    way_in=st.just(WAY_IN),
    hosts=st.frozensets(_PEOPLE, max_size=2),
    seen_as=st.none() | _PEOPLE,
    unfit=st.none() | st.just("a personal room"),
    recurring=st.booleans(),
    starts=st.none() | st.sampled_from([moment(), moment(24 * 7), EventTime(day=date(2030, 5, 2))]),
    differs=st.just(frozenset({"title"})),
)
_RULES = st.builds(
    lambda hosts, trusts: replace(ZOOM, hosts=hosts, trusts_conference_data=trusts),
    _HOSTS,
    st.booleans(),
)


def _is_ours(host: str, event: Event, rules: ProviderRules) -> bool:
    """Said once more, in other words: an address of the event, of `hosts`, or of its domains."""
    domains = [each.removeprefix("*@") for each in rules.hosts if each.startswith("*@")]
    addresses = {event.organizer, event.creator, *rules.hosts}
    return host in addresses or any(host.endswith(f"@{domain}") for domain in domains)


@given(
    body=_BODIES,
    shown=st.sampled_from([STRONG, BY_PROPERTY, WEAK]),
    seen=_SIGHTS,
    rules=_RULES,
)
def test_o1_whatever_an_event_holds_only_its_own_people_s_conference_is_proven(
    body: Json, shown: Shown, seen: Sight, rules: ProviderRules
) -> None:
    """A conference is the event's if one of its people hosts it, or if the company's own system
    names no host and vouches for strong evidence; and never against its kind."""
    event = parsed(item(**body))
    said = judge(event, content_of(event, at()), shown, seen, rules)
    if said is not None:
        return
    ours = any(_is_ours(host, event, rules) for host in seen.hosts)
    vouched = not seen.hosts and rules.trusts_conference_data and shown.strong
    assert ours or vouched
    assert seen.unfit is None
    assert event.recurrence or not seen.recurring
    assert shown.strong or seen.starts is not None
    assert shown.strong or bool(event.recurrence) == seen.recurring


@given(body=_BODIES, shown=st.sampled_from([STRONG, BY_PROPERTY, WEAK]), seen=_SIGHTS)
def test_o1_a_stranger_s_meeting_is_never_proven(body: Json, shown: Shown, seen: Sight) -> None:
    """Calendar itself writes organizer and creator, so an attacker cannot be the victim there;
    guests, titles, times and rules prove nothing."""
    event = parsed(item(**body))
    assume(VICTIM not in owners_of(event))
    theirs = replace(seen, hosts=frozenset({VICTIM}))
    for rules in (ZOOM, WEB, replace(ZOOM, hosts=frozenset({"*@example.com", MALLORY}))):
        assert judge(event, content_of(event, at()), shown, theirs, rules) is not None
        assert not is_hosted(event, theirs, rules)
