"""The Terraform module in itself: form, arguments, its own tests, its examples."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.installations import FULL, PLAIN, SOURCE, TARGETS, in_ci, not_here, write_root
from tests.support.terraform import Installation, Json, Terraform

# The module's own tests take half a minute, and so do the examples.
pytestmark = [pytest.mark.terraform, pytest.mark.timeout(600)]

CHECKOV = "checkov==3.3.30"


def checkov_wanted() -> bool:
    return in_ci() or os.environ.get("CHECKOV") == "1"


@pytest.fixture(scope="module", autouse=True)
def checkov(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Path, subprocess.Popen[bytes]] | None]:
    """Where checkov will be, and its installation, on the side while terraform is at work.

    uv needs a twentieth of the work of pip, which knows more of a machine's own registries.
    """
    if not checkov_wanted():
        yield None
        return
    directory = tmp_path_factory.mktemp("checkov")
    python = str(directory / "bin" / "python")
    venv = shlex.join([sys.executable, "-m", "venv", str(directory)])
    uv = shlex.join([sys.executable, "-m", "uv", "pip", "install", "--python", python, CHECKOV])
    pip = shlex.join([python, "-m", "pip", "install", "--quiet", CHECKOV])
    with (directory / "install.log").open("w") as log:
        install = subprocess.Popen(
            ["sh", "-c", f"{venv} && {{ {uv} || exec {pip}; }}"],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    yield directory / "bin" / "checkov", install
    install.kill()
    install.wait()


def test_every_file_is_formatted() -> None:
    """`terraform fmt` changes nothing."""
    if shutil.which("terraform") is None:
        not_here("terraform is not on PATH")
    result = subprocess.run(
        ["terraform", "fmt", "-check", "-diff", "-recursive", str(SOURCE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_module_is_valid_without_a_warning(terraform: Terraform) -> None:
    """Every argument is one that the provider's schema has."""
    answer = json.loads(terraform.run("validate", "-json").stdout)
    assert answer["valid"]
    assert answer["diagnostics"] == []


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("functions.tf", "timeout_seconds ", "timeout_secnds "),
        ("queue.tf", "max_concurrent_dispatches", "max_concurrent_dispatch"),
        ("secrets.tf", "secret_data_wo ", "secret_data_w "),
    ],
)
def test_a_misspelt_argument_is_refused(
    terraform: Terraform, tmp_path: Path, file: str, right: str, wrong: str
) -> None:
    """The control of the test above: what is valid was really looked at."""
    broken = terraform.copy(tmp_path / "repository")
    path = broken.directory.parent / "terraform" / file
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong, 1))
    answer = json.loads(broken.run("validate", "-json", accept=(1,)).stdout)
    assert not answer["valid"]
    assert any(wrong.strip() in problem["detail"] for problem in answer["diagnostics"])


def test_the_modules_own_tests_pass(terraform: Terraform, tmp_path: Path) -> None:
    """`terraform test` in the module's directory."""
    module = terraform.copy(tmp_path / "repository").at(tmp_path / "repository" / "terraform")
    module.init()
    result = module.run("test", "-no-color")
    assert re.search(r"Success! \d+ passed, 0 failed", result.stdout), result.stdout


def test_every_example_can_be_planned(terraform: Terraform, tmp_path: Path) -> None:
    """With the values that it asks for an example makes an installation, or one for each entry, and
    everything of an installation is in its project."""
    here = terraform.copy(tmp_path / "repository")
    values = {key: PLAIN[key] for key in ("region", "operators", "alert_email")}
    providers = FULL["conferencing_providers"][:4]
    common = {**values, "project": "demo-project", "conferencing_providers": providers}
    calls: Json = {
        "trial": common,
        "production": {
            **common,
            "domain": "example.com",
            "secret_values": "${var.secret_values}",
            "secret_versions": {"rest": 1},
            "addon_audiences": FULL["addon_audiences"],
            "budget": FULL["budget"],
        },
        "two-environments": {
            "conferencing_providers": providers,
            "environments": {
                "test": {**values, "project": "demo-test", "paused": True, "invoker_check": False},
                "live": {**values, "project": "demo-live", "region": "us-central1"},
            },
        },
    }
    assert {path.name for path in (SOURCE / "examples").iterdir()} == set(calls)
    # All three in one plan, as modules of one root: it saves starting the providers anew for each.
    sources = {name: {"source": f"../terraform/examples/{name}"} for name in calls}
    write_root(here.directory, **{name: {**sources[name], **calls[name]} for name in calls})
    here.init()
    here.run("plan", "-input=false", "-no-color", "-out=examples.tfplan")
    planned = here.show("examples.tfplan")["planned_values"]
    for module, project in {
        "trial.module.conference_sync": "demo-project",
        "production.module.conference_sync": "demo-project",
        'two-environments.module.conference_sync["test"]': "demo-test",
        'two-environments.module.conference_sync["live"]': "demo-live",
    }.items():
        installation = Installation(module=module, values=planned)
        assert set(installation.functions()) >= set(TARGETS)
        named = [values for _, values in installation.addresses() if "project" in values]
        assert {values["project"] for values in named} == {project}


@pytest.mark.skipif(not checkov_wanted(), reason="checkov takes a minute to install; set CHECKOV=1")
def test_checkov_finds_nothing_but_what_is_skipped_with_its_reason(
    checkov: tuple[Path, subprocess.Popen[bytes]],
) -> None:
    """A second opinion on the module, by the tool that others use."""
    program, install = checkov
    assert install.wait() == 0, (program.parent.parent / "install.log").read_text()
    options = ("--framework", "terraform", "--skip-download", "-o", "json")
    result = subprocess.run(
        [str(program), "--directory", str(SOURCE), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    found: Any = json.loads(result.stdout)["results"]
    assert found["parsing_errors"] == []
    assert [(check["check_id"], check["resource"]) for check in found["failed_checks"]] == []
    assert found["passed_checks"]
    assert all(
        len(check["check_result"]["suppress_comment"]) > 30 for check in found["skipped_checks"]
    )
