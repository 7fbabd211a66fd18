"""Stands for gcloud, curl, git, pipx and sleep on the machine of `tests.support.shell.Desk`.

    DESK=DIRECTORY python desk_programs.py gcloud tasks queues pause …

`gcloud` keeps what it is told in DESK/state.json and answers as somebody who has just installed
it: whoever is not signed in, or has chosen no project, gets an error, and so does who names a thing
that is not there. `curl` sends what goes to manage-calendars to the server that DESK_MANAGE names,
if it does, and only notes the rest. `git` notes its calls. `pipx` makes `ccsync` a program.
`terraform` is the real one, which wants Google's default credentials for whatever reaches the
cloud. With DESK_PLAN=no it makes no plan and applies none: it notes the call, and wants the plan
made before it is applied.

Not imitated: everything else. A command that nobody documents is refused.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

DESK = pathlib.Path(os.environ.get("DESK", "."))
TOKEN = "identity-token-of-the-person"
BACKUPS = [
    {"name": "projects/p/locations/l/backups/old", "state": "READY", "snapshotTime": "2026-11-24"},
    {"name": "projects/p/locations/l/backups/new", "state": "READY", "snapshotTime": "2026-11-25"},
    {
        "name": "projects/p/locations/l/backups/now",
        "state": "CREATING",
        "snapshotTime": "2026-11-26",
    },
]
EMPTY: dict[str, Any] = {
    "queue": "RUNNING",
    "tasks": ["projects/p/locations/l/queues/q/tasks/1"],
    # Terraform stored the first channel key.
    "secrets": {"conference-sync-channel-key": ["the-first-key\n"]},
    "buckets": [],
    "traffic": "",
    "restored": "",
}


class Gcloud:
    """One call. `names` are the words of the command, `flags` the options with their values."""

    def __init__(self, words: list[str]) -> None:
        self.names = [word for word in words if not word.startswith("-")]
        self.flags = dict(word.lstrip("-").partition("=")[::2] for word in words if word[0] == "-")
        file = DESK / "state.json"
        self.state = json.loads(file.read_text()) if file.exists() else EMPTY

    def run(self) -> None:
        if "version" in self.flags:
            print("Google Cloud SDK 528.0.0")
        elif self.names[:2] == ["auth", "login"]:
            (DESK / "account").touch()
        elif self.names[:2] == ["auth", "application-default"]:
            (DESK / "credentials").touch()
        else:
            self._signed_in()
            (DESK / "state.json").write_text(json.dumps(self.state))

    def _signed_in(self) -> None:
        need("account", "gcloud auth login")
        if self.names[:2] == ["auth", "print-identity-token"]:
            print(TOKEN)
            return
        if self.names[:2] == ["auth", "list"]:
            print("you@example.com")
            return
        if self.names[:3] == ["config", "set", "project"]:
            (DESK / "project").write_text(self.names[3])
            return
        if "project" not in self.flags:
            need("project", "gcloud config set project")
        known: dict[str, Callable[[], None]] = {
            "config get": lambda: print((DESK / "project").read_text()),
            "services enable": lambda: None,
            "scheduler jobs": lambda: self._located(),
            "tasks queues": self._queue,
            "tasks list": lambda: print("\n".join(self.state["tasks"])),
            "tasks run": self._run_task,
            "tasks create-http-task": self._create_task,
            "secrets versions": self._secret,
            "logging read": lambda: print("[]"),
            "logging write": self._write_log,
            "storage buckets": self._bucket,
            "run revisions": lambda: print("conference-sync-2\nconference-sync-1"),
            "run services": self._traffic,
            "firestore backups": self._backups,
            "firestore databases": self._restore,
        }
        command = known.get(" ".join(self.names[:2]))
        if command is None:
            stop(f"{' '.join(self.names)} is not imitated here")
        command()

    def _located(self) -> None:
        if not (self.flags.get("location") or self.flags.get("region")):
            stop("--location is missing")

    def _queue(self) -> None:
        self._located()
        verb = self.names[2]
        if verb == "describe":
            print(self.state["queue"])
        else:
            self.state["queue"] = {"pause": "PAUSED", "resume": "RUNNING"}[verb]

    def _run_task(self) -> None:
        if self.names[2] not in self.state["tasks"]:
            stop(f"there is no task {self.names[2]}")

    def _create_task(self) -> None:
        self._located()
        body = json.loads(self.flags["body-content"])
        worker = self.flags["url"]
        if worker != self.flags["oidc-token-audience"] or "calendar_id" not in body:
            stop("the worker would not take this task")
        self.state["tasks"].append(f"projects/p/locations/l/queues/q/tasks/{body['calendar_id']}")

    def _secret(self) -> None:
        if self.names[2] == "access":
            versions = self.state["secrets"].get(self.flags.get("secret", ""))
            if not versions:
                stop("NOT_FOUND: there is no such secret, or it has no version")
            sys.stdout.write(versions[-1])
            return
        value = sys.stdin.read() if self.flags.get("data-file") == "-" else ""
        if not value.strip():
            stop("the value is read from standard input, and there is none")
        self.state["secrets"].setdefault(self.names[3], []).append(value)

    def _write_log(self) -> None:
        json.loads(self.names[3])

    def _bucket(self) -> None:
        if self.names[2] == "create":
            self.state["buckets"].append(self.names[3])
        elif self.names[3] not in self.state["buckets"]:
            stop(f"there is no bucket {self.names[3]}")

    def _traffic(self) -> None:
        self.state["traffic"] = self.flags["to-revisions"]

    def _backups(self) -> None:
        self._located()
        print(json.dumps(BACKUPS))

    def _restore(self) -> None:
        ready = [each["name"] for each in BACKUPS if each["state"] == "READY"]
        if self.flags["source-backup"] not in ready or self.state["queue"] != "PAUSED":
            stop("no such backup, or the queue still writes")
        self.state["restored"] = self.flags["source-backup"]


def curl(words: list[str]) -> None:
    manage = os.environ.get("DESK_MANAGE")
    if not manage:
        print(json.dumps({"status": "starting"}))
        return
    sent = [re.sub(r"https://[^/]*manage-calendars[^/]*", manage, word) for word in words]
    if sent == words:
        stop("only manage-calendars answers here")
    program = os.environ["CURL"]
    os.execv(program, [program, "--noproxy", "*", "--fail-with-body", *sent])


def terraform(words: list[str]) -> None:
    command = next(word for word in words if not word.startswith("-"))
    if command in ("plan", "apply", "destroy", "import"):
        need("credentials", "gcloud auth application-default login")
    bucket = next((word for word in words if word.startswith("-backend-config=bucket=")), None)
    if bucket is not None:
        name = bucket.rpartition("=")[2]
        if f"gs://{name}" not in Gcloud([]).state["buckets"]:
            stop(f"the bucket {name} does not exist")
        words = ["-backend=false" if word == bucket else word for word in words]
    if os.environ.get("DESK_PLAN") == "no" and command != "output":
        planned = next((word[5:] for word in words if word.startswith("-out=")), None)
        if planned is not None:
            pathlib.Path(planned).touch()
        if command == "apply" and not pathlib.Path(words[-1]).exists():
            stop(f"there is no plan {words[-1]}")
        return
    os.execv(os.environ["TERRAFORM"], ["terraform", *words])


def pipx(words: list[str]) -> None:
    if words[0] != "install" or not (pathlib.Path(words[1]) / "pyproject.toml").exists():
        stop("nothing to install here")
    program = DESK / "programs" / "ccsync"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m ccsync "$@"\n')
    program.chmod(0o755)


def stop(reason: str) -> NoReturn:
    sys.exit(f"{sys.argv[1]}: {reason}")


def need(what: str, mend: str) -> None:
    if not (DESK / what).exists():
        stop(f"{what} is missing; {mend}")


def main() -> None:
    program, words = sys.argv[1], sys.argv[2:]
    with (DESK / "calls").open("a") as calls:
        calls.write(json.dumps([program, *words]) + "\n")
    match program:
        case "gcloud":
            Gcloud(words).run()
        case "curl":
            curl(words)
        case "terraform":
            terraform(words)
        case "pipx":
            pipx(words)


if __name__ == "__main__":
    main()
