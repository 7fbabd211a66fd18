"""Writes docs/rules.md, the rules of behaviour with the tests that show them: `make rules`.

A test belongs to a rule if its name starts with the rule's code (`test_e5_…`, `test_e5_c1_…` for
two), or if a row of its table is named after the rule (`"E5-…"`).
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "rules.md"

GROUPS = {
    "N": ("Notification intake", "sync/intake/"),
    "S": ("One calendar's sync", "sync/run/"),
    "E": ("What one changed event means", "sync/event/"),
    "O": ("Ownership: a link is no proof", "sync/event/ownership.py"),
    "C": ("Providers", "sync/conferencing/"),
    "W": ("Writing to Calendar", "sync/event/write_back.py"),
    "H": ("Channels", "sync/operate/channels.py"),
    "A": ("The add-on", "sync/operate/create.py"),
}

# Code, what it is about, and one sentence that says what holds.
RULES = {
    "N1": (
        "Signed channel tokens",
        "A notification counts only with a token that we signed for this channel and calendar, and "
        "every refusal is the same empty 403.",
    ),
    "N2": (
        "Greetings",
        "The first notification of a new channel is answered and enqueues nothing.",
    ),
    "N3": (
        "Bursts",
        "The notifications of one burst make two tasks at most, the last change is not lost, and "
        "an isolated notification waits for nothing.",
    ),
    "N4": (
        "No task, no success",
        "If the task cannot be created the answer is 503, so that Calendar notifies again, and a "
        "task that exists already is a success.",
    ),
    "S1": (
        "One run per calendar",
        "A run holds the calendar's lease, a task that finds the lease held answers 409, and a run "
        "that outlived its lease writes nothing.",
    ),
    "S2": (
        "Every page since the token",
        "A sync lists every page since the sync token with the same parameters, and stores the new "
        "token last.",
    ),
    "S3": (
        "Expired tokens",
        "An expired token leads to a full sync that also looks up every link whose event did not "
        "come back, and a calendar whose tokens always expire is polled.",
    ),
    "S4": (
        "Long calendars",
        "Pages stream, and a run that is out of time saves its place and enqueues the rest.",
    ),
    "S5": (
        "Safe to repeat",
        "A task that is delivered twice, or stops anywhere and runs again, changes nothing twice.",
    ),
    "S6": (
        "One event harms no other",
        "Whatever an event holds, only this event is affected, and taking over its failure cannot "
        "itself fail.",
    ),
    "S7": (
        "Retries do not multiply",
        "A calendar that cannot be synced leaves one retry with growing delay, and shows how many "
        "runs failed, since when, and why.",
    ),
    "S8": (
        "Frozen workers",
        "A run that finds its lease or its write lost after a call marks what it sent as unsure, "
        "and the next run sends the present state.",
    ),
    "E1": (
        "Recognition",
        "An event carries a conference by its conference data or our own property (strong "
        "evidence), or by one join link in its location (weak evidence).",
    ),
    "E2": (
        "Cancelled events",
        "A cancelled event deletes its conference after a grace, unless the event comes back or "
        "was moved to another watched calendar.",
    ),
    "E3": (
        "Conference taken off, or replaced",
        "A conference that its event does not carry any more is deleted, and a new one is "
        "followed.",
    ),
    "E4": (
        "Changes that matter",
        "A change that matters to the provider is sent, and any other change makes no call.",
    ),
    "E5": (
        "Series and occurrences",
        "The series owns the conference: a cancelled or moved occurrence never deletes or moves "
        "it, and goes to providers that have occurrences.",
    ),
    "E6": (
        "The organiser's copy decides",
        "What an attendee does to their own copy changes nothing, and an event whose details are "
        "hidden from us says nothing.",
    ),
    "E7": (
        "Shared conferences",
        "A conference that several events carry follows the first of them, and is deleted when the "
        "last of them lets go.",
    ),
    "E8": (
        "Odd events",
        "Odd events are handled, a malformed event is parked, and the page goes on.",
    ),
    "O1": (
        "No change without proof",
        "Nothing is changed at a provider before its own answer has shown that the conference is "
        "this event's.",
    ),
    "O2": (
        "The proof",
        "One read at first sight shows that the conference exists, that its host belongs to the "
        "event, that it can be scheduled, and that it fits the event.",
    ),
    "O3": (
        "Left alone",
        "What fails the proof is remembered with its reason, listed, and looked at again when the "
        "event changes and once a day.",
    ),
    "O4": (
        "Nothing in place of what was never reached",
        "A link that is not found at first sight is left alone, and no conference is created for "
        "it.",
    ),
    "O5": (
        "People's settings survive",
        "Passcode, waiting room, hosts, registration and mail settings survive every call.",
    ),
    "C1": ("One small protocol", "Every provider is one adapter behind the same small protocol."),
    "C2": (
        "Credentials",
        "Credentials come from Secret Manager and are read again after a 401, so that a rotated "
        "secret needs no deploy.",
    ),
    "C3": (
        "Every answer has a class",
        "An answer is done, gone, later, invalid or credentials, and `Retry-After` is obeyed.",
    ),
    "C4": (
        "Created anew",
        "A followed conference that is gone while its event lives is created anew, once.",
    ),
    "C5": (
        "Failing events",
        "A failing event gets a retry of its own and is parked at last, and the others go on.",
    ),
    "C6": (
        "Side by side",
        "The calls of a page run side by side, never two for one conference, within the limits of "
        "the provider.",
    ),
    "W1": ("If-Match", "Events are written with `If-Match`, and a person's edit always wins."),
    "W2": (
        "Our own writes",
        "The sync after our own write does nothing, and writes to one event are capped.",
    ),
    "W3": (
        "Calendar's errors",
        "Calendar's errors go by their reason, and a calendar without access is broken, says why, "
        "and heals.",
    ),
    "W4": (
        "The way in as text",
        "Where Calendar takes no conference data from us, the join link goes to the location and "
        "the description.",
    ),
    "H1": ("Starting", "Starting twice is harmless, and no change falls between."),
    "H2": (
        "Renewing",
        "Channels are renewed with overlap, and a calendar that cannot be watched is polled.",
    ),
    "H3": (
        "Stopping",
        "Stopping forgets everything but the conferences, and an orphan channel is stopped when it "
        "rings.",
    ),
    "H4": (
        "Starts and stops overlap",
        "Starts, stops, renewals and runs may overlap in any order, and one recorded channel is "
        "left in the end.",
    ),
    "A1": (
        "The user's token",
        "`create_conference` checks the user's ID token, acts as this user, and answers every "
        "refusal with the same empty 401.",
    ),
    "A2": (
        "Events that do not exist yet",
        "For an unsaved event a placeholder is created, and the first sync brings its title and "
        "times.",
    ),
    "A3": (
        "One conference",
        "However often it is asked for, an event has one conference of a solution.",
    ),
    "A4": (
        "The calendar is started",
        "The user's calendar is started, and a start that fails does not stop the conference.",
    ),
    "A5": (
        "Conferences that nobody took",
        "A conference that no event carries `SYNC_ADOPT_SECONDS` after its making is deleted.",
    ),
    "A6": (
        "In time",
        "The answer comes within 25 seconds, or says TEMPORARY and the repetition returns what was "
        "made.",
    ),
    "A7": (
        "One list of solutions",
        "The add-on's manifest and `SYNC_PROVIDERS` are made from one list.",
    ),
    "A8": (
        "Start by the user",
        "A user can start their own calendar, and see only its status.",
    ),
}

_TEST = re.compile(r"^\s*(?:async )?def (test_\w+)\(", re.MULTILINE)
_ROW = re.compile(r"""["']([A-Z]\d)-[^"'\n]+["']""")


def tests_of_rules() -> dict[str, list[tuple[Path, str]]]:
    """Return file and name of the tests of each rule, in the order of the files."""
    found: dict[str, list[tuple[Path, str]]] = {rule: [] for rule in RULES}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text()
        file = path.relative_to(ROOT)
        starts = [(match.start(), match[1]) for match in _TEST.finditer(text)]
        for _, name in starts:
            for part in name.removeprefix("test_").split("_"):
                if part.upper() not in found:
                    break
                found[part.upper()].append((file, name))
        for match in _ROW.finditer(text):
            if match[1] in found:
                # The rows stand above the test that they are given to.
                name = next((name for start, name in starts if start > match.start()), path.stem)
                if (file, name) not in found[match[1]]:
                    found[match[1]].append((file, name))
    return found


def page() -> str:
    """Return docs/rules.md: a heading and one sentence for each rule, its tests as a list."""
    lines = [
        "# Rules of behaviour",
        "",
        "Each rule has a code. Comments in the code and the names of tests cite it. `make rules`",
        "writes this page, and a test checks that the page is up to date.",
    ]
    tests = tests_of_rules()
    for letter, (title, place) in GROUPS.items():
        lines += ["", f"## {title}", "", f"Carried out in [{place}](../{place})."]
        for rule in (rule for rule in RULES if rule.startswith(letter)):
            heading, sentence = RULES[rule]
            lines += ["", f"### {rule} {heading}", "", sentence]
            files: dict[Path, list[str]] = {}
            for file, name in tests[rule]:
                files.setdefault(file, []).append(name)
            if files:
                lines += ["", "<details><summary>Tests</summary>", ""]
                for file, names in files.items():
                    lines.append(f"- [{file}](../{file})")
                    lines += [f"  - `{name}`" for name in names]
                lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
