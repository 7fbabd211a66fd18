"""Writes docs/rules.md: every rule of behaviour with the tests that show it. `python -m
tests.support.rules`."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "rules.md"

RULES = {
    "N1": "Channel tokens are signed, stateless and short; every refusal is the same empty 403, nothing is enqueued.",
    "N2": "The greeting of a new channel is acknowledged and enqueues nothing.",
    "N3": "A burst of notifications makes two tasks, its last change is not lost; an isolated one waits for nothing.",
    "N4": "Without a task, 503, and Calendar rings again; other methods 405; a task that exists already is success.",
    "S1": "One run at a time per calendar, by a lease; held: 409; a run that outlived its lease writes nothing.",
    "S2": "Every page since the token, always listed in the same way; the new token is stored last.",
    "S3": "An expired token leads to a full sync and a sweep; one that always expires, to polling.",
    "S4": "Pages stream; a run that is out of time saves its place and the queue brings the rest.",
    "S5": "Whatever is delivered twice, or stops anywhere and is run again, changes nothing twice.",
    "E1": "Which conference of ours an event carries.",
    "E2": "A cancelled event deletes its conference after a grace, unless it comes back or was moved.",
    "E3": "A conference taken off its event is deleted; a replaced one is deleted and the new one followed.",
    "E4": "A change that matters to the provider is sent, any other makes no call.",
    "E5": "The series owns the conference; occurrences go to providers that have them.",
    "E6": "The organiser's copy decides.",
    "E7": "A conference that several events carry follows the first, and is deleted when the last lets go.",
    "E8": "Odd events are handled, malformed ones parked; the page goes on.",
    "C1": "One small protocol for every provider.",
    "C2": "Credentials from Secret Manager, read again after a 401.",
    "C3": "Every answer is done, gone, later, invalid or credentials; Retry-After is obeyed.",
    "C4": "A conference that is gone while its event lives is created anew, once.",
    "C5": "A failing event gets a task of its own and is parked at last; the others go on.",
    "C6": "Calls of a page run side by side, never two for one conference; a provider's limits are shared.",
    "W1": "Events are written with If-Match; a person's edit always wins.",
    "W2": "Our own write changes nothing, and writes to one event are capped.",
    "W3": "Calendar's errors go by reason; a calendar without access is broken, says why, and heals.",
    "W4": "Where Calendar takes no conference data from us, the way in is text.",
    "H1": "Starting twice is harmless, and no change falls between.",
    "H2": "Channels are renewed with overlap; what cannot be watched is polled.",
    "H3": "Stopping forgets everything but the conferences; orphan channels are stopped when they ring.",
}

_TEST = re.compile(r"^\s*(?:async )?def (test_\w+)\(", re.MULTILINE)
_ID = re.compile(r"""["']([NSECWH]\d)-[^"'\n]+["']""")


def tests_of_rules() -> dict[str, list[str]]:
    """Return `file::test` by rule: tests whose name begins with rules, and those with rows named
    after one."""
    found: dict[str, list[str]] = {rule: [] for rule in RULES}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text()
        starts = [(match.start(), match[1]) for match in _TEST.finditer(text)]
        for _, name in starts:
            for part in name.removeprefix("test_").split("_"):
                if part.upper() not in found:
                    break
                found[part.upper()].append(f"{path.name}::{name}")
        for match in _ID.finditer(text):
            if match[1] not in found:
                continue
            following = next((name for start, name in starts if start > match.start()), path.stem)
            label = f"{path.name}::{following}"
            if label not in found[match[1]]:
                found[match[1]].append(label)
    return found


def page() -> str:
    lines = [
        "# Rules of behaviour, and the tests that show them",
        "",
        "Made from the tests' names by `python -m tests.support.rules`; a test checks that it is up to date and no rule is",
        "without one.",
        "",
        "| rule | what holds | tests |",
        "|---|---|---|",
    ]
    for rule, tests in tests_of_rules().items():
        names = "<br>".join(f"`{name}`" for name in tests)
        lines.append(f"| {rule} | {RULES[rule]} | {names} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
