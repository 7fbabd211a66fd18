"""Every command of the pages that people work by runs in a test, in its order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.shell import WALKS, Walk

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted({walk.page for walk in WALKS.values()})

PROGRAM = r"(?:ccsync|curl|gcloud|git|gsutil|make|npm|pip|pipx|python|terraform)"
# What is mentioned beside the blocks, and which test runs it.
RUN_ELSEWHERE = {
    "make reference": "tests/cli/test_package.py",
    "make demo KEEP=1": "tests/processes/test_demo.py",
    "ccsync completion fish | source": "tests/cli/test_errors.py",
    "ccsync keys rotate --finish": "tests/cli/test_gcloud_commands.py",
    "ccsync keys rotate": "tests/cli/test_gcloud_commands.py",
    "gcloud auth print-identity-token": "tests/agreement/test_terraform_documentation.py",
}


def mentioned(page: str) -> set[str]:
    """Return the commands of a page that stand in indented blocks, or in a line of text."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(rf"^ {{4}}({PROGRAM} .*)$", text, re.MULTILINE)
    inline = re.findall(rf"`({PROGRAM} [^`\n]*)`", text)
    return {command.strip() for command in (*indented, *inline)}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_shows_is_in_a_block_that_a_test_runs(page: str) -> None:
    """One that is only mentioned is part of a block of these pages, or has a test of its own."""
    run = "\n".join(block for walk in WALKS.values() for block in walk.blocks())
    others = {command for command in mentioned(page) if command not in run}
    assert others - set(RUN_ELSEWHERE) - of_outputs(others) == set()


def of_outputs(commands: set[str]) -> set[str]:
    """Those that read one output of the module, all of which test_terraform_life.py has after an
    apply."""
    outputs = re.findall(r'^output "(\w+)"', (ROOT / "terraform/outputs.tf").read_text(), re.M)
    return commands & {f"terraform output {name}" for name in outputs}


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_belongs_to_one_walk(page: str) -> None:
    """Parts of a page do not overlap, and nothing is between them."""
    parts = [walk.blocks() for walk in WALKS.values() if walk.page == page]
    assert [block for part in parts for block in part] == Walk(page=page).blocks()


@pytest.mark.parametrize("name", WALKS)
def test_every_walk_is_taken_by_a_test(name: str) -> None:
    """`commands_of` gives a test the script, and a desk runs it to its end."""
    tests = [path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    assert any(re.search(rf"commands_of\(['\"]{name}['\"]\)", text) for text in tests)


def test_what_runs_elsewhere_has_its_test() -> None:
    """No row of the table outlives its command or its test."""
    assert set(RUN_ELSEWHERE) <= {each for page in PAGES for each in mentioned(page)}
    assert all((ROOT / path).exists() for path in RUN_ELSEWHERE.values())


def test_a_command_that_no_test_runs_is_noticed(tmp_path: Path) -> None:
    """The control: in an indented block, and in a line of text."""
    page = tmp_path / "page.md"
    page.write_text("Then\n\n    gcloud tasks queues purge q\n\nor `terraform taint x`.\n")
    assert mentioned(str(page)) == {"gcloud tasks queues purge q", "terraform taint x"}
