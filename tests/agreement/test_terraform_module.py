"""The Terraform module in itself: form, arguments, its own tests, its examples."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.installations import FULL, PLAIN, SOURCE, TARGETS, not_here, write_root
from tests.support.terraform import Installation, Json, Terraform

# The module's own tests take half a minute, and so do the examples.
pytestmark = [pytest.mark.terraform, pytest.mark.timeout(600)]


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


@pytest.mark.skipif(
    "CHECKOV" not in os.environ, reason="`make checkov` installs checkov, and names it"
)
def test_checkov_finds_nothing_but_what_is_skipped_with_its_reason() -> None:
    """A second opinion on the module, by the tool that others use."""
    options = ("--framework", "terraform", "--skip-download", "-o", "json")
    result = subprocess.run(
        [os.environ["CHECKOV"], "--directory", str(SOURCE), *options],
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
