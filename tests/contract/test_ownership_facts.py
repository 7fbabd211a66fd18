"""What each system's answer proves of a conference (O2): whose it is, and of what kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from sync.errors import CredentialsRefused, Gone, NotAllowed, SyncError
from sync.model.conference import Sight
from sync.model.event import ConferenceId
from tests.support.processor import processor_time_below
from tests.support.providers import NAMES, Bench, Json, bench_of, checked, content

HOST, BEN, ANNA = "host@example.com", "ben@example.com", "anna@example.com"
ZOOM_WEEKLY = {"type": 2, "weekly_days": "2", "end_times": 10}


@pytest.fixture(params=NAMES)
def bench(request: pytest.FixtureRequest, systems: dict[str, Any]) -> Iterator[Bench]:
    with checked(bench_of(request.param, systems[request.param])) as bench:
        yield bench


@pytest.fixture
def zoom(systems: dict[str, Any]) -> Iterator[Bench]:
    with checked(bench_of("zoom", systems["zoom"])) as bench:
        yield bench


@pytest.fixture
def webex(systems: dict[str, Any]) -> Iterator[Bench]:
    with checked(bench_of("webex", systems["webex"])) as bench:
        yield bench


@pytest.fixture
def teams(systems: dict[str, Any]) -> Iterator[Bench]:
    with checked(bench_of("teams", systems["teams"])) as bench:
        yield bench


@pytest.fixture
def rest(systems: dict[str, Any]) -> Iterator[Bench]:
    with checked(bench_of("rest", systems["rest"])) as bench:
        yield bench


def look(bench: Bench, known: ConferenceId, *asked_as: str) -> Sight:
    return bench.provider.look(known, content(), asked_as)


# Zoom: `host_email`, `type`, `pmi`.


@pytest.mark.parametrize(
    ("members", "unfit", "recurring"),
    [
        ({}, None, False),
        ({"type": 8, "recurrence": ZOOM_WEEKLY}, None, True),
        ({"type": 1}, "an instant meeting", False),
        ({"type": 3}, "a meeting without a fixed time", False),
        ({"type": 4}, "a personal room", False),
        ({"settings": {"use_pmi": True}}, "a personal room", False),
        ({"webinar": True}, "a webinar", False),
    ],
    ids=str,
)
def test_o2_the_kinds_of_zooms_meetings(
    zoom: Bench, members: dict[str, Any], unfit: str | None, recurring: bool
) -> None:
    """A meeting that cannot be scheduled says what it is; a series says that it is one."""
    sight = look(zoom, zoom.add(host=BEN, **members))
    assert (sight.unfit, sight.recurring) == (unfit, recurring)
    assert sight.hosts == ({BEN} if "webinar" not in members else set())
    assert zoom.writes() == []
    if members.get("type") == 4:
        zoom.system.requests.clear()  # the description of 2021 does not know that type


def test_o2_a_meeting_that_was_scheduled_with_the_personal_number(zoom: Bench) -> None:
    """Zoom answers `pmi` where that was used: everything else of its owner happens there too."""
    known = zoom.add()
    zoom.only()["pmi"] = 5551234567
    assert look(zoom, known).unfit == "a personal room"


def test_o2_the_entry_may_name_zooms_host_by_id(zoom: Bench) -> None:
    """The entry's host counts as one of `hosts`, be it an address or Zoom's id of the user."""
    known, host_id = zoom.add(host=BEN), zoom.system.user_id(BEN)
    for named, seen in ((host_id, host_id), (BEN, BEN), (zoom.system.user_id(ANNA), BEN)):
        provider = zoom.make(host=named)
        assert provider.look(known, content()).hosts == {seen}
        assert (seen in provider.rules.hosts) is (named in (host_id, BEN))


def test_o4_a_meeting_of_another_account_is_not_there(zoom: Bench) -> None:
    """Zoom's own words, the same as for one that was deleted."""
    with pytest.raises(Gone):
        look(zoom, zoom.add(account="bigclient"))


def test_c3_a_host_who_left_is_not_gone(zoom: Bench) -> None:
    """Zoom does not know the user: neither does the meeting not exist, nor is its deletion done."""
    known = zoom.add(host=BEN)
    zoom.system.hosts.discard(BEN)
    for call in (lambda: look(zoom, known), lambda: zoom.provider.delete(known)):
        with pytest.raises(NotAllowed) as raised:
            call()
        assert not isinstance(raised.value, CredentialsRefused)
    assert "as an administrator" in str(raised.value)


# Webex: `hostEmail`, `scheduledType`, `meetingType`; and as whom it was asked.


@pytest.mark.parametrize(
    ("members", "unfit", "recurring"),
    [
        ({}, None, False),
        ({"recurrence": "FREQ=WEEKLY"}, None, True),
        ({"scheduled_type": "webinar"}, "a webinar", False),
        ({"scheduled_type": "personalRoomMeeting"}, "a personal room", False),
        ({"meetingType": "meeting"}, "a meeting that was held, not one that is scheduled", False),
        ({"adhoc": True}, "an instant meeting", False),
    ],
    ids=str,
)
@pytest.mark.parametrize("shown_as", ["id", "number"])
def test_o2_the_kinds_of_webexs_meetings(
    webex: Bench, shown_as: str, members: dict[str, Any], unfit: str | None, recurring: bool
) -> None:
    """As Zoom's, whether the meeting is known by its id or by its number."""
    known = webex.add(host=BEN, shown_as=shown_as, **members)
    sight = look(webex, known, BEN)
    assert (sight.hosts, sight.seen_as) == (frozenset({BEN}), BEN)
    assert (sight.unfit, sight.recurring) == (unfit, recurring)
    assert sight.way_in.conference_id in webex.meetings
    assert webex.writes() == []


@pytest.mark.parametrize("recurrence", [{}, {"recurrence": "FREQ=WEEKLY"}], ids=str)
def test_o2_the_id_of_an_occurrence_shows_its_series(webex: Bench, recurrence: Json) -> None:
    """Webex says of an occurrence neither that its series recurs nor when the series begins."""
    known = webex.add(host=BEN, **recurrence)
    whole = look(webex, known, BEN)
    for one in webex.system.occurrences(known, 2):
        assert look(webex, ConferenceId(one["id"]), BEN) == whole
    assert whole.recurring is bool(recurrence)


@pytest.mark.parametrize("shown_as", ["id", "number", "nothing"])
def test_o2_webex_is_asked_as_each_who_may_be_the_host(webex: Bench, shown_as: str) -> None:
    """The organizer, the creator, the entry's host and the full addresses of its hosts."""
    known = webex.add(host=BEN, shown_as=shown_as)
    webex.system.hosts.add(ANNA)
    with pytest.raises((NotAllowed, Gone)):
        look(webex, known, ANNA)
    assert look(webex, known, ANNA, BEN).seen_as == BEN
    provider = webex.make(host=None, hosts=("*@example.com", "Ben@Example.com"))
    sight = provider.look(known, content(), (ANNA, "stranger@example.org"))
    assert (sight.hosts, sight.seen_as) == (frozenset({BEN}), BEN)
    provider.update(
        sight.way_in.conference_id, content(title="New"), frozenset({"title"}), sight.seen_as
    )
    provider.delete(sight.way_in.conference_id, sight.seen_as)
    assert webex.meetings == {}


def test_o2_webex_shows_a_meeting_to_who_is_invited(webex: Bench) -> None:
    """Anna sees Ben's meeting; it is Ben's all the same."""
    known = webex.add(host=BEN, invitees=[ANNA])
    webex.system.hosts.add(ANNA)
    sight = look(webex, known, ANNA)
    assert (sight.hosts, sight.seen_as) == (frozenset({BEN}), BEN)


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("shown_as", ["id", "nothing"])
def test_c3_a_link_of_another_site_is_not_gone(webex: Bench, status: int, shown_as: str) -> None:
    """Empty lists, users that Webex does not know: it does not show the meeting, no more."""
    webex.system.unknown_host_status = status
    known = webex.add(host=BEN, site="bigclient.webex.com", shown_as=shown_as)
    with pytest.raises(NotAllowed, match="does not show"):
        look(webex, known, ANNA, BEN)


def test_o2_a_personal_room_needs_no_call(webex: Bench) -> None:
    """Its link says what it is."""
    known = webex.add(scheduled_type="personalRoomMeeting", shown_as="nothing")
    assert look(webex, known, HOST).unfit == "a personal room"
    with pytest.raises(NotAllowed):
        webex.provider.update(known, content(), frozenset({"title"}))
    assert webex.system.requests == []


# Teams: the organizer of the meeting.


@pytest.mark.parametrize(
    ("members", "unfit", "recurring"),
    [
        ({}, None, False),
        ({"meetingType": "scheduled"}, None, False),
        ({"meetingType": "recurring"}, None, True),
        ({"meetingType": "meetnow"}, "an instant meeting", False),
        ({"meetingType": "adhoc"}, "an instant meeting", False),
        ({"meetingType": "broadcast"}, "a broadcast", False),
        ({"isBroadcast": True}, "a broadcast", False),
    ],
    ids=str,
)
def test_o2_the_kinds_of_teams_meetings(
    teams: Bench, members: dict[str, Any], unfit: str | None, recurring: bool
) -> None:
    """The organizer's address and object id are both named, for an entry's host is the latter."""
    sight = look(teams, teams.add(host=BEN, **members))
    assert sight.hosts == {BEN, teams.system.add_user(BEN)}
    assert sight.seen_as == teams.system.add_user(BEN)
    assert (sight.unfit, sight.recurring) == (unfit, recurring)
    assert teams.provider.rules.hosts == {teams.system.host}


@pytest.mark.parametrize("form", ["long", "short", "channel"])
@pytest.mark.parametrize("site", ["teams.microsoft.com", "gov.teams.microsoft.us"])
@pytest.mark.parametrize("opaque", [False, True])
def test_o2_a_colleagues_link_in_each_form(
    teams: Bench, form: str, site: str, opaque: bool
) -> None:
    """Long links and those of channels name the organizer; for a short one each who may be it is
    asked, by object id. Nothing is gone, for nothing says so."""
    teams.system.opaque_ids = opaque
    shown = teams.system.add(host=BEN, form=form, site=site)
    known = teams.id_in({**shown, "conferenceId": None})
    ben = teams.system.add_user(BEN)
    if form == "short":
        for empty in (False, True):
            teams.system.looks_up_empty = empty
            with pytest.raises(NotAllowed, match="does not show"):
                look(teams, known, BEN, ANNA)
            with pytest.raises(NotAllowed, match="retry or dismiss"):
                teams.provider.delete(known)
        assert teams.make(hosts=(ben,)).look(known, content(), (ANNA,)).seen_as == ben
    elif opaque and site != "teams.microsoft.com":
        # The address of the link is not Graph's public one, whose filter compares texts.
        with pytest.raises((NotAllowed, Gone)):
            look(teams, known, ANNA)
    else:
        assert BEN in look(teams, known, ANNA).hosts
    assert len(teams.meetings) == 1


@pytest.mark.parametrize("form", ["long", "short", "channel"])
def test_o2_a_meeting_of_another_organization(teams: Bench, form: str) -> None:
    """Graph does not know its organizer: not gone, and not everybody's credentials."""
    shown = teams.system.add(host="client@example.org", tenant="another", form=form)
    known = teams.id_in({**shown, "conferenceId": None})
    for words in ("resource", "user"):
        teams.system.unknown_user = words
        for call in (lambda: look(teams, known, ANNA), lambda: teams.provider.delete(known)):
            with pytest.raises(NotAllowed) as raised:
                call()
            assert not isinstance(raised.value, CredentialsRefused)


def test_c3_an_organizer_who_left_is_not_gone(teams: Bench) -> None:
    """Nobody can delete the meeting through our app; the reason says what a person can do."""
    known = teams.add(host=BEN)
    teams.system.leave(BEN)
    with pytest.raises(NotAllowed, match=r"left.*as an administrator"):
        teams.provider.delete(known)


def test_c5_one_user_without_a_policy_is_one_meeting(teams: Bench) -> None:
    """The others go on, with the same token."""
    theirs, ours = teams.add(host=BEN), teams.add()
    teams.system.without_policy.add(teams.system.add_user(BEN))
    with pytest.raises(NotAllowed, match="Grant-CsApplicationAccessPolicy"):
        look(teams, theirs)
    teams.system.faults.add(
        path="/onlineMeetings/",
        status=401,
        body={"error": {"code": "Unauthorized", "message": "No application access policy found"}},
    )
    with pytest.raises(NotAllowed):
        look(teams, ours)
    assert HOST in look(teams, ours).hosts
    assert len(teams.system.grants) == 1
    teams.system.requests.clear()  # the answer to the second was none that is described


def test_two_meetings_of_one_channel_are_two(teams: Bench) -> None:
    """They share a thread; the message that began each tells them apart."""
    first = teams.add(form="channel", subject="One")
    thread = teams.system.meetings[first]
    link = thread["joinWebUrl"]
    other = link.replace("1746000000000", "1746000000001")
    rules = teams.provider.rules
    assert rules.normalise(link) == first != rules.normalise(other)
    without_organizer = link.partition("?")[0]
    assert rules.normalise(without_organizer).endswith("/1746000000000")


# Rest: `organizer` of the answer.


@pytest.mark.parametrize(
    ("named", "hosts"),
    [
        ("Anna@Example.com", {ANNA}),
        (None, set()),
        ("", set()),
        (5, {""}),
        ({"email": "anna@example.com"}, {""}),
        (["anna@example.com"], {""}),
    ],
)
def test_o2_the_organizer_of_a_rest_conference(rest: Bench, named: Any, hosts: set[str]) -> None:
    """Named, it is whose the conference is; else the answer proves nothing, and the rules say
    that conference data does. What is no address names somebody who is nobody's organizer."""
    known = rest.add(organizer=named)
    sight = look(rest, known)
    assert (set(sight.hosts), sight.unfit) == (hosts, None)
    assert sight.seen_as == (named if isinstance(named, str) and named else None)
    assert rest.provider.rules.trusts_conference_data
    assert rest.provider.rules.creates_unseen
    rest.system.settings.names_organizer = False
    assert look(rest, known).hosts == set()


def test_o5_a_put_keeps_what_people_keep_there(rest: Bench) -> None:
    """The organizer as whose the conference was seen, and a description where the event has none;
    also in an instance that has not looked."""
    known = rest.add(organizer="rooms@example.com", description="Door code 1234")
    told = content(description="", title="New")
    sight = rest.provider.look(known, told)
    for provider in (rest.provider, rest.make()):
        provider.update(known, told, sight.differs, sight.seen_as)
        assert rest.only()["organizer"] == "rooms@example.com"
        assert rest.only()["description"] == "Door code 1234"
        assert rest.only()["title"] == "New"
    rest.provider.update(known, told, frozenset({"description", "organizer"}), sight.seen_as)
    assert rest.only()["organizer"] == HOST
    assert rest.only()["description"] == ""


def test_o2_a_weak_link_needs_the_start(rest: Bench) -> None:
    """The start in each form of the contract; none where the answer has none."""
    known = rest.add(start="2026-05-04", all_day=True)
    sight = look(rest, known)
    assert sight.starts is not None
    assert sight.starts.all_day
    for odd in (None, "tomorrow", 5):
        rest.only()["start"] = odd
        assert look(rest, known).starts is None
    rest.system.requests.clear()


# A stranger's link or id, to each system.

ODD = [
    "https://[x.webex.com/j.php?MTID=1",
    "https://x.webex.com:port/j.php?MTID=1",
    "19:" * 30_000,
    ("19:" + "a" * 290) * 300,
    "https://teams.microsoft.com/l/meetup-join/" + "%25" * 20_000,
    "1 - " * 20_000,
    '"Oid":' * 10_000,
    "\ud83d",
    "\x00",
    "",
    "٣" * 11,
    "https://acme.zoom.us/j/" + "9" * 50_000,
    "context=" * 10_000,
]


def test_s6_every_id_of_a_stranger_is_read_at_once(bench: Bench) -> None:
    """No text raises, and none takes longer than all together below a second of processor."""
    rules = bench.make(uris=[] if bench.name != "rest" else ["https://m.example.com/{id}"]).rules
    with processor_time_below(1):
        for odd in ODD:
            normal = rules.normalise(odd)
            assert rules.normalise(normal) == normal
            for uri in rules.uris:
                uri.fullmatch(odd)


def refusal_of(call: Callable[[], object]) -> str:
    """The text of one of our own errors, empty if there was none."""
    try:
        call()
    except SyncError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("odd", range(len(ODD)))
def test_s6_looking_at_an_odd_id_changes_nothing(bench: Bench, odd: int) -> None:
    """Whatever a system says of it is one of our own errors."""
    known = ConferenceId(bench.provider.rules.normalise(ODD[odd]))
    calls: Sequence[Callable[[], object]] = (
        lambda: bench.provider.look(known, content(), (HOST,)),
        lambda: bench.provider.canonical(known, (HOST,)),
        lambda: bench.provider.delete(known),
    )
    with processor_time_below(2):
        for call in calls:
            assert len(refusal_of(call)) < 1000
    assert bench.meetings == {}
    bench.system.requests.clear()  # some are no id that a description allows


def test_s6_a_long_error_text_is_cut(bench: Bench) -> None:
    """40 kB of a system's words, with an address in them, become one short sentence."""
    known = bench.add()
    with processor_time_below(1):
        bench.system.trouble("long-text")
        with pytest.raises(SyncError) as raised:
            look(bench, known, HOST)
        assert len(str(raised.value)) < 600
    bench.system.requests.clear()
