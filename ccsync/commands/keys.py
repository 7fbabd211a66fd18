"""`ccsync keys rotate`: a new channel key in front, and later the old one away."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from ccsync import gcloud
from ccsync.errors import NoAccess, Refused
from ccsync.options import cloud, common, pass_session
from ccsync.output import parse_time
from ccsync.session import Cloud, Session

CHANNEL_DAYS = 7
"""A channel lives so long (SYNC_CHANNEL_TTL_SECONDS): then none is signed with the old key."""


@click.group()
@common
def keys() -> None:
    """Rotate the keys that sign channel tokens."""


@keys.command()
@click.option("--finish", is_flag=True, help="Take the old keys away, a week after rotating.")
@click.option(
    "--channel-days",
    type=click.FloatRange(min=0),
    default=CHANNEL_DAYS,
    show_default=True,
    metavar="DAYS",
    help="How long a channel lives (SYNC_CHANNEL_TTL_SECONDS); --finish waits for that.",
)
@common
@cloud
@pass_session
def rotate(session: Session, finish: bool, channel_days: float) -> None:
    """Put a new channel key in front of the old one. Both are believed.

    A week later, --finish takes the old one away. Reads the secret first, and stores nothing when
    it cannot be read: a new key alone would make every channel deaf.
    """
    where = session.cloud
    with session.out.progress("Reading the channel keys"):
        lines = read_keys(where)
        age = age_of(where)
    if finish:
        kept = _finished(lines, age, timedelta(days=channel_days))
        said = "The old keys are gone; one key is left."
    else:
        kept = _rotated(lines)
        said = (
            f"A new key signs, the old one is still believed. In {channel_days:g} days: ccsync "
            "keys rotate --finish"
        )
    with session.out.progress("Storing the channel keys"):
        _store(where, kept)
    if session.out.as_json:
        session.out.json({"secret": where.channel_key, "keys": len(kept)})
    else:
        session.out.say(said)


def read_keys(where: Cloud) -> list[str]:
    """Return the lines of the newest version of the secret. Raises Problem when there are none."""
    try:
        payload = gcloud.run(["secrets", "versions", "access", "latest", *_secret(where)])
    except NoAccess:
        raise
    except Refused as error:
        raise Refused(f"the channel keys cannot be read, so nothing was stored: {error}") from None
    lines = [line.strip() for line in payload.splitlines() if line.strip()]
    if not lines:
        raise Refused(
            f"the secret {where.channel_key} holds no key, so nothing was stored; add one with "
            "gcloud secrets versions add, then start the calendars again"
        )
    return lines


def age_of(where: Cloud) -> timedelta:
    """Return how old the newest version of the secret is. Raises Problem."""
    found: Any = gcloud.run_json(["secrets", "versions", "describe", "latest", *_secret(where)])
    try:
        return datetime.now(UTC) - parse_time(str(found["createTime"]))
    except (KeyError, TypeError, ValueError):
        raise Refused(
            "gcloud does not say how old the key is, so nothing was stored; update gcloud and "
            "repeat"
        ) from None


def _rotated(lines: list[str]) -> list[str]:
    if len(lines) > 1:
        raise Refused(
            f"a rotation is under way: the secret has {len(lines)} keys; end it with ccsync keys "
            "rotate --finish first"
        )
    return [secrets.token_hex(32), *lines]


def _finished(lines: list[str], age: timedelta, least: timedelta) -> list[str]:
    if len(lines) == 1:
        raise Refused(
            "there is one key alone, so nothing is to be finished; ccsync keys rotate begins"
        )
    if age < least:
        left = least - age
        raise Refused(
            "channels that the old key signed are still open, so nothing was stored; repeat this "
            f"in {left / timedelta(days=1):.1f} days"
        )
    return lines[:1]


def _store(where: Cloud, lines: list[str]) -> None:
    """Add a version. The keys go by standard input, where no list of processes shows them."""
    payload = "".join(f"{line}\n" for line in lines)
    gcloud.run(
        [
            "secrets",
            "versions",
            "add",
            where.channel_key,
            f"--project={where.project}",
            "--data-file=-",
        ],
        given=payload,
    )
    if read_keys(where) != lines:
        raise Refused(
            "the newest version of the secret is not what was stored; look at its versions with "
            f"gcloud secrets versions list {where.channel_key} before anything else"
        )


def _secret(where: Cloud) -> list[str]:
    return [f"--secret={where.channel_key}", f"--project={where.project}"]
