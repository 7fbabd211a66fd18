"""The add-on in `addon/`: its tests under Node, its types and lint, and its one list of solutions.

The tests under Node run the real source against a small server that speaks the contract of
`create_conference`. With CREATE_CONFERENCE_URL (and IDENTITY_TOKEN, CALENDAR_ID, EVENT_ID) in the
environment, `addon/test/contract.test.js` speaks to that function instead.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import missing, tool

pytestmark = pytest.mark.addon

ROOT = Path(__file__).parent.parent.parent
ADDON = ROOT / "addon"
SOURCES = ("Code.js", "Solutions.js", "Status.js", "Switch.js")
PROVIDER = {"name": "my-web", "type": "rest", "solutions": ["My Web Conference"]}


def run(*command: str, cwd: Path, timeout: float = 100) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The add-on without what npm installed, to write into."""
    folder = tmp_path / "addon"
    shutil.copytree(ADDON, folder, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    return folder


def build(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the build script of `folder` with SYNC_PROVIDERS only where a test sets it."""
    return subprocess.run(
        [sys.executable, "build.py", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def listed(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "solutions.json").read_text())
    return content


def change(folder: Path, **members: Any) -> None:
    """Change members of the list, and with `solution=` of its first solution."""
    content = listed(folder)
    content["solutions"][0].update(members.pop("solution", {}))
    (folder / "solutions.json").write_text(json.dumps(content | members))


def test_the_source_passes_its_tests_under_node() -> None:
    """Bridge, switch and home page do what their own tests say, over real HTTP."""
    files = sorted(str(path.relative_to(ADDON)) for path in (ADDON / "test").glob("*.test.js"))
    assert len(files) >= 3
    done = run(tool("node"), "--test", *files, cwd=ADDON)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    ran = re.search(r"^\S+ pass (\d+)$", done.stdout, re.MULTILINE)
    assert ran is not None, done.stdout[-2000:]
    assert int(ran[1]) >= 60


# npm downloads the compiler.
@pytest.mark.timeout(300)
def test_types_and_lint_are_clean(copy: Path) -> None:
    """The source fits Google's types and the linter; a wrong call would not."""
    npm = tool("npm")
    installed = run(npm, "ci", "--no-audit", "--no-fund", cwd=copy, timeout=240)
    if installed.returncode:
        missing(f"npm ci failed: {installed.stderr[-300:]}")
    for script in ("types", "lint"):
        done = run(npm, "run", "--silent", script, cwd=copy)
        assert done.returncode == 0, done.stdout + done.stderr
    with (copy / "Code.js").open("a") as source:
        source.write("\nUrlFetchApp.fetch(LIMIT == 7);\n")
    for script in ("types", "lint"):
        assert run(npm, "run", "--silent", script, cwd=copy).returncode != 0


def test_what_is_pushed_comes_from_the_list() -> None:
    """Manifest and functions are those that the list makes."""
    done = build(ADDON, "--check")
    assert done.returncode == 0, done.stderr


def test_the_manifest_asks_for_no_more_than_the_bridge_needs() -> None:
    """Five scopes and one host."""
    manifest = json.loads((ADDON / "appsscript.json").read_text())
    prefix = "https://www.googleapis.com/auth/"
    assert [scope.removeprefix(prefix) for scope in manifest["oauthScopes"]] == [
        "openid",
        "userinfo.email",
        "script.external_request",
        "calendar.addons.execute",
        "calendar.addons.current.event.write",
    ]
    assert manifest["urlFetchWhitelist"] == ["https://create-conference.example.com/"]
    assert manifest["dependencies"] == {}


def test_the_old_sync_keeps_what_it_needs_while_users_switch(copy: Path) -> None:
    """With `switch` the manifest has the triggers' scope, and the old sync's own needs."""
    events = "https://www.googleapis.com/auth/calendar.events.readonly"
    before = json.loads((copy / "appsscript.json").read_text())
    change(copy, switch={"scopes": [events], "url_prefixes": ["https://api.example.com/"]})
    assert build(copy).returncode == 0
    manifest = json.loads((copy / "appsscript.json").read_text())
    triggers = "https://www.googleapis.com/auth/script.scriptapp"
    assert manifest["oauthScopes"] == [*before["oauthScopes"], triggers, events]
    assert manifest["urlFetchWhitelist"] == [
        *before["urlFetchWhitelist"],
        "https://api.example.com/",
    ]
    [service] = manifest["dependencies"]["enabledAdvancedServices"]
    assert service["userSymbol"] == "Calendar"
    assert '"switch": true' in (copy / "Solutions.js").read_text()


def test_all_and_only_the_sources_are_pushed() -> None:
    """clasp's allow-list names each source and the manifest, and nothing that tests it."""
    lines = (ADDON / ".claspignore").read_text().splitlines()
    assert {line[1:] for line in lines if line.startswith("!")} == {*SOURCES, "appsscript.json"}
    assert {path.name for path in ADDON.glob("*.js")} == set(SOURCES)
    names = re.findall(r"'(\w+\.js)'", (ADDON / "test/support/apps-script.js").read_text())
    assert set(SOURCES) <= set(names)


def test_the_lock_file_names_no_registry() -> None:
    """Whoever installs uses the registry of their own settings."""
    lock = json.loads((ADDON / "package-lock.json").read_text())
    for name, package in lock["packages"].items():
        assert "resolved" not in package, name
        assert not name or "integrity" in package, name


def test_each_function_of_googles_sample_has_its_place_in_the_docs() -> None:
    """Who knows the sample finds each of its functions, and what the manifest asks for."""
    page = (ROOT / "docs" / "addon.md").read_text()
    for name in (
        "createConference",
        "initializeSyncing",
        "createSyncTrigger",
        "syncEvents",
        "eventHasConference",
        "updateConference",
    ):
        assert f"| `{name}` |" in page
    for scope in json.loads((ADDON / "appsscript.json").read_text())["oauthScopes"]:
        assert f"| `{scope.rpartition('/')[2]}` |" in page


AGREEING: list[list[dict[str, Any]]] = [
    [PROVIDER],
    [{"name": "zoom", "uris": ["https://x.zoom.us/j/{id}"]}, PROVIDER],
]


@pytest.mark.parametrize("providers", AGREEING, ids=["the same", "another without solutions"])
def test_one_list_for_add_on_and_providers(providers: list[dict[str, Any]], copy: Path) -> None:
    """SYNC_PROVIDERS with the solutions of the list is accepted, from the environment or a file."""
    text = json.dumps(providers)
    done = build(copy, SYNC_PROVIDERS=text)
    assert (done.returncode, done.stderr) == (0, "")
    assert "SYNC_PROVIDERS agrees" in done.stdout
    (copy / "providers.json").write_text(text)
    assert build(copy, "--providers", "providers.json", "--check").returncode == 0


DIFFERING: dict[str, tuple[Any, str]] = {
    "not JSON": ("[", "SYNC_PROVIDERS is not JSON"),
    "an object": ({}, "must be a JSON list"),
    "no provider": ([{"name": "zoom"}], "has no provider my-web"),
    "no solutions": ([{"name": "my-web"}], "solutions lacks 'My Web Conference'"),
    "another name": ([PROVIDER | {"solutions": ["My Web"]}], "lacks 'My Web Conference'"),
    "one more": (
        [PROVIDER | {"solutions": ["My Web Conference", "Recorded"]}],
        "solutions.json lacks 'Recorded'",
    ),
    "no texts": ([PROVIDER | {"solutions": "x"}], "must be a list of texts"),
    "no name": ([{"solutions": []}], "entry 1: name is missing"),
}


@pytest.mark.parametrize(("providers", "says"), list(DIFFERING.values()), ids=list(DIFFERING))
def test_a_list_that_differs_is_refused(providers: Any, says: str, copy: Path) -> None:
    """A7: one sentence names the difference and the mend, and nothing is written."""
    change(copy, name="Renamed")
    before = (copy / "appsscript.json").read_text()
    text = providers if isinstance(providers, str) else json.dumps(providers)
    done = build(copy, SYNC_PROVIDERS=text)
    assert done.returncode == 1
    assert done.stderr.startswith("build.py: ")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert (copy / "appsscript.json").read_text() == before


def test_the_list_makes_the_providers_solutions(copy: Path) -> None:
    """`--print-providers` fills in what the list has, also what another add-on makes."""
    zoom = {"name": "Zoom Meeting", "provider": "zoom", "offered": False}
    change(copy, solutions=[*listed(copy)["solutions"], zoom])
    entries = json.dumps([{"name": "zoom", "solutions": ["old"]}, {"name": "my-web"}])
    done = build(copy, "--print-providers", SYNC_PROVIDERS=entries)
    assert json.loads(done.stdout) == [
        {"name": "zoom", "solutions": ["Zoom Meeting"]},
        {"name": "my-web", "solutions": ["My Web Conference"]},
    ]
    assert build(copy, SYNC_PROVIDERS=done.stdout).returncode == 0
    manifest = json.loads((copy / "appsscript.json").read_text())
    offered = manifest["addOns"]["calendar"]["conferenceSolution"]
    assert [solution["name"] for solution in offered] == ["My Web Conference"]


def test_a_name_may_change_but_no_id(copy: Path) -> None:
    """Installed add-ons know a solution by its id: it goes only when somebody says so."""
    change(copy, solution={"name": "My New Name"})
    assert build(copy).returncode == 0
    for solution, says in (
        ({"id": "other"}, "may be in use; give it that id again"),
        ({"id": "other", "name": "Other"}, "lacks the id my-web-conference"),
    ):
        change(copy, solution=solution)
        done = build(copy)
        assert done.returncode == 1
        assert says in done.stderr
    assert build(copy, "--retire", "my-web-conference").returncode == 0


def test_the_ids_of_an_add_on_that_is_replaced_stay(copy: Path) -> None:
    """With the manifest of Google's sample beside the list, its id 1 is asked for."""
    sample = {"id": 1, "name": "My Web Conference", "onCreateFunction": "createConference"}
    manifest = {"addOns": {"calendar": {"conferenceSolution": [sample]}}}
    (copy / "appsscript.json").write_text(json.dumps(manifest))
    assert "has it as 1, which may be in use" in build(copy).stderr
    change(copy, solution={"id": "1"})
    assert build(copy).returncode == 0


@pytest.mark.parametrize("text", ["[", "[]", '{"addOns": []}', '{"addOns": {"calendar": 1}}'])
def test_a_broken_manifest_is_not_overwritten(text: str, copy: Path) -> None:
    """It may name ids that are in use: somebody must look."""
    (copy / "appsscript.json").write_text(text)
    done = build(copy)
    assert done.returncode == 1
    assert done.stderr.startswith("build.py: appsscript.json is not")
    assert (copy / "appsscript.json").read_text() == text


def test_a_second_solution_gets_a_function_of_its_own(copy: Path) -> None:
    """One onCreateFunction a solution, each with its own id."""
    second = listed(copy)["solutions"][0] | {"id": "2", "name": "My Recorded Web Conference"}
    change(copy, solutions=[*listed(copy)["solutions"], second])
    assert build(copy).returncode == 0
    calendar = json.loads((copy / "appsscript.json").read_text())["addOns"]["calendar"]
    functions = [entry["onCreateFunction"] for entry in calendar["conferenceSolution"]]
    assert functions == ["createConference_my_web_conference", "createConference_2"]
    source = (copy / "Solutions.js").read_text()
    assert 'function createConference_2(arg) {\n  return createConferenceFor_("2", arg);' in source


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"name": ""}, "name is missing"),
    "plain http": ({"create_conference_url": "http://x.example.com/"}, "must be an https URL"),
    "no URL": ({"create_conference_url": None}, "create_conference_url must be an https URL"),
    "bad URL": ({"create_conference_url": "https://[x/"}, "create_conference_url is not a URL"),
    "no solutions": ({"solutions": []}, "at least one solution"),
    "switch": ({"switch": True}, "switch is not a JSON object"),
    "switch without scopes": ({"switch": {"url_prefixes": []}}, "scopes must be a list of texts"),
    "switch elsewhere": (
        {"switch": {"scopes": [], "url_prefixes": ["http://x.example.com/"]}},
        "must be an https URL",
    ),
    "switch without a path": (
        {"switch": {"scopes": [], "url_prefixes": ["https://x.example.com"]}},
        "write https://x.example.com/",
    ),
    "unknown member": ({"token": "x"}, "token is unknown"),
    "bad id": ({"solution": {"id": "a_"}}, "solution 1: id must be"),
    "no logo": ({"solution": {"logo_url": ""}}, "solution 1: logo_url must be an https URL"),
    "no provider": ({"solution": {"provider": 7}}, "solution 1: provider is missing"),
    "offered": ({"solution": {"offered": 1}}, "offered must be true or false"),
    "none offered": ({"solution": {"offered": False}}, "no solution is offered"),
    "a text": ({"solutions": ["x"]}, "solution 1 is not a JSON object"),
}


@pytest.mark.parametrize(("members", "says"), list(MISTAKES.values()), ids=list(MISTAKES))
def test_a_mistake_in_the_list_is_one_sentence(
    members: dict[str, Any], says: str, copy: Path
) -> None:
    """The sentence names the member and the mend."""
    change(copy, **members)
    done = build(copy)
    assert done.returncode == 1
    assert done.stderr.startswith("build.py: solutions.json")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ({"id": "other"}, "share the name of My Web Conference"),
        ({"id": "my_web-conference", "name": "Other"}, "share the id"),
    ],
)
def test_two_solutions_share_neither_name_nor_function(
    second: dict[str, str], says: str, copy: Path
) -> None:
    """A name leads to one provider, a function to one solution."""
    first = listed(copy)["solutions"][0]
    change(copy, solutions=[first, first | second])
    done = build(copy)
    assert done.returncode == 1
    assert says in done.stderr


def test_a_changed_file_is_noticed(copy: Path) -> None:
    """Whoever edits what is written, or forgets to write it, is told by `--check`."""
    (copy / "Solutions.js").write_text("")
    done = build(copy, "--check")
    assert done.returncode == 1
    assert done.stderr == "build.py: Solutions.js differs from solutions.json; run build.py\n"
