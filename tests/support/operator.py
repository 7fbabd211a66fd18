"""An operator at a terminal: runs `ccsync` in this process, and gives it a gcloud to call."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ccsync.cli import run


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one command did: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on standard output."""
        return json.loads(self.out)


class Operator:
    """Runs commands that all begin with the same target options."""

    def __init__(self, *target: str) -> None:
        self._target = target

    def __call__(self, *arguments: str) -> Ran:
        """Run `ccsync TARGET ARGUMENTS`."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run([*self._target, *arguments])
        return Ran(code=code, out=out.getvalue(), err=err.getvalue())


# Stands for gcloud: writes down how it was called, and answers what the test has prepared.
_GCLOUD = """#!{python}
import json, pathlib, sys
home = pathlib.Path({home!r})
arguments = sys.argv[1:]
given = "" if sys.stdin is None or "--data-file=-" not in arguments else sys.stdin.read()
with (home / "calls").open("a") as calls:
    calls.write(json.dumps({{"arguments": arguments, "given": given}}) + "\\n")
answers = json.loads((home / "answers").read_text())
if "--data-file=-" in arguments:
    for key in answers:
        if key.startswith("secrets versions access"):
            answers[key] = {{"out": given}}
    (home / "answers").write_text(json.dumps(answers))
line = " ".join(arguments)
found = next((answers[key] for key in answers if line.startswith(key)), None)
if found is None:
    sys.exit("ERROR: (gcloud) the test has no answer to " + line)
sys.stdout.write(found.get("out", ""))
sys.stderr.write(found.get("err", ""))
sys.exit(found.get("code", 0))
"""


class Gcloud:
    """A stand-in for gcloud. `directory` goes to the front of PATH.

    A secret that is stored is what is read from then on. Not imitated: anything else that gcloud
    does with its arguments.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._answers: dict[str, dict[str, Any]] = {}
        program = directory / "gcloud"
        program.write_text(_GCLOUD.format(python=sys.executable, home=str(directory)))
        program.chmod(0o755)
        (directory / "calls").touch()
        self._save()

    def answer(self, start: str, value: object = "", *, fails: str = "") -> None:
        """Answer calls that begin so: with a text, with JSON, or with an error."""
        out = value if isinstance(value, str) else json.dumps(value)
        said = {"out": "", "err": f"ERROR: (gcloud) {fails}\n", "code": 1}
        self._answers[start] = said if fails else {"out": out}
        self._save()

    def calls(self, start: str = "") -> list[dict[str, Any]]:
        """Return the calls that begin so, oldest first: `arguments` and what was `given`."""
        lines = (self.directory / "calls").read_text().splitlines()
        found = [json.loads(line) for line in lines]
        return [each for each in found if " ".join(each["arguments"]).startswith(start)]

    def _save(self) -> None:
        (self.directory / "answers").write_text(json.dumps(self._answers))


def lines_of(ran: Ran) -> Sequence[str]:
    """Return the lines of standard output without the blanks around them."""
    return [line.strip() for line in ran.out.splitlines() if line.strip()]
