"""Tables that a command writes into a page: each stands between two markers.

<!-- made by `make load` -->
| store | … |
<!-- end -->
"""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"

_END = "<!-- end -->"


def read(page: Path, command: str) -> str:
    """Return what stands between the markers of a command, such as `make load`."""
    return page.read_text().partition(_begin(command))[2].partition(_END)[0].strip("\n")


def write(page: Path, command: str, text: str) -> None:
    """Put a text between the markers of a command. Raises ValueError if the page has none."""
    before, begin, rest = page.read_text().partition(_begin(command))
    if not begin:
        raise ValueError(f"{page.name} has no place for what `{command}` makes")
    page.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{_END}{rest.partition(_END)[2]}")


def _begin(command: str) -> str:
    return f"<!-- made by `{command}` -->"
