"""Each input agrees with its lock: what is asked for is what is installed. Needs no network."""

from __future__ import annotations

import re

import pytest

from tests.support.locks import ROOT, asked, brought_by, lines, locked

SHIPPED = ("requirements.in", "requirements.txt")
DEVELOPED = ("requirements-dev.in", "requirements-dev.txt")
OPERATED = ("requirements-cli.in", "requirements-cli.txt")
BOTH = pytest.mark.parametrize(("source", "lock"), [SHIPPED, OPERATED, DEVELOPED])


@BOTH
def test_every_pin_of_the_input_stands_in_the_lock(source: str, lock: str) -> None:
    """`make lock` was run after the last change of the input."""
    pins = {name: str(each.specifier) for name, each in asked(source).items()}
    assert all(re.fullmatch(r"==[\w.]+", pin) for pin in pins.values()), pins
    held = {name: str(each.requirement.specifier) for name, each in locked(lock).items()}
    assert pins.items() <= held.items()


@pytest.mark.parametrize("lock", [SHIPPED[1], OPERATED[1], DEVELOPED[1]])
def test_every_package_of_a_lock_has_its_hashes(lock: str) -> None:
    """pip then refuses a file that is not the one which was looked at."""
    for name, each in locked(lock).items():
        assert each.hashes, name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", text) for text in each.hashes), name


@BOTH
def test_a_lock_holds_all_that_its_input_brings_and_nothing_else(source: str, lock: str) -> None:
    """A package that is dropped from the input leaves the lock, with all that only it brought."""
    requirements = list(asked(source).values())
    if source == DEVELOPED[0]:
        requirements += [*asked(SHIPPED[0]).values(), *asked(OPERATED[0]).values()]
    held = {name for name, each in locked(lock).items() if each.holds_here}
    assert held == brought_by(requirements)


def test_development_has_exactly_what_ships() -> None:
    """Tests run on the packages, versions and files that the cloud installs."""
    assert locked(SHIPPED[1]).items() <= locked(DEVELOPED[1]).items()


@pytest.mark.parametrize("name", [*SHIPPED, *DEVELOPED])
def test_no_file_names_an_index(name: str) -> None:
    """Where packages come from is for each machine to know."""
    assert "://" not in (ROOT / name).read_text()
    options = {line.split()[0] for line in lines(name) if line.startswith("-")}
    assert options <= {"-r", "-c"}
