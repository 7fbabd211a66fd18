"""The public function beside a bare function that creates the same task and does nothing else."""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from sandbox.processes import FunctionProcess
from sandbox.world import SOURCE
from sync.intake.notifications import sign
from tests.benchmarks.parts import ANNA, KEY, stand_ins
from tests.benchmarks.processor import processor_seconds
from tests.benchmarks.rows import Row, percentile, row

BARE = """
import json, os
import functions_framework, grpc
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

client = None

@functions_framework.http
def bare(request):
    global client
    if client is None:
        channel = grpc.insecure_channel(os.environ["CLOUD_TASKS_EMULATOR_HOST"])
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
    http = tasks_v2.HttpRequest(
        url=os.environ["SYNC_WORKER_URL"], http_method=tasks_v2.HttpMethod.POST,
        headers={"Content-Type": "application/json"},
        body=json.dumps({"calendar_id": "anna@example.com"}).encode(),
    )
    task = tasks_v2.Task(http_request=http)
    client.create_task(parent=os.environ["SYNC_QUEUE"], task=task, timeout=10)
    return "", 204
"""


def measure(requests: int, pairs: int) -> list[Row]:
    """Send the same notifications to both in turn, eight side by side."""
    speeds: list[float] = []
    shares: list[float] = []
    slowest: list[float] = []
    with tempfile.TemporaryDirectory() as text, stand_ins() as parts:
        directory = Path(text)
        (directory / "bare.py").write_text(BARE)
        environment = parts.environment(directory)
        headers = {
            "X-Goog-Channel-ID": "channel",
            "X-Goog-Channel-Token": sign([KEY], "channel", ANNA),
            "X-Goog-Resource-State": "exists",
        }
        ours = FunctionProcess("receive_notification", environment=environment, source=SOURCE)
        bare = FunctionProcess("bare", environment=environment, source=directory / "bare.py")
        # The functions' server closes a connection after two idle seconds, so none waits for that.
        limits = httpx.Limits(keepalive_expiry=1)
        with ours, bare, httpx.Client(headers=headers, timeout=30, limits=limits) as client:
            for process in (ours, bare):
                process.wait_ready()
                _send(client, process, requests)  # warms up
            for _ in range(pairs):
                mine, other = (_send(client, each, requests) for each in (ours, bare))
                speeds.append(other.seconds / mine.seconds)
                shares.append(mine.processor_seconds / other.processor_seconds)
                slowest.append(percentile(mine.each, 0.99) / percentile(other.each, 0.99))
    return [
        row("intake", "requests a second, beside a bare function", speeds, at_least=0.95),
        row("intake", "processor time of a request, beside it", shares),
        row("intake", "p99 of a request, beside it", slowest),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """How long so many requests took: all of them, each, and the function's processors."""

    seconds: float
    each: list[float]
    processor_seconds: float


def _send(client: httpx.Client, process: FunctionProcess, requests: int) -> _Sent:
    def post(_: int) -> float:
        began = time.perf_counter()
        assert client.post(process.url).status_code == 204
        return time.perf_counter() - began

    before, began = processor_seconds(process), time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        each = list(pool.map(post, range(requests)))
    return _Sent(
        seconds=time.perf_counter() - began,
        each=each,
        processor_seconds=processor_seconds(process) - before,
    )
