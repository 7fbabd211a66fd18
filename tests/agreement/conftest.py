"""What the tests of Terraform share: the stand-in providers, a root that calls the module, its
plan. Each is made once a run, whichever processes the tests are spread over."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.installations import (
    FULL,
    OWN_ADAPTER,
    PLAIN,
    PROVIDER_VALUE,
    not_here,
    write_root,
)
from tests.support.made_once import made_once
from tests.support.shipped import ROOT, shipped
from tests.support.terraform import Installation, Json, Terraform

_LEFT_OUT = shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars*", "*.zip", "__pycache__")


@pytest.fixture(scope="session")
def of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all processes of this run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def terraform(of_the_run: Path) -> Terraform:
    """A root that calls the module twice, `plain` and `full`, in a copy of the repository.

    All processes read it. A test that writes there takes a copy. The files of code are there, and
    empty: `planned` has them as they are. Terraform sorts the sources of an archive by what is in
    them, some ten times in a plan, and with our code that was two thirds of its work.
    """
    if shutil.which("terraform") is None:
        not_here("terraform is not on PATH")
    installed = made_once(of_the_run / "providers", _install)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    environment |= {
        "TF_CLI_CONFIG_FILE": str(installed / "terraformrc"),
        "TF_IN_AUTOMATION": "1",
        "TF_VAR_secret_values": json.dumps({"rest": PROVIDER_VALUE}),
        # A fifth of terraform's processor time goes into collecting the schemas that it just read.
        "GOGC": "400",
    }

    def copy(repository: Path) -> None:
        shutil.copytree(ROOT / "terraform", repository / "terraform", ignore=_LEFT_OUT)
        for name in shipped():
            (repository / name).parent.mkdir(parents=True, exist_ok=True)
            (repository / name).touch()
        root = repository / "root"
        root.mkdir()
        (root / "acme_rooms.py").write_text(OWN_ADAPTER)
        write_root(root, plain=PLAIN, full=FULL)
        Terraform(directory=root, environment=environment).init()

    repository = made_once(of_the_run / "repository", copy)
    return Terraform(directory=repository / "root", environment=environment)


def _install(directory: Path) -> None:
    """Install the stand-in providers, or skip."""
    named = os.environ.get("TERRAFORM_GOOGLE")
    if named == "":
        pytest.skip("TERRAFORM_GOOGLE says that there are no stand-in providers")
    stand_in = Path(named) if named else ROOT.parent / "shared" / "terraform-google"
    if not (stand_in / "install.sh").is_file():
        not_here("there are no stand-in providers; name their directory in TERRAFORM_GOOGLE")
    _bring_packages(directory / "venv")
    install = subprocess.run(
        [str(stand_in / "install.sh"), str(directory)], capture_output=True, text=True, check=False
    )
    if install.returncode:
        not_here(f"the stand-in providers could not be installed: {install.stderr.strip()[-400:]}")


def _bring_packages(environment: Path) -> None:
    """Install by uv what install.sh would by pip, with a fifth of the work.

    install.sh brings what is missing afterwards, so here nothing has to succeed: uv may be told of
    no registry that it reaches.
    """
    packages = ("grpcio", "grpcio-tools", "msgpack", "cryptography")
    for command in (
        ("venv", "--seed", str(environment)),
        ("pip", "install", "--python", str(environment / "bin" / "python"), *packages),
    ):
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [sys.executable, "-m", "uv", *command],
                capture_output=True,
                check=False,
                timeout=30,
            )


@pytest.fixture(scope="session")
def planned(terraform: Terraform, of_the_run: Path) -> Path:
    """A copy of the repository after the one plan that most tests read, which is in `plan.json`."""

    def make(directory: Path) -> None:
        here = terraform.copy(directory / "repository")
        # All that is there, so that a file which must not be shipped can be.
        shutil.copytree(
            ROOT / "sync", directory / "repository" / "sync", ignore=_LEFT_OUT, dirs_exist_ok=True
        )
        for name in ("main.py", "requirements.txt"):
            shutil.copy(ROOT / name, directory / "repository" / name)
        here.run("plan", "-input=false", "-no-color", "-out=first.tfplan")
        (directory / "plan.json").write_text(json.dumps(here.show("first.tfplan")))

    return made_once(of_the_run / "planned", make)


@pytest.fixture(scope="session")
def plan(planned: Path) -> Json:
    """The plan as JSON."""
    value: Json = json.loads((planned / "plan.json").read_text())
    return value


@pytest.fixture(scope="session")
def plain(plan: Json) -> Installation:
    """What is planned with nothing but the variables that have no default."""
    return Installation(module="plain", values=plan["planned_values"])


@pytest.fixture(scope="session")
def full(plan: Json) -> Installation:
    """What is planned with every variable set."""
    return Installation(module="full", values=plan["planned_values"])


@pytest.fixture(scope="session")
def archives(planned: Path) -> dict[str, zipfile.Path]:
    """What would be shipped: planning writes it."""
    module = planned / "repository" / "terraform"
    return {
        name: zipfile.Path(zipfile.ZipFile(module / f"source-demo-project-{name}.zip"))
        for name in ("conference-sync", "full")
    }
