"""`ccsync calendars`: five hundred from a file, and one by one."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sandbox.world import World
from tests.support.manage_server import ManageServer
from tests.support.operator import Operator, lines_of
from tests.support.shell import Desk, commands_of

ROOT = Path(__file__).resolve().parent.parent.parent
TEN_TO_ELEVEN = (("start", 10), ("end", 11))
ACCESS_REFUSED = "unauthorized_client: authorise the client id for delegation"


def users(path: Path, count: int) -> Path:
    """Write a file as Google's export of users looks."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["First Name [Required]", "Email Address [Required]", "Org Unit"])
        writer.writerows([f"User {n}", f"user{n}@example.com", "/"] for n in range(count))
    return path


def report_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["calendar_id"]: row for row in csv.DictReader(file)}


@pytest.mark.slow
def test_five_hundred_are_started_three_refused_two_repeated(
    tmp_path: Path, server: ManageServer, operator: Operator
) -> None:
    """The report names the three, the two were repeated, and a second run changes nothing."""
    file, report = users(tmp_path / "users.csv", 500), tmp_path / "report.csv"
    refused = {f"user{n}@example.com" for n in (7, 250, 499)}
    flaky = {f"user{n}@example.com" for n in (3, 333)}
    server.refused = dict.fromkeys(refused, ACCESS_REFUSED)
    server.fails_once = set(flaky)
    start = ("calendars", "start", "--users", str(file), "--as-subject", "--report", str(report))

    ran = operator(*start)

    assert ran.code == 1
    assert "500 calendars: 3 refused, 497 started; 2 needed more than one try" in ran.out
    assert all(name in ran.out for name in refused)
    rows = report_of(report)
    assert list(rows) == [f"user{n}@example.com" for n in range(500)]
    assert {name for name, row in rows.items() if row["outcome"] == "refused"} == refused
    assert {name for name, row in rows.items() if row["tries"] != "1"} == flaky
    assert all(ACCESS_REFUSED in rows[name]["reason"] for name in refused)
    assert server.calendars["user1@example.com"]["access"] == {"subject": "user1@example.com"}

    before, puts = dict(server.calendars), server.count("PUT")
    again = operator(*start)
    assert again.code == 1
    assert "3 refused, 497 unchanged" in again.out
    assert server.calendars == before
    assert server.count("PUT") == puts + 3

    status = operator("status")
    assert lines_of(status) == ["497 of 497 in step"]


def test_a_run_that_was_stopped_is_resumed(
    tmp_path: Path, server: ManageServer, operator: Operator
) -> None:
    """`--resume` reads the report and sends only what is not done."""
    file, report = users(tmp_path / "users.csv", 40), tmp_path / "report.csv"
    start = ("calendars", "start", "--users", str(file), "--report", str(report))
    server.refused = {"user20@example.com": "no"}
    assert operator(*start, "--parallel", "1").code == 1
    assert report_of(report)["user20@example.com"]["outcome"] == "refused"

    server.refused = {}
    server.requests.clear()
    resumed = operator(*start, "--resume")
    assert resumed.code == 0
    assert server.count("PUT") == 1
    assert {row["outcome"] for row in report_of(report).values()} == {"started"}


def test_without_access_nothing_more_is_sent(
    tmp_path: Path, server: ManageServer, operator: Operator
) -> None:
    """A refusal by Cloud Run ends the run with 4, and the report holds what was done."""
    file, report = users(tmp_path / "users.csv", 30), tmp_path / "report.csv"
    listing = (200, "application/json", '{"calendars": [], "next_page_token": null}')
    server.answers = [listing, *[(401, "text/html", "<h1>Unauthorized</h1>")] * 30]
    ran = operator("calendars", "start", "--users", str(file), "--report", str(report))
    assert ran.code == 4
    assert "gcloud auth list" in ran.err
    assert report_of(report) == {}
    assert server.count("PUT") < 30


def test_a_dry_run_sends_nothing(tmp_path: Path, server: ManageServer, operator: Operator) -> None:
    """It says who would be started and who is, and leaves no report."""
    server.add("user1@example.com")
    report = tmp_path / "report.csv"
    file = users(tmp_path / "users.csv", 3)
    ran = operator(
        *("calendars", "start", "--users", str(file), "--report", str(report)),
        *("--dry-run", "--json"),
    )
    assert ran.json["counts"] == {"would start": 2, "unchanged": 1}
    assert server.count("PUT") == 0
    assert not report.exists()


def test_rows_of_a_file_choose_their_access(
    tmp_path: Path, server: ManageServer, operator: Operator
) -> None:
    """Columns `subject` and `credentials_secret` are what the server is told."""
    file = tmp_path / "users.csv"
    file.write_text(
        "calendar_id,subject,credentials_secret\n"
        "room@resource.calendar.google.com,ann@example.com,\n"
        "bob@elsewhere.example,,projects/p/secrets/calendar-bob\n"
        "shared@example.com,,\n"
        "shared@example.com,,\n"
    )
    ran = operator("calendars", "start", "--users", str(file), "--report", str(tmp_path / "r"))
    assert ran.code == 0
    assert {name: each["access"] for name, each in server.calendars.items()} == {
        "room@resource.calendar.google.com": {"subject": "ann@example.com"},
        "bob@elsewhere.example": {"credentials_secret": "projects/p/secrets/calendar-bob"},
        "shared@example.com": {},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("name,phone\nAnn,1\n", "no column of calendar ids"),
        ("email\nann@example.com\n , \n,x\n", "line 3"),
    ],
)
def test_a_file_without_ids_is_a_usage_error(
    tmp_path: Path, operator: Operator, server: ManageServer, text: str, said: str
) -> None:
    """One sentence says what is wrong with the file, and nothing is asked of the server."""
    file = tmp_path / "users.csv"
    file.write_text(text)
    ran = operator("calendars", "start", "--users", str(file))
    assert (ran.code, server.requests) == (2, [])
    assert said in ran.err


def test_a_list_reads_all_pages_filters_and_ends_early(
    server: ManageServer, operator: Operator
) -> None:
    """Pages are read by themselves. With `--limit` no more of them than needed."""
    for number in range(250):
        server.add(f"user{number}@example.com", access={"subject": f"user{number}@example.com"})
    server.calendars["user249@example.com"].update(status="broken", reason="access is lost")
    found = operator("calendars", "list", "--json").json["calendars"]
    assert len(found) == 250
    assert server.count("GET", "/calendars") == 3
    server.requests.clear()
    assert len(operator("calendars", "list", "--limit", "5", "--json").json["calendars"]) == 5
    assert server.count("GET", "/calendars") == 1
    for filters in (
        ("--filter", "status=broken"),
        ("--filter", "reason~LOST"),
        ("--filter", "status!=ok", "--filter", "user249"),
        ("--filter", "access.subject=user249@example.com"),
        ("--status", "broken"),
    ):
        found = operator("calendars", "list", *filters, "--json").json["calendars"]
        assert [each["calendar_id"] for each in found] == ["user249@example.com"], filters


def test_the_life_of_a_calendar_in_the_sandbox(world: World, in_sandbox: Operator) -> None:
    """Started, shown, synced and stopped, all by the real functions. Each repeated harmlessly."""
    world.calendar.add_calendar("life@example.com")
    assert lines_of(in_sandbox("calendars", "start", "life@example.com")) == [
        "started: life@example.com"
    ]
    world.wait(lambda: world.status("life@example.com")["last_sync"], "the first sync")
    again = in_sandbox("calendars", "start", "life@example.com")
    assert lines_of(again) == ["unchanged: life@example.com"]
    shown = in_sandbox("calendars", "show", "life@example.com", "--json")
    assert shown.json == world.status("life@example.com")
    assert "status:     ok" in in_sandbox("calendars", "show", "life@example.com").out

    before = shown.json["last_sync"]["at"]
    synced = in_sandbox("sync", "life@example.com", "--full", "--wait", "--json")
    assert synced.code == 0
    [row] = synced.json["calendars"]
    assert (row["outcome"], row["last_sync"]["kind"]) == ("in step", "full")
    assert row["last_sync"]["at"] > before

    assert in_sandbox("calendars", "stop", "life@example.com").code == 0
    assert in_sandbox("calendars", "stop", "life@example.com").code == 0
    gone = in_sandbox("calendars", "show", "life@example.com")
    assert (gone.code, gone.out) == (1, "")
    assert "ccsync calendars start" in gone.err


def test_the_commands_of_the_page_run_in_their_order(
    tmp_path: Path, world: World, in_sandbox: Operator
) -> None:
    """docs/ccsync.md, from an installation on, against the real functions."""
    del in_sandbox  # stops the calendar afterwards
    ann = "ann@example.com"
    world.calendar.add_calendar(ann)
    times = {name: {"dateTime": f"2026-11-26T{hour}:00:00Z"} for name, hour in TEN_TO_ELEVEN}
    world.calendar.seed_event(ann, {"summary": "Weekly planning", **times})
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    (clone / "users.csv").write_text(f"calendar_id\n{ann}\n")
    desk = Desk.at(
        tmp_path / "desk",
        {
            "HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT),
            "CCSYNC_URL": world.functions["manage_calendars"].url,
            "CALENDAR_EMULATOR_HOST": world.calendar.host,
        },
    )
    ran = desk.run(commands_of("ccsync"), clone)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    assert world.status(ann)["access"] == {"subject": ann}
    assert "1 of 1 in step" in ran.stdout
    assert "E1" in ran.stdout
    assert (clone / "ccsync-start.csv").exists()


def test_five_hundred_calendars_of_the_sandbox_come_into_step(
    tmp_path: Path, world: World, in_sandbox: Operator
) -> None:
    """The same with the real functions: three have no such calendar, two watches fail once."""
    file, report = users(tmp_path / "users.csv", 500), tmp_path / "report.csv"
    names = [f"user{number}@example.com" for number in range(500)]
    for name in names[3:]:
        world.calendar.add_calendar(name)
    for name in names[50:52]:
        path = f"/calendars/{name}/events/watch"
        world.calendar.fail_next("backendError", 1, path=path, method="POST")
    start = ("calendars", "start", "--users", str(file), "--report", str(report))

    ran = in_sandbox(*start)

    assert ran.code == 1
    assert "500 calendars: 3 refused, 497 started; 2 needed more than one try" in ran.out
    rows = report_of(report)
    assert [name for name in names if rows[name]["outcome"] == "refused"] == names[:3]
    assert [name for name in names if rows[name]["tries"] == "2"] == names[50:52]
    world.wait(lambda: in_sandbox("status").code == 0, "all in step", seconds=60)
    assert lines_of(in_sandbox("status")) == ["497 of 497 in step"]
    before = in_sandbox("calendars", "list", "--json").json
    again = in_sandbox(*start)
    assert "3 refused, 497 unchanged" in again.out
    assert in_sandbox("calendars", "list", "--json").json == before
    assert in_sandbox("calendars", "stop", *names).code == 0


def test_a_sync_says_of_each_calendar_how_it_went(server: ManageServer, operator: Operator) -> None:
    """3 when a calendar is not in step after its run, with the reason."""
    server.add("ok@example.com")
    server.add(
        "bad@example.com",
        failing={
            "runs": 4,
            "since": server.add("x")["last_sync"]["at"],
            "reason": "my-web refuses our credentials",
        },
    )
    ran = operator("sync", "ok@example.com", "bad@example.com", "--wait")
    assert ran.code == 3
    assert lines_of(ran) == [
        "in step: ok@example.com",
        "failing: bad@example.com: my-web refuses our credentials",
    ]
    unknown = operator("sync", "nobody@example.com")
    assert unknown.code == 1
    assert "refused: nobody@example.com: this calendar is not started" in unknown.out
    assert operator("sync", "--status", "broken", "--json").json == {"calendars": []}
    assert operator("sync").code == 2
