"""Every link of every page leads where it says, and the README leads to each rule in two clicks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.rules import RULES

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted(
    path.relative_to(ROOT)
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("*/README.md"))
)

_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def links(page: Path) -> list[str]:
    """Return where a page's links lead, without those that leave the repository."""
    text = _CODE.sub("", (ROOT / page).read_text())
    return [link for link in _LINK.findall(text) if "://" not in link and ":" not in link]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Files exist, and headings do where one is named."""
    wrong = []
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


def test_two_clicks_lead_from_the_readme_to_the_rule_of_series() -> None:
    """Why does a cancelled occurrence never delete the series' meeting? The README's page of
    concepts says so, and links to the file."""
    assert "docs/concepts.md" in links(Path("README.md"))
    concepts = (ROOT / "docs" / "concepts.md").read_text()
    (line,) = [line for line in concepts.splitlines() if line.startswith("| E5 ")]
    assert "cancelled" in line
    assert "occurrence" in line
    assert "../sync/event/series.py" in line


@pytest.mark.parametrize("page", ["README.md", "docs/deploy.md"])
def test_who_deploys_signs_gcloud_in_before_a_token_is_asked_for(page: str) -> None:
    """Signing Terraform in does not sign `gcloud` in, and its token is the second thing needed."""
    text = (ROOT / page).read_text()
    signed_in = [text.index(f"gcloud auth {way}") for way in ("login", "application-default login")]
    assert max(signed_in) < text.index("gcloud auth print-identity-token")


def test_the_page_of_concepts_has_every_rule_once() -> None:
    """One line for each, in the order of `tests/support/rules.py`."""
    concepts = (ROOT / "docs" / "concepts.md").read_text()
    assert re.findall(r"^\| ([A-Z]\d) \|", concepts, re.MULTILINE) == list(RULES)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_name_targets_of_the_makefile(page: Path) -> None:
    """A `make` command that a page names exists."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = (ROOT / page).read_text()
    named = set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", text, re.MULTILINE))
    assert named <= targets
