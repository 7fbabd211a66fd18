"""What one run shares: the target, one token, the server, and the output."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from ccsync import target as targets
from ccsync import tokens
from ccsync.errors import Misused, Problem
from ccsync.output import Output
from ccsync.server import Server
from ccsync.target import Target

_QUEUE = re.compile(r"projects/([^/]+)/locations/([^/]+)/queues/([^/]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """What gcloud must be told of an installation."""

    project: str
    region: str
    queue: str

    @property
    def name(self) -> str:
        """The installation's `name` of Terraform: every resource begins with it."""
        return self.queue.removesuffix("-queue")

    @property
    def channel_key(self) -> str:
        return f"{self.name}-channel-key"


class Session:
    """One run of the program. What the options choose is set before a command begins."""

    def __init__(self) -> None:
        self.out = Output()
        self.sandbox = False
        self.url: str | None = None
        self.terraform: Path | None = None
        self.project: str | None = None
        self.region: str | None = None
        self.name: str | None = None

    @functools.cached_property
    def target(self) -> Target:
        """The installation. Raises Problem when none is named or found."""
        if self.sandbox + (self.url is not None) + (self.terraform is not None) > 1:
            raise Misused("--sandbox, --url and --terraform exclude each other; give one of them")
        if self.sandbox:
            return targets.of_sandbox()
        # The environment speaks only where no option does.
        url, directory = self.url, self.terraform
        if url is None and directory is None:
            url = os.environ.get("CCSYNC_URL") or None
            directory = Path(os.environ.get("CCSYNC_TERRAFORM") or "terraform")
        if url is not None:
            return targets.of_url(url)
        with self.out.progress("Asking Terraform for the address"):
            return targets.of_terraform(directory or Path("terraform"))

    @functools.cached_property
    def server(self) -> Server:
        """The server, which closes with the command."""
        where = self.target
        token: Callable[[], str] | None = None
        if where.signed:
            token = functools.partial(tokens.identity_token, where.manage)
        server = Server(where.manage, token)
        context = click.get_current_context(silent=True)
        if context is not None:
            context.call_on_close(server.close)
        return server

    @functools.cached_property
    def cloud(self) -> Cloud:
        """The names that gcloud needs. Raises Misused where they are not known."""
        if self.sandbox:
            raise Misused("the sandbox has nothing in Google Cloud; give --url or --terraform")
        if self.project and self.region:
            queue = f"{self.name or 'conference-sync'}-queue"
            return Cloud(project=self.project, region=self.region, queue=queue)
        found = _QUEUE.fullmatch(self._queue() or "")
        if found is None:
            raise Misused(
                "the project is not known; give --project and --region, or --terraform with the "
                "directory where you applied"
            )
        queue = f"{self.name}-queue" if self.name else found[3]
        return Cloud(project=self.project or found[1], region=self.region or found[2], queue=queue)

    def cloud_if_known(self) -> Cloud | None:
        """Return the names that gcloud needs, None where they are not known."""
        try:
            return self.cloud
        except Problem:
            return None

    def _queue(self) -> str | None:
        # With an address alone nothing says which project is behind it.
        return self.target.queue
