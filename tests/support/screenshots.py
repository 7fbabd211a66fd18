"""Makes the screenshots of README and docs from a real run: `python -m tests.support.screenshots`.

Needs Playwright and a Chromium, as tests/processes/test_page.py does.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import FloatRect, sync_playwright

from sandbox.page import Page
from sandbox.page.week import ZONE, fill, next_monday
from sandbox.world import World

IMAGES = Path(__file__).resolve().parent.parent.parent / "docs" / "images"


def main() -> None:
    """Drag an event on the page, open the line of the change, and keep what is seen."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, World(Path(directory)) as world:
        fill(world, next_monday())
        with Page(world) as page, sync_playwright() as playwright:
            page.watch()
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            tab = browser.new_page(
                timezone_id=ZONE,
                locale="en-GB",
                viewport={"width": 1280, "height": 1400},
                reduced_motion="reduce",
            )
            tab.goto(page.url)
            box = tab.locator(".fc-event", has_text="Interview").bounding_box()
            assert box is not None
            tab.mouse.move(box["x"] + 30, box["y"] + 10)
            tab.mouse.down()
            tab.mouse.move(box["x"] + 30, box["y"] + 68, steps=10)
            tab.mouse.up()
            line = tab.locator("#change-list li", has_text="moved").first
            line.get_by_text("reached the conference").wait_for()
            line.locator("summary").click()
            tab.mouse.move(0, 0)
            seen = line.bounding_box()
            assert seen is not None
            whole = FloatRect(x=0, y=0, width=1280, height=seen["y"] + seen["height"] + 8)
            tab.screenshot(path=IMAGES / "sandbox.png", clip=whole)
            browser.close()


if __name__ == "__main__":
    main()
