"""What a provider is told of an event, and how a change that matters is noticed (E4, W4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.errors import Malformed
from sync.event.content import (
    BLOCK_BEGIN,
    BLOCK_END,
    WHEN,
    content_of,
    differing,
    fingerprint_of,
    without,
    without_block,
    without_end_blanks,
)
from sync.model.conference import ConferenceContent, Fingerprint
from sync.model.event import EventTime
from tests.support.events import (
    ALL_FIELDS,
    ANNA,
    Json,
    at,
    item,
    parsed,
    sent,
)
from tests.support.processor import processor_time_below


def block(text: str = "Join: https://meet.example.com/c-1") -> str:
    return f"\n\n{BLOCK_BEGIN}\n{text}\n{BLOCK_END}"


def test_e4_a_provider_is_told_what_the_event_says() -> None:
    """Every field of the content comes from the event, and nothing else does."""
    body = item(recurrence=["RRULE:FREQ=WEEKLY"], location="Room 5", colorId="7")
    event = parsed(body)
    assert event.start is not None
    assert event.end is not None
    assert content_of(event, at()) == ConferenceContent(
        event=at(),
        title="Planning",
        description="Bring cake",
        start=event.start,
        end=event.end,
        recurrence=("RRULE:FREQ=WEEKLY",),
        organizer=ANNA,
        attendees=("ben@example.com", "cleo@example.com"),
        ical_uid="e1@google.com",
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"start": None, "end": None}, "has no start", id="E8-no-times"),
        pytest.param({"end": {"dateTime": "noon"}}, "cannot be read", id="E8-unreadable-end"),
        pytest.param({"start": {"dateTime": "noon"}}, "cannot be read", id="E8-unreadable-start"),
        pytest.param(
            {"start": {"dateTime": "2030-05-02T12:00:00", "timeZone": "Mars/Olympus"}},
            "unknown zone",
            id="E8-unknown-zone",
        ),
    ],
)
def test_e8_an_event_whose_times_cannot_be_read_says_why(changes: Json, reason: str) -> None:
    """The operator reads the reason in the list of failures."""
    with pytest.raises(Malformed, match=reason):
        content_of(parsed(item(**changes)), at())


def test_e8_a_deleted_event_without_times_says_that_it_has_none() -> None:
    """Calendar may leave nothing but the id of a deleted event."""
    with pytest.raises(Malformed, match="has no start"):
        content_of(parsed({"id": "e1", "status": "cancelled"}), at())
    with pytest.raises(Malformed, match="has no start"):
        content_of(parsed({"id": "e1", "status": "cancelled", "end": {"date": "2030-05-02"}}), at())


FIELDS: dict[str, tuple[Json, set[str]]] = {
    "E4-title": ({"summary": "Another"}, {"title"}),
    "E4-description": ({"description": "Another"}, {"description"}),
    "E4-start": (
        {"start": {"dateTime": "2030-05-02T12:30:00+02:00", "timeZone": "Europe/Berlin"}},
        {"start", "duration"},
    ),
    "E4-end": (
        {"end": {"dateTime": "2030-05-02T14:00:00+02:00", "timeZone": "Europe/Berlin"}},
        {"end", "duration"},
    ),
    "E4-moved-as-a-whole": (
        {
            "start": {"dateTime": "2030-05-02T13:00:00+02:00", "timeZone": "Europe/Berlin"},
            "end": {"dateTime": "2030-05-02T14:00:00+02:00", "timeZone": "Europe/Berlin"},
        },
        {"start", "end"},
    ),
    "E4-time-zone": (
        {"start": {"dateTime": "2030-05-02T12:00:00+02:00", "timeZone": "Europe/Paris"}},
        {"time_zone"},
    ),
    "E4-recurrence": ({"recurrence": ["RRULE:FREQ=DAILY"]}, {"recurrence"}),
    "E4-organizer": ({"organizer": {"email": "dora@example.com"}}, {"organizer"}),
    "E4-attendees": ({"attendees": []}, {"attendees"}),
    "E4-order-of-attendees": (
        {"attendees": [{"email": "cleo@example.com"}, {"email": "ben@example.com"}]},
        set(),
    ),
    "E4-uid": ({"iCalUID": "another"}, set()),
}


@pytest.mark.parametrize(("changes", "expected"), list(FIELDS.values()), ids=list(FIELDS))
def test_e4_each_field_has_a_digest_of_its_own(changes: Json, expected: set[str]) -> None:
    """A change of one field changes the digest of that field alone."""
    assert differing(sent(item()), sent(item(**changes))) == expected


@pytest.mark.parametrize("field", sorted(ALL_FIELDS))
def test_e4_a_fingerprint_holds_what_the_provider_takes(field: str) -> None:
    """Nothing else is compared; how long it lasts goes with the end."""
    expected = {field, "duration"} if field == "end" else {field}
    assert set(sent(item(), frozenset({field}))) == expected


def test_e4_the_order_of_a_series_rules_matters() -> None:
    """Two lines are not one line, and lines are not sorted."""
    lines = ["RRULE:FREQ=DAILY", "EXDATE:20300503T100000Z"]
    one = sent(item(recurrence=lines))
    assert one["recurrence"] != sent(item(recurrence=lines[::-1]))["recurrence"]
    assert one["recurrence"] != sent(item(recurrence=["".join(lines)]))["recurrence"]


def test_e4_a_fingerprint_is_the_same_on_every_machine() -> None:
    """What was stored by one release is compared by the next: these digests may never change."""
    assert sent(item(recurrence=["RRULE:FREQ=WEEKLY"])) == {
        "attendees": "31bc36d1f4100414",
        "description": "1a57df27890873ab",
        "duration": "de555c5b232f9f28",
        "end": "384b487e3fd2180b",
        "organizer": "f578f54ed8c96d26",
        "recurrence": "31853a647a8f5496",
        "start": "f9f2ff799a1004d3",
        "time_zone": "05d8388bbcf31f02",
        "title": "278e6a8a2f5aa1be",
    }


def test_e4_what_an_event_does_not_say_has_a_digest_that_never_changes() -> None:
    """No zone, no title, no organizer's address: as it was stored by one release."""
    day: Json = {"start": {"date": "2030-05-02"}, "end": {"date": "2030-05-03"}}
    told = sent(item(**day, summary=None, organizer={"self": True}))
    assert {name: told[name] for name in ("time_zone", "title", "organizer")} == {
        "time_zone": "ba768b331fd86cec",
        "title": "ba768b331fd86cec",
        "organizer": "ba768b331fd86cec",
    }


@given(
    moment=st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)),  # noqa: DTZ001 - the zones follow
    minutes=st.tuples(*[st.integers(-14 * 60, 14 * 60)] * 2),
)
def test_e4_a_fingerprint_is_of_the_moment_and_not_of_its_spelling(
    moment: datetime, minutes: tuple[int, int]
) -> None:
    """The same start and end with any offset have the same fingerprint."""

    def told(offset: int) -> Fingerprint:
        start = moment.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=offset)))
        end = start + timedelta(hours=1)
        return sent(
            item(
                start={"dateTime": start.isoformat(), "timeZone": "Europe/Berlin"},
                end={"dateTime": end.isoformat(), "timeZone": "Europe/Berlin"},
            )
        )

    assert told(minutes[0]) == told(minutes[1])


def test_e4_when_nothing_was_sent_everything_differs() -> None:
    """First sight; afterwards only what differs, in either direction."""
    wanted = Fingerprint({"title": "a", "start": "b"})
    assert differing(None, wanted) == {"title", "start"}
    assert differing(wanted, wanted) == set()
    assert differing(Fingerprint({}), wanted) == {"title", "start"}
    assert differing(wanted, Fingerprint({"title": "a"})) == {"start"}


def test_e4_s8_what_becomes_unsure_is_taken_out() -> None:
    """The other fields stay as they are known."""
    known = Fingerprint({"title": "a", "start": "b", "end": "c"})
    assert without(known, frozenset({"start", "unknown"})) == {"title": "a", "end": "c"}
    assert without(known, frozenset()) == known


def test_e4_when_a_conference_takes_place_is_told_by_four_fields() -> None:
    """A change of one of these moves it."""
    assert {"start", "end", "time_zone", "recurrence"} == WHEN


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        pytest.param(
            {"start": {"date": "2030-05-02"}, "end": {"date": "2030-05-03"}}, True, id="E8-one-day"
        ),
        pytest.param(
            {"start": {"date": "2030-05-03"}, "end": {"date": "2030-05-04"}},
            True,
            id="E8-another-day",
        ),
        pytest.param(
            {"start": {"date": "2030-05-02"}, "end": {"date": "2030-05-04"}},
            False,
            id="E8-two-days",
        ),
    ],
)
def test_e4_how_long_a_day_lasts_is_compared_too(times: Json, expected: bool) -> None:
    """All-day events of one length have one duration, whatever their date."""
    day: Json = {"start": {"date": "2031-01-01"}, "end": {"date": "2031-01-02"}}
    assert (sent(item(**day))["duration"] == sent(item(**times))["duration"]) is expected


# W4: our own block.

BLOCKS: dict[str, tuple[str, str]] = {
    "W4-no-block": ("Agenda", "Agenda"),
    "W4-our-block": ("Agenda" + block(), "Agenda"),
    "W4-nothing-but-our-block": (block(), ""),
    "W4-two-blocks": ("Agenda" + block("a") + block("b"), "Agenda"),
    "W4-words-behind": ("Before" + block() + "\nafter", "Before\nafter"),
    "W4-words-between-two": ("One" + block() + " two" + block() + " three", "One two three"),
    "W4-a-block-without-an-end": (f"Agenda\n{BLOCK_BEGIN}\nmine", f"Agenda\n{BLOCK_BEGIN}\nmine"),
    "W4-an-end-without-a-block": (f"Agenda\n{BLOCK_END}", f"Agenda\n{BLOCK_END}"),
    "W4-an-end-before-a-block": (f"{BLOCK_END} x {BLOCK_BEGIN}", f"{BLOCK_END} x {BLOCK_BEGIN}"),
    "W4-two-begins": (f"A {BLOCK_BEGIN} b {BLOCK_BEGIN} c {BLOCK_END}", "A"),
    "W4-as-html": ("Agenda<br><br>" + block().strip().replace("\n", "<br>"), "Agenda"),
    "W4-blanks-as-html": ("Agenda&nbsp;<br />  <br>" + block(), "Agenda"),
}


@pytest.mark.parametrize(("text", "expected"), list(BLOCKS.values()), ids=list(BLOCKS))
def test_w4_our_block_is_no_part_of_the_description(text: str, expected: str) -> None:
    """What we wrote is taken out with the blanks before it, and nothing of a person's own text."""
    assert without_block(text) == expected
    assert content_of(parsed(item(description=text)), at()).description == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Agenda", "Agenda", id="W4-none"),
        pytest.param("Agenda \t\r\n\xa0", "Agenda", id="W4-blanks"),
        pytest.param("Agenda<br><br/><br />", "Agenda", id="W4-line-breaks"),
        pytest.param(f"Agenda<br{' ' * 20}>", "Agenda", id="W4-a-long-line-break"),
        pytest.param(f"Agenda<br{' ' * 21}>", f"Agenda<br{' ' * 21}>", id="W4-no-line-break"),
        pytest.param("Agenda&nbsp;&nbsp;", "Agenda", id="W4-html-blanks"),
        pytest.param("Agenda<br>&nbsp; ", "Agenda", id="W4-all-of-them"),
        pytest.param("  Agenda\n\nTwo", "  Agenda\n\nTwo", id="W4-blanks-elsewhere"),
        pytest.param("a<b>", "a<b>", id="W4-other-markup"),
        pytest.param(" \n<br>", "", id="W4-nothing-else"),
        pytest.param("", "", id="W4-empty"),
    ],
)
def test_w4_blanks_at_the_end_are_no_part_of_the_description(text: str, expected: str) -> None:
    """They go with our block when it is taken out, so they must not look like a change."""
    assert without_end_blanks(text) == expected
    assert content_of(parsed(item(description=text)), at()).description == expected


_NO_MARK = st.text(max_size=60).filter(
    lambda text: BLOCK_BEGIN not in text and BLOCK_END not in text
)


@given(text=_NO_MARK)
def test_w4_a_description_without_our_block_is_left_as_it_is(text: str) -> None:
    """Nothing of a person's own text is ever taken for ours."""
    assert without_block(text) == text


_BLANKS = st.lists(st.sampled_from([" ", "\n", "\t", "<br>", "<br />", "&nbsp;"]), max_size=30)


@given(text=_NO_MARK, blanks=_BLANKS.map("".join))
def test_w4_blanks_at_the_end_make_no_difference(text: str, blanks: str) -> None:
    """However many, and whatever they are made of; and taking them out twice changes nothing."""
    once = without_end_blanks(text)
    assert without_end_blanks(text + blanks) == once
    assert without_end_blanks(once) == once
    assert text.startswith(once)


@pytest.mark.parametrize(
    "piece",
    [
        " ",
        "<br>",
        "<br          ",
        "&nbsp;",
        "&nbsp",
        BLOCK_BEGIN,
        BLOCK_END,
        block(),
        BLOCK_BEGIN + " " * 40,
        "a ",
        "<",
    ],
    ids=repr,
)
def test_s6_a_description_is_read_in_time_that_grows_with_its_length(piece: str) -> None:
    """A description of 100,000 characters is read in a moment, whatever it is made of: where time
    grows with the square of the length, this takes minutes."""
    long = piece * (100_000 // len(piece))
    for text in (long, f"x{long}x"):
        with processor_time_below(5):
            content_of(replace(parsed(item()), description=text), at())


def test_w4_the_marks_of_our_block_may_never_change() -> None:
    """They stand in events that we wrote long ago."""
    assert (BLOCK_BEGIN, BLOCK_END) == ("-- conference --", "-- /conference --")


def test_e4_times_of_two_kinds_have_no_length() -> None:
    """A day on one side and an hour on the other: handled, and compared as no length at all."""
    content = content_of(parsed(item()), at())
    day = EventTime(day=datetime(2030, 5, 3, tzinfo=UTC).date())
    none = fingerprint_of(replace(content, end=content.start), ALL_FIELDS)
    for odd in (replace(content, end=day), replace(content, start=day)):
        assert fingerprint_of(odd, ALL_FIELDS)["duration"] == none["duration"]
