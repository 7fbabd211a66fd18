"""Where `ccsync` looks, who it is, and how it ends: exit codes, one sentence, the next step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.servers import free_port
from tests.support.manage_server import ManageServer
from tests.support.operator import Gcloud, Operator

ROOT = Path(__file__).resolve().parent.parent.parent
HTML = "text/html"
JSON = "application/json"
GOOD = '{"calendars": [], "next_page_token": null}'


@pytest.mark.parametrize(
    ("status", "kind", "body", "code", "next_step"),
    [
        (401, HTML, "<h1>Unauthorized</h1>", 4, "gcloud auth list"),
        (401, JSON, '{"error": {"code": 401, "message": "sign in"}}', 4, "gcloud auth list"),
        (
            405,
            JSON,
            '{"error": {"code": 405, "message": "only POST"}}',
            1,
            "is no manage-calendars",
        ),
        (403, HTML, "<h1>Forbidden</h1>", 4, "operators"),
        (404, HTML, "<h1>Not found</h1>", 4, "manage_ingress"),
        (200, HTML, "<h1>Sign in</h1>", 5, "manage-calendars"),
        (403, JSON, '{"error": {"code": 403, "message": "name a subject"}}', 1, "name a subject"),
        (400, JSON, '{"error": {"code": 400, "message": "use the id"}}', 1, "use the id"),
    ],
)
def test_an_answer_that_is_no_answer_has_its_exit_code(
    server: ManageServer,
    operator: Operator,
    status: int,
    kind: str,
    body: str,
    code: int,
    next_step: str,
) -> None:
    """Refused, no access and unreachable are told apart. Nothing is asked twice."""
    server.answers = [(status, kind, body)]
    ran = operator("calendars", "list")
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("Error: ")
    assert ran.err.count("\n") == 1
    assert next_step in ran.err
    assert len(server.requests) == 1


@pytest.mark.slow
def test_what_passes_is_tried_again_and_then_given_up(
    server: ManageServer, operator: Operator
) -> None:
    """A 503 twice is not seen. One that stays ends with 5 after four tries."""
    busy = (503, JSON, '{"error": {"code": 503, "message": "Firestore does not answer"}}')
    page = (502, HTML, "<h1>Bad gateway</h1>")
    server.answers = [busy, page, (200, JSON, GOOD)]
    assert operator("calendars", "list").code == 0
    server.requests.clear()
    server.answers = [busy] * 9
    ran = operator("calendars", "list", "--json")
    assert ran.code == 5
    assert len(server.requests) == 4
    error = json.loads(ran.err.splitlines()[-1])["error"]
    assert (error["code"], "repeat" in error["message"]) == (5, True)


@pytest.mark.slow
def test_nobody_there_is_unreachable() -> None:
    """A closed port ends with 5 and names the address."""
    ran = Operator("--url", f"http://127.0.0.1:{free_port()}")("failures", "list")
    assert ran.code == 5
    assert "does not answer" in ran.err


def test_no_sandbox_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--sandbox` without one names the command."""
    monkeypatch.setenv("CCSYNC_SANDBOX", f"http://127.0.0.1:{free_port()}")
    ran = Operator("--sandbox")("status")
    assert ran.code == 5
    assert "make play" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "--sandbox", "--url", "http://localhost:1"),
        ("status", "--url", "manage.example.com"),
        ("status", "--url", "http://manage.example.com"),
        ("status", "--nonsense"),
        ("calendars", "list", "--limit", "0", "--url", "http://localhost:1"),
        ("calendars", "start", "--url", "http://localhost:1"),
        ("calendars", "list", "--filter", " ", "--url", "http://localhost:1"),
        ("calendars", "start", "--users", "no-such.csv", "--url", "http://localhost:1"),
        ("providers", "check", "no-such.json"),
        ("explain", "", "abc", "--url", "http://localhost:1"),
        ("explain", "ann@example.com", "", "--url", "http://localhost:1"),
        ("status", "--url", ""),
        ("status", "--url", "http://[::1"),
        ("status", "--url", "http://localhost:99999"),
        ("status", "--url", "https://ann:quokka@manage.example.com"),
        ("nonsense",),
        ("log", "ann@example.com", "--since", "yesterday"),
    ],
)
def test_a_wrong_use_ends_with_2(arguments: tuple[str, ...]) -> None:
    """Before anything is asked, in one sentence with what to do."""
    ran = Operator()(*arguments)
    assert ran.code == 2
    assert ran.err.startswith("Error: ")
    assert ran.err.count("\n") == 1
    assert "quokka" not in ran.err


def test_a_file_that_is_not_there_is_named_once() -> None:
    """The system's own words repeat the name and a number, which help nobody."""
    ran = Operator()("providers", "check", "no-such.json")
    assert "no-such.json cannot be read (No such file or directory); give" in ran.err


@pytest.mark.parametrize("arguments", [(), ("calendars",)])
def test_no_command_shows_the_whole_help(arguments: tuple[str, ...]) -> None:
    """Each line that `--help` prints, to the full stop at its end."""
    ran = Operator()(*arguments)
    assert ran.code == 2
    assert ran.err.strip() == Operator()(*arguments, "--help").out.strip()


def test_a_filter_of_a_name_that_rows_do_not_have_is_refused(
    server: ManageServer, operator: Operator
) -> None:
    """A mistyped name would let no row pass, and look as if nothing were broken."""
    server.add("ann@example.com")
    ran = operator("calendars", "list", "--filter", "state=broken")
    assert (ran.code, ran.out) == (2, "")
    assert "status" in ran.err


@pytest.mark.programs
def test_output_that_cannot_be_written_is_one_sentence() -> None:
    """A full disk under a redirected output ends with 1, without a traceback."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ccsync", "completion", "bash"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the output cannot be written (No space left on device)")
    assert done.stderr.count("\n") == 1


def test_terraform_tells_the_address_and_one_token_serves_a_run(
    server: ManageServer, tmp_path: Path, gcloud: Gcloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`terraform output` names server and queue. Gcloud is asked for a token once for 150 calls."""
    for number in range(150):
        server.add(f"user{number}@example.com")
    outputs = {
        "urls": {"value": {"manage-calendars": server.url}},
        "queue": {"value": "projects/acme/locations/europe-west1/queues/meetings-queue"},
    }
    terraform = gcloud.directory / "terraform"
    terraform.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(outputs)}\nEND\n")
    terraform.chmod(0o755)
    gcloud.answer("auth print-identity-token", "the-token\n")
    (tmp_path / "terraform").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Operator()("sync", "--all").code == 0
    assert server.count("POST") == 150
    assert server.tokens == {"Bearer the-token"}
    assert len(gcloud.calls("auth print-identity-token")) == 1
    gcloud.answer("tasks queues pause meetings-queue")
    gcloud.answer("tasks queues describe meetings-queue", {"state": "PAUSED"})
    assert Operator()("pause", "--terraform", str(tmp_path / "terraform")).code == 0


def test_who_is_not_signed_in_is_told_how(
    gcloud: Gcloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By gcloud, and by google-auth where its variable is set. 4 before anything is sent."""
    gcloud.answer("auth print-identity-token", fails="You do not have an active account")
    ran = Operator("--url", "https://manage.example.com")("status")
    assert ran.code == 4
    assert "gcloud auth login" in ran.err
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    ran = Operator("--url", "https://manage.example.com")("status")
    assert ran.code == 4
    assert "GOOGLE_APPLICATION_CREDENTIALS" in ran.err


def test_progress_is_on_stderr_after_a_second(server: ManageServer, operator: Operator) -> None:
    """A long run says how far it is. A short one says nothing."""
    server.add("ann@example.com")
    assert operator("sync", "--all").err == ""
    again = (503, JSON, '{"error": {"code": 503, "message": "later"}}')
    server.answers = [again, again]
    ran = operator("calendars", "list", "--json")
    assert "Reading the calendars …" in ran.err
    assert len(ran.json["calendars"]) == 1


def run_module(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ccsync", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.programs
def test_it_runs_as_a_module_and_survives_a_closed_pipe(server: ManageServer) -> None:
    """`python -m ccsync` ends with the code, and whoever stops reading gets no traceback."""
    done = run_module("status", CCSYNC_URL=server.url)
    assert (done.returncode, done.stdout) == (0, "0 of 0 in step\n")
    for number in range(500):
        server.add(f"user{number}@example.com")
    command = f"{sys.executable} -m ccsync --url {server.url} calendars list --json | head -n 1"
    piped = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert piped.stdout == "{\n"
    # Progress is said where the machine is slow.
    assert piped.stderr in ("", "Reading the calendars …\n")


@pytest.mark.programs
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_completes(shell: str) -> None:
    """Each shell gets its script, and the words that it asks for."""
    script = Operator()("completion", shell)
    assert script.code == 0
    assert "_CCSYNC_COMPLETE" in script.out
    done = run_module(_CCSYNC_COMPLETE="bash_complete", COMP_WORDS="ccsync cal", COMP_CWORD="1")
    assert "calendars" in done.stdout
