"""The sandbox's page in a real browser: drag an event, and its conference follows.

Needs a Chromium on the machine (Debian: `apt-get install chromium`), and is skipped without one,
unless REQUIRE_CHROMIUM=true.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, expect, sync_playwright
from playwright.sync_api import Page as Tab

from sandbox.page import Page
from sandbox.page.server import PORTS
from sandbox.page.troubles import TROUBLES
from sandbox.page.week import ZONE, fill, next_monday
from sandbox.story import ANNA, TEAM
from sandbox.world import World, calendar_path
from tests.support.shell import commands_of

ROOT = Path(__file__).resolve().parent.parent.parent
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
if CHROMIUM is None and os.environ.get("REQUIRE_CHROMIUM") != "true":
    pytest.skip("there is no Chromium", allow_module_level=True)


pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

expect.set_options(timeout=30_000)

ZOE = "zoe@example.com"

# A machine that does other things answers late. Every wait below ends with an observed state.
PATIENCE_MILLISECONDS = 30_000


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    # Long enough for a slow machine to bring what saves a conference before the grace is over.
    settings = {"SYNC_DELETE_GRACE_SECONDS": "60"}
    with World(tmp_path_factory.mktemp("page"), settings=settings, addon=True) as world:
        fill(world, next_monday())
        yield world


@pytest.fixture(scope="module")
def page(world: World) -> Iterator[Page]:
    with Page(world) as page:
        page.watch()
        yield page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Containers give Chromium no sandbox of its own; the page is ours.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def context(page: Page, browser: Browser) -> Iterator[BrowserContext]:
    """What most tabs share. The page keeps nothing there but a theme that was chosen.

    A tab that stays keeps Chromium's process for the page alive, with the scripts that it has
    compiled: opening a tab in a process of its own takes more than twice as long.
    """
    with context_of(browser) as context:
        context.new_page().goto(f"{page.url}/files/icon.svg")
        yield context


@pytest.fixture
def tab(world: World, page: Page, context: BrowserContext) -> Iterator[Tab]:
    day = event_of(world, "Dentist")["start"]["dateTime"][:10]
    with opened(f"{page.url}#{day}", context) as tab:
        yield tab


def context_of(browser: Browser, **options: Any) -> BrowserContext:
    options = {"viewport": {"width": 1400, "height": 1500}, **options}
    context = browser.new_context(timezone_id=ZONE, locale="en-GB", **options)
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    return context


@contextlib.contextmanager
def opened(url: str, context: BrowserContext) -> Iterator[Tab]:
    """A tab with the page; no error of its script may pass unseen."""
    errors: list[str] = []
    with context.new_page() as tab:
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(url)
        tab.wait_for_selector("#conferences li")
        yield tab
    assert errors == []


@pytest.fixture
def calm(world: World) -> Iterator[None]:
    """The troubles of a test end with it."""
    yield
    world.system.faults.clear()
    world.calendar.faults.clear()
    world.calendar.settings.update({"push_loss": 0.0, "addon_writes": "refuse"})
    for failure in world.manage("GET", "/failures?state=all").json()["failures"]:
        world.manage("DELETE", f"/failures/{failure['id']}")
    world.quiet()


def event_of(world: World, title: str, calendar_id: str = ANNA) -> dict[str, Any]:
    return next(each for each in world.calendar.events(calendar_id) if each.get("summary") == title)


def shown(tab: Tab, title: str) -> Locator:
    """The event in the week."""
    return tab.locator(".fc-event", has_text=title).first


# Friday to Sunday, an hour for each event: events that overlap hide each other. The week ends at
# 20:00, and below each there is room to be dragged to.
_places = itertools.product(range(3), range(9, 18))


def made(world: World, title: str, calendar_id: str = ANNA) -> tuple[str, str]:
    """Put an event with a conference into the shown week; returns the ids of both."""
    day, hour = next(_places)
    friday = datetime.fromisoformat(event_of(world, "Dentist")["start"]["dateTime"])
    begin = friday.astimezone(ZoneInfo(ZONE)).replace(hour=hour) + timedelta(days=day)
    data = world.conference(host=calendar_id)
    times = {
        name: {"dateTime": moment.isoformat(), "timeZone": ZONE}
        for name, moment in (("start", begin), ("end", begin + timedelta(hours=1)))
    }
    body = {"summary": title, **times, "conferenceData": data}
    event_id = str(world.calendar.seed_event(calendar_id, body)["id"])
    conference_id = str(data["conferenceId"])
    world.wait(lambda: world.system.title(conference_id) == title, f"the conference of {title}")
    at_rest(world, calendar_id)
    return event_id, conference_id


def at_rest(world: World, calendar_id: str) -> None:
    """Wait until no sync of this calendar is to come; one of another calendar may be.

    A calendar that rings twice within a second is synced once more, up to three seconds later (N3):
    before that run a test may not say that nobody rang.
    """

    def is_to_be_synced() -> bool:
        return {"calendar_id": calendar_id} in [task.body for task in world.tasks.pending()]

    world.quiet()
    while is_to_be_synced():
        world.wait(lambda: not is_to_be_synced(), f"the last sync of {calendar_id}")
        world.quiet()


def drag_down(
    tab: Tab,
    title: str,
    *,
    slots: int,
    by_edge: bool = False,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Take hold of an event, or of its lower edge, and let go so many half hours lower."""
    slot = tab.locator(".fc-timegrid-slot-lane").first.bounding_box()
    assert slot is not None
    x, y = pressed(tab, shown(tab, title), by_edge=by_edge)
    meanwhile()
    tab.mouse.move(x, y + slots * slot["height"], steps=10)
    tab.mouse.up()


def pressed(tab: Tab, event: Locator, *, by_edge: bool) -> tuple[float, float]:
    """Press on its middle, which a line that grows above the week may move until then."""
    grip = event.locator(".fc-event-resizer-end") if by_edge else event
    for _ in range(20):
        event.hover()  # shows its edge
        place = grip.bounding_box()
        if place is None:
            continue  # It was drawn anew below the pointer, and hides its edge until that moves.
        x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
        tab.mouse.move(x, y)
        tab.mouse.down()
        if grip.bounding_box() == place:
            return x, y
        tab.mouse.up()
        tab.keyboard.press("Escape")  # whatever else was pressed
    raise AssertionError("it never stands still")


def told(tab: Tab, text: str) -> None:
    """Wait until the server has told the page of this, and the page has had time to draw it."""
    tab.evaluate(
        """text => new Promise(done => {
             const stream = new EventSource("/api/stream");
             stream.onmessage = message => {
               if (!message.data.replaceAll('": "', '":"').includes(text)) return;
               stream.close();
               requestAnimationFrame(() => requestAnimationFrame(done));
             };
           })""",
        text,
    )


def make_trouble(tab: Tab, name: str) -> None:
    """Press the button, and wait until the server has done what it says."""
    with tab.expect_response("**/api/trouble") as answer:
        tab.get_by_role("button", name=TROUBLES[name].says, exact=True).click()
    assert answer.value.ok, answer.value.text()


def rename(tab: Tab, title: str, new: str) -> None:
    """By the event's menu, as a person would."""
    shown(tab, title).click()
    tab.get_by_role("button", name="Rename…").click()
    tab.get_by_label("Title").last.fill(new)
    tab.locator("#ask").get_by_role("button", name="Save").click()


def test_an_event_is_dragged_and_its_conference_follows(world: World, tab: Tab) -> None:
    """The promise of the page: the conference has the new time, and a line tells how."""
    event = event_of(world, "Interview")
    conference_id = event["conferenceData"]["conferenceId"]
    before = world.system.begins(conference_id)
    assert before is not None
    drag_down(tab, "Interview", slots=2)
    follows = world.wait(
        lambda: next((x for x in [world.system.begins(conference_id)] if x != before), None),
        "the conference of the dragged event",
    )
    dragged = event_of(world, "Interview")["start"]["dateTime"]
    assert follows == datetime.fromisoformat(dragged) > before
    line = tab.locator("#change-list li", has_text="Interview").first
    expect(line).to_contain_text("moved")
    expect(line).to_contain_text("reached the conference after")
    line.locator("summary").click()
    expect(line).to_contain_text("(E4)")
    for step in ("push", "queue", "run", "listing", "provider"):
        expect(line.get_by_role("rowheader", name=step, exact=True).first).to_be_visible()
    expect(tab.locator("#done-list li").first).to_contain_text("curl -s -X PATCH")
    # A worker that another test killed holds its calendar for a minute.
    expect(tab.locator("#summary")).to_contain_text("In step", timeout=90_000)


def test_an_event_is_resized(world: World, tab: Tab) -> None:
    """Its lower edge is dragged, and the conference ends later."""
    _, conference_id = made(world, "Stretched")
    before = world.system.ends(conference_id)
    assert before is not None
    drag_down(tab, "Stretched", by_edge=True, slots=1)
    world.wait(
        lambda: (world.system.ends(conference_id) or before) > before, "the longer conference"
    )


def test_an_event_that_changes_while_it_is_held_is_resized_all_the_same(
    world: World, tab: Tab
) -> None:
    """Somebody renames it between the press and the first move: it is drawn anew after the drop."""
    event_id, conference_id = made(world, "Held")
    before = world.system.ends(conference_id)
    assert before is not None

    def renamed() -> None:
        world.calendar.edit(ANNA, event_id, {"summary": "Renamed while held"})
        told(tab, '"title":"Renamed while held"')

    drag_down(tab, "Held", by_edge=True, slots=1, meanwhile=renamed)
    world.wait(
        lambda: (world.system.ends(conference_id) or before) > before, "the longer conference"
    )
    expect(shown(tab, "Renamed while held")).to_be_visible()


@pytest.mark.usefixtures("calm")
def test_a_press_meets_its_event_though_a_line_grows_above_the_week(world: World, tab: Tab) -> None:
    """A calendar breaks between press and release: its reason would move the event away."""
    made(world, "Pressed")
    event = shown(tab, "Pressed")
    event.hover(position={"x": 8, "y": 8})
    place = event.bounding_box()
    tab.mouse.down()
    world.calendar.grant_access(ANNA, role="freeBusyReader")
    world.deliver({"calendar_id": ANNA})
    told(tab, '"status":"broken"')
    assert event.bounding_box() == place
    tab.mouse.up()
    tab.get_by_role("button", name="Colour").click()
    expect(tab.locator("#calendars")).to_contain_text("broken")
    world.calendar.grant_access(ANNA, role="owner")
    world.manage("PUT", calendar_path(ANNA), {}).raise_for_status()


def test_the_keyboard_alone_is_enough(world: World, tab: Tab) -> None:
    """Tab reaches an event, Alt and an arrow move it, Enter opens its menu, which renames it."""
    _, conference_id = made(world, "By keys")
    before = world.system.begins(conference_id)
    assert before is not None
    focused = "document.activeElement?.getAttribute('aria-label') ?? ''"
    expect(shown(tab, "By keys")).to_be_visible()
    for _ in range(60):
        tab.keyboard.press("Tab")
        if tab.evaluate(focused).startswith("By keys"):
            break
    else:
        pytest.fail("Tab does not reach the event")
    tab.keyboard.press("Alt+ArrowDown")
    world.wait(
        lambda: world.system.begins(conference_id) == before + timedelta(minutes=15),
        "the conference of the moved event",
    )
    # The event was drawn anew, and is focused still.
    expect(shown(tab, "By keys")).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab.locator("#menu")).to_be_visible()
    tab.keyboard.press("Enter")
    expect(tab.locator("#ask")).to_be_visible()
    tab.keyboard.press("Control+A")
    tab.keyboard.type("Typed")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    world.wait(lambda: world.system.title(conference_id) == "Typed", "the typed title")


def test_an_event_is_made_with_a_conference(world: World, tab: Tab) -> None:
    """The dialog goes the add-on's way: `create_conference` is asked before the event exists."""
    created = world.system.created
    tab.get_by_role("button", name="New event").click()
    form = tab.locator("#event-form")
    form.get_by_label("Title").fill("From the dialog")
    form.get_by_role("button", name="Save").click()
    [conference_id] = world.wait(
        lambda: world.system.titled("From the dialog"), "the conference of the new event"
    )
    assert world.system.created == created + 1
    data = event_of(world, "From the dialog")["conferenceData"]
    assert data["conferenceId"] == conference_id
    expect(tab.locator("#done-list li").first).to_contain_text("/pick")
    expect(tab.locator("#conferences li", has_text="From the dialog")).to_be_visible()


def test_the_documented_way_to_an_event_with_a_conference(world: World, page: Page) -> None:
    """The recipe of docs/sandbox.md, with this page's address."""
    script = commands_of("event").replace("http://127.0.0.1:8800", page.url.rstrip("/"))
    command = ["bash", "-euo", "pipefail", "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    data = event_of(world, "Lunch")["conferenceData"]
    world.wait(lambda: world.system.titled("Lunch") == [data["conferenceId"]], "the title")


def test_a_deleted_event_is_a_ghost_and_comes_back(world: World, tab: Tab) -> None:
    """Its grace counts down, and restoring it in time leaves the conference untouched."""
    _, conference_id = made(world, "Gone and back")
    link = world.system.join_link(conference_id)
    shown(tab, "Gone and back").click()
    tab.get_by_role("button", name="Delete", exact=True).click()
    ghost = tab.locator(".fc-event.ghost", has_text="Gone and back")
    expect(ghost).to_contain_text("conference deleted in")
    ghost.click()
    tab.get_by_role("button", name="Restore").click()
    expect(tab.locator(".fc-event:not(.ghost)", has_text="Gone and back")).to_be_visible()
    rename(tab, "Gone and back", "Back")
    world.wait(lambda: world.system.title(conference_id) == "Back", "the conference")
    assert world.system.join_link(conference_id) == link


def test_an_event_goes_to_another_calendar(world: World, tab: Tab) -> None:
    """The menu moves it, and the conference goes on following it there."""
    event_id, conference_id = made(world, "Wandering")
    shown(tab, "Wandering").click()
    tab.get_by_role("button", name="Move to calendar…").click()
    tab.locator("#ask").get_by_label("Calendar").select_option(TEAM)
    tab.locator("#ask").get_by_role("button", name="Save").click()
    world.wait(lambda: world.calendar.get(TEAM, event_id), "the event in the other calendar")
    world.calendar.edit(TEAM, event_id, {"summary": "Wandered"})
    world.wait(lambda: world.system.title(conference_id) == "Wandered", "the conference")


def test_a_series_is_split_at_an_occurrence(world: World, tab: Tab) -> None:
    """ "This and following" makes a second series, which is drawn from there on."""
    expect(shown(tab, "Weekly")).to_be_visible()
    tab.locator(".fc-next-button").click()
    shown(tab, "Weekly").click()
    tab.get_by_role("button", name="Split here").click()
    expect(shown(tab, "Weekly (from here on)")).to_be_visible()
    first, second = (
        event_of(world, title)["recurrence"] for title in ("Weekly", "Weekly (from here on)")
    )
    assert "UNTIL" in first[0]
    assert "UNTIL" not in second[0]


def test_a_copy_and_a_colour_send_nothing(world: World, tab: Tab) -> None:
    """A second event carries the conference, and neither it nor a colour reaches the provider."""
    _, conference_id = made(world, "Doubled")
    writes = len(world.system.server.writes(conference_id))
    shown(tab, "Doubled").click()
    tab.get_by_role("button", name="Copy", exact=True).click()
    card = tab.locator("#conferences li", has_text="Doubled")
    expect(card).to_contain_text("Doubled (copy)")
    tab.locator(".fc-event", has_text="Doubled (copy)").click()
    tab.get_by_role("button", name="Colour").click()
    line = tab.locator("#change-list li", has_text="coloured").first
    expect(line).to_contain_text("nothing was sent")
    world.quiet()
    assert len(world.system.server.writes(conference_id)) == writes


def test_a_declining_guest_changes_nothing(world: World, tab: Tab) -> None:
    """The guest's copy is declined, drawn so, and the conference is as it was."""
    event_id, conference_id = made(world, "Declined")
    before = dict(world.system.conferences[conference_id])
    shown(tab, "Declined").click()
    tab.get_by_role("button", name="Decline as guest").click()
    expect(tab.locator(".fc-event.declined", has_text="Declined")).to_be_visible()
    world.quiet()
    after = world.system.conferences[conference_id]
    assert {**after, "attendees": None} == {**before, "attendees": None}
    assert world.calendar.get(ANNA, event_id) is not None


@pytest.mark.parametrize("name", ["token-expires", "provider-503", "provider-429", "rotated"])
@pytest.mark.usefixtures("calm")
def test_a_trouble_heals_by_itself(world: World, tab: Tab, name: str) -> None:
    """Whatever the button breaks, the next change reaches its conference."""
    _, conference_id = made(world, f"Before {name}")
    make_trouble(tab, name)
    rename(tab, f"Before {name}", f"After {name}")
    world.wait(
        lambda: world.system.title(conference_id) == f"After {name}", "the conference", seconds=60
    )


@pytest.mark.usefixtures("calm")
def test_a_killed_worker_is_followed_by_another(world: World, tab: Tab) -> None:
    """The change reaches its conference, and another worker is there for the next."""
    # A calendar of its own: the dead worker's lease holds it for a minute.
    world.start_calendar(ZOE, time_zone=ZONE)
    _, conference_id = made(world, "Before the end", ZOE)
    before = world.functions["sync_calendar"].pid
    make_trouble(tab, "worker-killed")
    rename(tab, "Before the end", "After the end")
    world.wait(lambda: world.system.title(conference_id) == "After the end", "the conference")
    # What was held may have had its effect before the kill.
    worker = world.functions["sync_calendar"]
    world.wait(lambda: worker.pid not in (None, before), "another worker")
    worker.wait_ready()
    assert world.deliver({"calendar_id": ANNA}).status_code == 200


@pytest.mark.usefixtures("calm")
def test_a_lost_notification_is_shown_and_the_next_one_mends_it(world: World, tab: Tab) -> None:
    """The line of the change says that nobody rang; the next edit brings both."""
    _, conference_id = made(world, "Unheard")
    make_trouble(tab, "push-lost")
    rename(tab, "Unheard", "Unheard of")
    line = tab.locator("#change-list li", has_text="Unheard of").first
    expect(line).to_contain_text("lost on purpose")
    expect(line).to_contain_text("on its way…")
    assert world.system.title(conference_id) == "Unheard"
    rename(tab, "Unheard of", "Heard")
    world.wait(lambda: world.system.title(conference_id) == "Heard", "the conference")


@pytest.mark.usefixtures("calm")
def test_a_refused_change_is_a_failure_that_can_be_retried(world: World, tab: Tab) -> None:
    """The failure is listed with its reason; Retry sends the change again and empties the list."""
    _, conference_id = made(world, "Refused")
    make_trouble(tab, "provider-400")
    rename(tab, "Refused", "Refused once")
    failure = tab.locator("#failure-list li", has_text="400")
    expect(failure).to_have_count(1)
    expect(tab.locator("#summary")).not_to_contain_text("0 failures")
    failure.get_by_role("button", name="Retry").click()
    world.wait(lambda: world.system.title(conference_id) == "Refused once", "the conference")
    expect(failure).to_have_count(0)


@pytest.mark.usefixtures("calm")
def test_a_failure_can_be_dismissed(world: World, tab: Tab) -> None:
    """The failure leaves the list, and the change is not sent."""
    _, conference_id = made(world, "Dropped")
    make_trouble(tab, "provider-400")
    rename(tab, "Dropped", "Dropped once")
    failure = tab.locator("#failure-list li", has_text="400")
    failure.get_by_role("button", name="Dismiss").click()
    expect(failure).to_have_count(0)
    assert world.system.title(conference_id) == "Dropped"


@pytest.mark.usefixtures("calm")
def test_a_persons_edit_during_our_write_wins(world: World, tab: Tab) -> None:
    """The event ends with the person's text and the new conference's link."""
    event_id, conference_id = made(world, "Contested")
    make_trouble(tab, "edit-during-write")
    card = tab.locator("#conferences li", has_text="Contested")
    card.get_by_role("button", name="Lose the conference").click()
    rename(tab, "Contested", "Contested again")
    event = world.wait(
        lambda: next(
            (
                found
                for found in [world.calendar.get(ANNA, event_id)]
                if found
                and "Edited during the write." in found.get("description", "")
                and found.get("location")
            ),
            None,
        ),
        "the event with both",
        seconds=60,
    )
    [new] = world.system.titled("Contested again")
    assert world.system.join_link(new) in event["location"]
    assert conference_id not in world.system.conferences


@pytest.mark.usefixtures("calm")
def test_reduced_sharing_deletes_nothing(world: World, tab: Tab) -> None:
    """While the calendar is shared as free/busy only, every conference stays; then it goes on."""
    event_id, conference_id = made(world, "Hidden")
    delivered = len(world.tasks.deliveries)
    make_trouble(tab, "sharing-reduced")
    world.wait(lambda: len(world.tasks.deliveries) > delivered, "a run that sees it")
    world.quiet()
    # Nothing was deleted, and no deletion waits for its grace.
    assert world.system.exists(conference_id)
    assert event_id not in [task.body.get("event_id") for task in world.tasks.pending()]
    make_trouble(tab, "sharing-restored")
    world.manage("PUT", calendar_path(ANNA), {}).raise_for_status()
    rename(tab, "Hidden", "Seen")
    world.wait(lambda: world.system.title(conference_id) == "Seen", "the conference", seconds=60)


@pytest.mark.usefixtures("calm")
@pytest.mark.parametrize(
    ("name", "setting"), [("addon-accepted", "accept"), ("addon-refused", "refuse")]
)
def test_calendar_takes_conference_data_or_not(
    world: World, tab: Tab, name: str, setting: str
) -> None:
    """Two buttons choose what Calendar says to the functions' conference data."""
    make_trouble(tab, name)
    assert world.calendar.settings.addon_writes == setting


@pytest.mark.usefixtures("calm")
def test_a_strangers_link_comes_into_the_calendar(world: World, tab: Tab) -> None:
    """The event shows the link of a conference that somebody else organises."""
    make_trouble(tab, "strangers-link")
    event = world.wait(lambda: event_of(world, "With a stranger's link"), "the event")
    [conference_id] = world.system.titled("A stranger's")
    assert world.system.join_link(conference_id) == event["location"]
    # Not ours: whatever becomes of the event, nothing but reads reaches the conference (O1).
    rename(tab, "With a stranger's link", "Renamed")
    line = tab.locator("#change-list li", has_text="Renamed").first
    expect(line).to_contain_text("nothing was sent")
    delivered = len(world.tasks.deliveries)
    world.calendar.cancel(ANNA, event["id"])
    world.wait(lambda: len(world.tasks.deliveries) > delivered, "a run that sees it")
    world.quiet()
    assert event["id"] not in [task.body.get("event_id") for task in world.tasks.pending()]
    assert world.system.server.writes(conference_id) == []
    assert world.system.title(conference_id) == "A stranger's"


@pytest.mark.usefixtures("calm")
def test_a_conference_is_lost_and_trouble_ends(world: World, tab: Tab) -> None:
    """One button deletes a conference at the provider, one disarms what waits to strike."""
    before = set(world.system.conferences)
    make_trouble(tab, "conference-lost")
    assert len(before - set(world.system.conferences)) == 1
    make_trouble(tab, "provider-503")
    make_trouble(tab, "calm")
    assert httpx.get(f"{world.system.url}/_sandbox/faults").json() == []


def test_the_story_plays_step_by_step(tab: Tab) -> None:
    """Each press plays one step, shows what was checked, and names the step that comes next."""
    lines = tab.locator("#story-lines")
    tab.get_by_role("button", name="Begin the story").click()
    following = tab.get_by_role("button", name="Next: ")
    for number in (1, 2):
        expect(following).to_be_enabled()
        expect(lines).to_contain_text(f"{number}  ")
        assert lines.inner_text().count("✓") >= number
        assert "✗" not in lines.inner_text()
        title = following.inner_text().removeprefix("Next: ")
        following.click()
        expect(lines).to_contain_text(title)


def test_every_trouble_has_its_button(tab: Tab) -> None:
    """No trouble is left out, and each is a button with a name."""
    names = tab.locator("#troubles button").all_inner_texts()
    assert names == [trouble.says for trouble in TROUBLES.values()]


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_both_themes(page: Page, browser: Browser, scheme: Any, dark: bool) -> None:
    """The page follows the system's theme, and a choice on the page goes before it."""
    brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
    with context_of(browser, color_scheme=scheme) as context, opened(page.url, context) as tab:
        assert (tab.evaluate(brightness) < 128) == dark
        tab.get_by_label("Theme").select_option("light" if dark else "dark")
        assert (tab.evaluate(brightness) < 128) != dark


def test_a_phone_shows_everything_in_one_column(page: Page, browser: Browser) -> None:
    """Nothing is wider than the screen, and the week shows a day."""
    viewport = {"width": 390, "height": 800}
    with context_of(browser, viewport=viewport) as context, opened(page.url, context) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        expect(tab.locator(".fc-timeGridDay-view")).to_be_visible()


@pytest.fixture
def hundred(world: World) -> Iterator[list[str]]:
    """More started calendars than `manage_calendars` lists on one page."""
    names = [f"person{number}@example.com" for number in range(100)]
    for name in names:
        world.start_calendar(name)
    world.quiet()
    yield names
    for name in names:
        world.manage("DELETE", calendar_path(name))
        world.calendar.remove_calendar(name)


def test_hundreds_of_calendars_are_shown_as_they_are_and_leave_room(
    hundred: list[str], tab: Tab
) -> None:
    """Each is `ok`, also those of a later page of the list, and the week stays in sight."""
    told = tab.locator("#calendars li", has_text="person")
    expect(told.filter(has_text="ok")).to_have_count(len(hundred))
    week = tab.locator("#calendar").bounding_box()
    assert week is not None
    assert week["y"] < 500
    assert tab.locator("#calendars").get_attribute("tabindex") == "0", "the keyboard scrolls it"


def test_a_calendar_may_be_removed_while_it_is_looked_at(world: World, tab: Tab) -> None:
    """Between the list of calendars and the look at one of them: the page goes on."""
    end = time.monotonic() + 2
    while time.monotonic() < end:
        world.calendar.add_calendar("brief@example.com")
        world.calendar.remove_calendar("brief@example.com")
    made(world, "Still seen")
    expect(shown(tab, "Still seen")).to_be_visible()


def test_everything_has_a_name(tab: Tab) -> None:
    """A screen reader finds a name for every button and event, and hears the summary change."""
    nameless = tab.evaluate(
        "[...document.querySelectorAll('button, select, input, .fc-event')].filter((each) =>"
        " !each.innerText?.trim() && !each.getAttribute('aria-label') && !each.labels?.length"
        " && !each.title).length"
    )
    assert nameless == 0
    assert tab.get_by_role("status").get_attribute("aria-live") == "polite"


def test_another_site_can_do_nothing(page: Page) -> None:
    """A form of another site, or a name that leads here, is refused."""
    body = {"trouble": "calm"}
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        refused = httpx.post(f"{page.url}api/trouble", json=body, headers=headers)
        assert refused.status_code == 403
    unknown = httpx.post(f"{page.url}api/do", json={"action": "explode"})
    assert (unknown.status_code, "there is no action" in unknown.json()["error"]) == (400, True)
    incomplete = httpx.post(f"{page.url}api/do", json={"action": "edit"})
    assert (incomplete.status_code, "incomplete" in incomplete.json()["error"]) == (409, True)


def documented() -> list[str]:
    """What the command of docs/sandbox.md makes `make` run, by this Python."""
    told = subprocess.run(
        ["bash", "-c", commands_of("sandbox")],
        cwd=ROOT,
        # By itself, also where `make test` runs this: it would print its folder as well.
        env={**os.environ, "MAKEFLAGS": "n", "MAKELEVEL": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    return [sys.executable, *shlex.split(told.stdout.splitlines()[-1])[1:]]


def test_the_command_prints_its_address_first_and_takes_the_next_free_port() -> None:
    """With port 8800 taken the page is at another one; both are the first line that is printed."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Taken by us or by somebody else: either way it is not free.
        if taken.connect_ex(("127.0.0.1", PORTS[0])) != 0:
            taken.close()
            taken = socket.create_server(("127.0.0.1", PORTS[0]))
        with subprocess.Popen(documented(), cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                url = process.stdout.readline().strip()
                port = int(url.rstrip("/").rpartition(":")[2])
                assert port > PORTS[0]
                # The page is there before the functions are.
                assert "Sandbox" in httpx.get(url).text
                while not httpx.get(f"{url}api/state").json()["ready"]:
                    time.sleep(0.1)
                process.terminate()
                assert process.wait(30) == 143
            finally:
                if process.poll() is None:
                    process.kill()
        taken.close()
