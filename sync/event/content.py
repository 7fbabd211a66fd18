"""What a provider is told of an event, and how a change that matters is noticed (E4). Pure."""

from __future__ import annotations

import re
from datetime import timedelta

from sync.errors import Malformed
from sync.model.conference import ConferenceContent, EventRef, Fingerprint, print_of
from sync.model.event import Event

# The block at the end of a description that we write, and nobody else (W4).
BLOCK_BEGIN = "-- conference --"
BLOCK_END = "-- /conference --"
# Calendar's own editor may have turned blanks into HTML.
_BLANK_END = re.compile(r"(?:\s|<br\s{0,20}/?>|&nbsp;)\Z")
# The longest way to write one blank, `<br          />` with some room.
_LONGEST_BLANK = 40

# So much of a title is looked for in a provider's words, which are cut as well.
_LONGEST_QUOTED = 100

WHEN = frozenset({"start", "end", "time_zone", "recurrence"})
"""Fields that say when a conference takes place."""


def content_of(event: Event, ref: EventRef) -> ConferenceContent:
    """Return what a provider may be told of an event.

    Raises Malformed for one without times, or with a time that cannot be read: none is guessed.

    Our own block is no part of the description (W4), and neither are the blanks at its end: they go
    with our block when that is taken out, and must not look like a change.
    """
    if event.unreadable or event.start is None or event.end is None:
        raise Malformed(event.unreadable or "the event has no start")
    return ConferenceContent(
        event=ref,
        title=event.title,
        description=without_end_blanks(without_block(event.description)),
        start=event.start,
        end=event.end,
        recurrence=event.recurrence,
        organizer=event.organizer,
        attendees=event.attendees,
        ical_uid=event.ical_uid,
    )


def without_block(description: str) -> str:
    """Return a description without our blocks and the blanks before each.

    `"Agenda\\n\\n-- conference --…-- /conference --"` becomes `"Agenda"`.
    """
    parts: list[str] = []
    while True:
        before, begin, after = description.partition(BLOCK_BEGIN)
        _, end, rest = after.partition(BLOCK_END)
        if not begin or not end:
            return "".join([*parts, description])
        parts.append(without_end_blanks(before))
        description = rest


def without_end_blanks(text: str) -> str:
    """Return a text without the blanks at its end, whatever their form. Linear in its length.

    `"Agenda<br>&nbsp; "` becomes `"Agenda"`.
    """
    end = len(text)
    while end:
        found = _BLANK_END.search(text, max(0, end - _LONGEST_BLANK), end)
        if found is None:
            break
        end = found.start()
    return text[:end]


def fingerprint_of(content: ConferenceContent, fields: frozenset[str]) -> Fingerprint:
    """Return a digest of each field that the provider takes.

    Equal content gives equal digests on every machine. Moments count, not how they are written: the
    same start with another offset is the same start. The order of the attendees does not matter.
    `duration` is added, for comparing occurrences with their series.
    """
    values = {
        "title": (content.title,),
        "description": (content.description,),
        "start": (content.start.utc(),),
        "end": (content.end.utc(),),
        "time_zone": (content.start.time_zone or "",),
        "recurrence": content.recurrence,
        "organizer": (content.organizer or "",),
        "attendees": tuple(sorted(content.attendees)),
    }
    prints = {name: print_of(*parts) for name, parts in values.items() if name in fields}
    if "end" in fields:
        prints["duration"] = print_of(str(_duration(content)))
    return Fingerprint(prints)


def differing(sent: Fingerprint | None, wanted: Fingerprint) -> frozenset[str]:
    """Return the names of the fields whose digest differs. All of them when nothing was sent."""
    if sent is None:
        return frozenset(wanted)
    return frozenset(
        name for name in wanted.keys() | sent.keys() if wanted.get(name) != sent.get(name)
    )


def without(fingerprint: Fingerprint, fields: frozenset[str]) -> Fingerprint:
    """Return what is left to rely on once these fields are unsure."""
    return Fingerprint({name: known for name, known in fingerprint.items() if name not in fields})


def untitled(reason: str, title: str) -> str:
    """Return a reason without the event's title, which a provider's own words may repeat.

    `"my-web answered 422: Planning is too long"` with the title `Planning` becomes
    `"my-web answered 422: … is too long"`. Our own words, before the answer, stay.
    """
    words = " ".join(title[:_LONGEST_QUOTED].split())
    ours, answered, theirs = reason.partition(" answered ")
    if not words or not answered:
        return reason
    # Of a longer title the provider may have repeated any part.
    rest = ".*" if len(title) > _LONGEST_QUOTED else r"(?!\w)"
    return ours + answered + re.sub(rf"(?<!\w){re.escape(words)}{rest}", "…", theirs, flags=re.I)


def _duration(content: ConferenceContent) -> timedelta:
    if content.start.moment and content.end.moment:
        return content.end.moment - content.start.moment
    if content.start.day and content.end.day:
        return content.end.day - content.start.day
    return timedelta()
