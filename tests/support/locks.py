"""Reads the lists of packages: `requirements*.in`, and the locks that `make lock` compiles."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """One package of a lock: name and version, where it is installed, hashes of its files."""

    requirement: Requirement
    hashes: frozenset[str]

    @property
    def holds_here(self) -> bool:
        """Whether it belongs on this platform and this Python."""
        marker = self.requirement.marker
        return marker is None or marker.evaluate()


def normal(name: str) -> str:
    """Return a package's name as all of its spellings have it: `PyYAML` gives `pyyaml`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lines(name: str) -> Iterator[str]:
    """Yield what a file says without its comments; a line that goes on is one line."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    for line in text.splitlines():
        said = re.sub(r"(^|\s)#.*", "", line).strip()
        if said:
            yield said


def asked(name: str) -> dict[str, Requirement]:
    """Return what an input file pins, by package; `-r` and `-c` lines are left out."""
    found = (Requirement(line) for line in lines(name) if not line.startswith("-"))
    return {normal(each.name): each for each in found}


def locked(name: str) -> dict[str, Locked]:
    """Return what a lock holds, by package."""
    found = {}
    for line in lines(name):
        text, *hashes = re.split(r"\s+--hash=", line)
        requirement = Requirement(text)
        found[normal(requirement.name)] = Locked(
            requirement=requirement, hashes=frozenset(each.strip() for each in hashes)
        )
    return found


def brought_by(requirements: list[Requirement]) -> set[str]:
    """Return these packages and all that they bring here, read from what is installed."""
    brought: set[str] = set()
    waiting = [(each, "") for each in requirements]
    done: set[tuple[str, str]] = set()
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = normal(requirement.name)
        brought.add(name)
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in done:
                done.add((name, wanted))
                needs = importlib.metadata.requires(name) or []
                waiting += [(Requirement(text), wanted) for text in needs]
    return brought
