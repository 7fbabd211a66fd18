"""Channel tokens (N1), greetings (N2), and which task a burst shares (N3): tables and
properties."""

from __future__ import annotations

import ast
import inspect
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sync.errors import Forged, Invalid
from sync.intake import notifications
from sync.intake.notifications import (
    CLOCK_SKEW,
    TOKEN_LIMIT,
    keys_from_secret,
    sign,
    tasks_of_window,
    verify,
)
from sync.model.event import CalendarId

KEY, OLD_KEY, STRANGE_KEY = b"the key that signs", b"the key before", b"a stranger's key"
CHANNEL = "channel-1"
ANNA = CalendarId("anna@example.com")

# Whatever may stand in a calendar id; half characters cannot be sent by anybody.
IDS = st.text(min_size=1, max_size=20).map(CalendarId)


def headers(
    token: str, channel: str = CHANNEL, state: str = "exists", resource: str = "resource-1"
) -> dict[str, str]:
    return {
        "X-Goog-Channel-ID": channel,
        "X-Goog-Channel-Token": token,
        "X-Goog-Resource-State": state,
        "X-Goog-Resource-ID": resource,
    }


def refused(given_headers: dict[str, str], keys: list[bytes] | None = None) -> bool:
    try:
        verify(keys or [KEY], given_headers)
    except Forged as error:
        # Nothing tells one refusal from another.
        return str(error) == ""
    return False


@given(channel=st.text(min_size=1, max_size=64), calendar_id=IDS)
def test_n1_what_was_signed_gives_the_calendar_id_back(
    channel: str, calendar_id: CalendarId
) -> None:
    """Sign, then verify: the same calendar, in a token that a header can carry."""
    token = sign([KEY], channel, calendar_id)
    assert re.fullmatch(r"[!-~]+", token)
    found = verify([KEY], headers(token, channel))
    assert (found.calendar_id, found.channel_id, found.resource_id) == (
        calendar_id,
        channel,
        "resource-1",
    )


@pytest.mark.parametrize(
    "calendar_id",
    [
        pytest.param("anna@example.com", id="N1-address"),
        pytest.param("en.usa#holiday@group.v.calendar.google.com", id="N1-hash"),
        pytest.param("100%@example.com", id="N1-percent"),
        pytest.param("%61nna@example.com", id="N1-looks-encoded"),
        pytest.param("a/b\\c@example.com", id="N1-slashes"),
        pytest.param("a b\t@example.com", id="N1-spaces"),
        pytest.param("jürgen.Ω@例え.jp", id="N1-unicode"),
        pytest.param("a.b.c", id="N1-dots"),
        pytest.param("\x00\r\n", id="N1-control-characters"),
    ],
)
def test_n1_every_kind_of_calendar_id_is_signed(calendar_id: str) -> None:
    """No character of an id is lost or mistaken for the token's own."""
    token = sign([KEY], CHANNEL, CalendarId(calendar_id))
    assert verify([KEY], headers(token)).calendar_id == calendar_id


@given(calendar_id=IDS, data=st.data())
def test_n1_nothing_else_verifies(calendar_id: CalendarId, data: st.DataObject) -> None:
    """A token changed anywhere is refused, or names the very same calendar by another spelling."""
    token = sign([KEY], CHANNEL, calendar_id)
    place = data.draw(st.integers(0, len(token)))
    changed = data.draw(
        st.one_of(
            st.just(token[:place]),
            st.just(token[place:]),
            st.builds(
                lambda text: token[:place] + text + token[place:], st.text(min_size=1, max_size=4)
            ),
            st.builds(
                lambda text: token[:place] + text + token[place + 1 :],
                st.text(min_size=1, max_size=1),
            ),
        )
    )
    assume(changed != token)
    try:
        found = verify([KEY], headers(changed))
    except Forged:
        return
    assert found.calendar_id == calendar_id
    assert changed.partition(".")[0] == token.partition(".")[0]


@given(token=st.text(max_size=300), channel=st.text(max_size=70))
def test_n1_what_nobody_signed_is_refused(token: str, channel: str) -> None:
    """Any text at all is refused, and nothing but Forged is raised."""
    assert refused(headers(token, channel))


TOKEN = sign([KEY], CHANNEL, ANNA)
FORGED: dict[str, dict[str, str]] = {
    "N1-no-headers": {},
    "N1-no-token": {
        name: value for name, value in headers(TOKEN).items() if name != "X-Goog-Channel-Token"
    },
    "N1-no-channel": {
        name: value for name, value in headers(TOKEN).items() if name != "X-Goog-Channel-ID"
    },
    "N1-empty-token": headers(""),
    "N1-empty-channel": headers(TOKEN, ""),
    "N1-another-channel-s": headers(TOKEN, "channel-2"),
    "N1-another-calendar-s": headers(TOKEN.replace("anna", "ben")),
    "N1-without-signature": headers("." + ANNA),
    "N1-without-calendar": headers(TOKEN.partition(".")[0] + "."),
    "N1-calendar-alone": headers(ANNA),
    "N1-truncated": headers(TOKEN[:-1]),
    "N1-truncated-in-front": headers(TOKEN[1:]),
    "N1-longer": headers(TOKEN + "x"),
    "N1-signature-of-a-stranger": headers(sign([STRANGE_KEY], CHANNEL, ANNA)),
    "N1-signature-of-an-empty-key": headers(sign([b""], CHANNEL, ANNA)),
    "N1-border-between-the-ids-moved": headers(TOKEN.replace(".anna", ".nna"), CHANNEL + "a"),
    "N1-with-letters-beyond-ascii": headers("\xe4" + TOKEN),
    "N1-greeting": headers(TOKEN, "channel-2", "sync"),
}


@pytest.mark.parametrize("forged", list(FORGED.values()), ids=list(FORGED))
def test_n1_a_forged_notification_is_refused_without_a_word(forged: dict[str, str]) -> None:
    """Missing, wrong, truncated, another channel's, another calendar's: all the same."""
    assert refused(forged)


def test_n1_what_calendar_leaves_out_is_empty() -> None:
    """Without a resource and a state it is a notification all the same, and no greeting."""
    bare = {"X-Goog-Channel-ID": CHANNEL, "X-Goog-Channel-Token": TOKEN}
    found = verify([KEY], bare)
    assert (found.calendar_id, found.resource_id, found.greeting) == (ANNA, "", False)


def test_n1_a_good_signature_of_nobody_is_refused() -> None:
    """Our own key signed it, but it names no calendar, or no channel."""
    assert refused(headers(sign([KEY], CHANNEL, CalendarId(""))))
    assert refused(headers(sign([KEY], "", ANNA), ""))


def test_n1_a_token_longer_than_calendar_carries_is_refused_unread() -> None:
    """The same calendar, spelled so that the token has more than 256 characters."""
    calendar_id = CalendarId("a" * 100)
    signature = sign([KEY], CHANNEL, calendar_id).partition(".")[0]
    short, long = f"{signature}.{'%61' * 50}{'a' * 50}", f"{signature}.{'%61' * 100}"
    assert (len(short), len(long)) == (244, 344)
    assert verify([KEY], headers(short)).calendar_id == calendar_id
    assert refused(headers(long))


@given(text=st.text(min_size=2, max_size=8), data=st.data())
def test_n1_no_two_pairs_of_ids_share_a_signature(text: str, data: st.DataObject) -> None:
    """A channel's token is of no use on another channel, wherever the border between the ids may
    be drawn."""
    one, other = data.draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=2, unique=True))
    signatures = {
        sign([KEY], text[:cut], CalendarId(text[cut:])).partition(".")[0] for cut in (one, other)
    }
    assert len(signatures) == 2


def test_n1_a_token_longer_than_calendar_carries_is_refused_at_start() -> None:
    """The longest id whose token has 256 characters is signed; one more is refused with the
    mend."""
    overhead = len(sign([KEY], CHANNEL, ANNA)) - len(ANNA)
    longest = CalendarId("a" * (TOKEN_LIMIT - overhead))
    token = sign([KEY], CHANNEL, longest)
    assert (TOKEN_LIMIT, len(token)) == (256, 256)
    assert verify([KEY], headers(token)).calendar_id == longest
    with pytest.raises(Invalid, match=r"too long.*257 characters.*shorter id"):
        sign([KEY], CHANNEL, CalendarId(longest + "a"))
    with pytest.raises(Invalid, match="too long"):
        sign([KEY], CHANNEL, CalendarId("ü" * 100))


def test_n1_a_key_can_rotate() -> None:
    """The first key signs, all verify, and a key that was taken out verifies no more."""
    old, new = sign([OLD_KEY], CHANNEL, ANNA), sign([KEY, OLD_KEY], CHANNEL, ANNA)
    assert new == sign([KEY], CHANNEL, ANNA)
    for token in (old, new):
        assert verify([KEY, OLD_KEY], headers(token)).calendar_id == ANNA
        assert verify([OLD_KEY, KEY], headers(token)).calendar_id == ANNA
    assert refused(headers(old), [KEY])
    assert refused(headers(new), [OLD_KEY])


def test_n1_signatures_are_compared_in_constant_time() -> None:
    """No signature is compared by `==`, but by hmac.compare_digest, for every key."""
    tree = ast.parse(inspect.getsource(notifications.Claim))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    compared = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and "signature" in ast.unparse(node)
    ]
    assert "hmac.compare_digest" in called
    assert compared == []


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(b"one", [b"one"], id="N1-one-key"),
        pytest.param(b"one\n", [b"one"], id="N1-line-end"),
        pytest.param(b"one\r\ntwo\r\n", [b"one", b"two"], id="N1-windows-line-ends"),
        pytest.param(b"\n  one \n\n two\n", [b"one", b"two"], id="N1-blanks"),
        pytest.param(b"\xff\xfe\nb", [b"\xff\xfe", b"b"], id="N1-bytes"),
    ],
)
def test_n1_keys_stand_one_a_line(payload: bytes, expected: list[bytes]) -> None:
    """The secret's lines are the keys, in their order."""
    assert keys_from_secret(payload) == expected


@pytest.mark.parametrize(
    "payload", [pytest.param(b"", id="N1-empty"), pytest.param(b" \n\t\n", id="N1-blank")]
)
def test_n1_a_secret_without_a_key_is_refused(payload: bytes) -> None:
    """An empty key would let everybody sign: it is none."""
    with pytest.raises(
        Invalid,
        match=r"^the secret named by SYNC_CHANNEL_KEY holds no key; add a version with one random "
        r"key a line$",
    ):
        keys_from_secret(payload)


@pytest.mark.parametrize(
    ("state", "greeting"),
    [
        pytest.param("sync", True, id="N2-greeting"),
        pytest.param("SYNC", True, id="N2-greeting-in-capitals"),
        pytest.param("exists", False, id="N2-change"),
        pytest.param("not_exists", False, id="N2-deletion"),
        pytest.param("", False, id="N2-no-state"),
        pytest.param("something_new", False, id="N2-unknown-state"),
    ],
)
def test_n2_only_the_greeting_is_one(state: str, greeting: bool) -> None:
    """Every state but `sync` means that something may have changed."""
    assert verify([KEY], headers(TOKEN, state=state)).greeting is greeting


# N3: the tasks of a window.

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
WINDOWS = st.integers(1, 3600).map(lambda seconds: timedelta(seconds=seconds))
SKEWS = st.floats(-2, 2).map(lambda seconds: timedelta(seconds=seconds))


@given(now=MOMENTS, window=WINDOWS)
def test_n3_a_window_s_second_task_runs_after_its_end(now: datetime, window: timedelta) -> None:
    """The first task waits for nothing; the second is due after the window, skew included, but
    within reason."""
    first, rest = tasks_of_window(ANNA, now, window)
    assert first.at is None
    assert rest.at is not None
    assert CLOCK_SKEW < rest.at - now <= window + CLOCK_SKEW
    assert first.name != rest.name


@given(now=MOMENTS, window=WINDOWS, share=st.floats(0, 0.999))
def test_n3_all_moments_of_a_window_share_its_names(
    now: datetime, window: timedelta, share: float
) -> None:
    """Names are a matter of the window alone: any instance finds the same, and the next window
    has others."""
    _, rest = tasks_of_window(ANNA, now, window)
    assert rest.at is not None
    end = rest.at - CLOCK_SKEW
    within = end - window + share * window
    assert tasks_of_window(ANNA, within, window) == tasks_of_window(ANNA, now, window)
    names = {task.name for task in tasks_of_window(ANNA, now, window)}
    assert names.isdisjoint(task.name for task in tasks_of_window(ANNA, end, window))
    assert names.isdisjoint(
        task.name for task in tasks_of_window(CalendarId("ben@example.com"), now, window)
    )


@given(calendar_id=IDS, now=MOMENTS, window=WINDOWS)
def test_n3_names_begin_with_a_hash_and_are_what_cloud_tasks_takes(
    calendar_id: CalendarId, now: datetime, window: timedelta
) -> None:
    """Hexadecimal digits first, then nothing that Cloud Tasks refuses, and never the calendar
    id."""
    for task in tasks_of_window(calendar_id, now, window):
        assert re.fullmatch(r"[0-9a-f]{32}-[A-Za-z0-9_-]{1,400}", task.name)
    assert tasks_of_window(ANNA, now, window)[0].name.find("anna") == -1


@given(
    start=MOMENTS,
    window=WINDOWS,
    burst=st.lists(st.tuples(st.floats(0, 3), SKEWS, st.floats(0, 1)), min_size=1, max_size=30),
)
def test_n3_the_last_change_of_a_burst_is_always_covered(
    start: datetime, window: timedelta, burst: list[tuple[float, timedelta, float]]
) -> None:
    """Whatever the times and the clocks, a task runs after every notification that found its tasks
    created already.

    The queue's clock is the reference; each notification comes at a time in windows, on an instance
    whose clock is up to 2 s off, and its task is created up to a second later. A name stays taken
    after its task ran.
    """
    runs: dict[str, datetime] = {}
    for windows, skew, latency in sorted(burst, key=lambda each: each[0]):
        arrived = start + windows * window
        created = arrived + timedelta(seconds=latency)
        first, rest = tasks_of_window(ANNA, arrived + skew, window)
        if first.name not in runs:
            covered = runs[first.name] = created
        elif rest.name not in runs:
            assert rest.at is not None
            covered = runs[rest.name] = max(rest.at, created)
        else:
            covered = runs[rest.name]
        assert covered >= arrived


@pytest.mark.slow
@given(now=MOMENTS, window=WINDOWS, offset=st.integers(-12, 14))
def test_n3_a_window_does_not_depend_on_the_time_zone_of_the_clock(
    now: datetime, window: timedelta, offset: int
) -> None:
    """A bucket of the clock is the same bucket in every zone."""
    elsewhere = now.astimezone(timezone(timedelta(hours=offset)))
    assert tasks_of_window(ANNA, elsewhere, window) == tasks_of_window(ANNA, now, window)
