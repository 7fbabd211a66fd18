"""What the service refuses, and what it fills in where queues and tasks leave something open.

Limits: https://cloud.google.com/tasks/docs/quotas and the types of google-cloud-tasks.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from typing import Any

import grpc
from google.cloud import tasks_v2 as api

from sandbox.cloud_tasks import retries
from sandbox.grpc_service import Refusal

INVALID = grpc.StatusCode.INVALID_ARGUMENT

MAX_TASK_BYTES = 100 * 1024
MAX_HEADER_BYTES = 80 * 1024
MAX_URL_CHARACTERS = 2083
MAX_SCHEDULE_AHEAD = timedelta(days=30)
DEFAULT_DISPATCH_DEADLINE = timedelta(minutes=10)
MIN_DISPATCH_DEADLINE = timedelta(seconds=15)
MAX_DISPATCH_DEADLINE = timedelta(minutes=30)
MAX_RATE = 500.0
DEFAULT_CONCURRENT = 1000
MAX_CONCURRENT = 5000

# Members of this are plain numbers to the type checker.
_HttpMethod: Any = api.HttpMethod

_LOCATION = re.compile(r"projects/[A-Za-z0-9:.-]+/locations/[a-z0-9-]+")
_QUEUE = re.compile(_LOCATION.pattern + r"/queues/[A-Za-z0-9-]{1,100}")
_TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,500}")
_BODY_METHODS = (_HttpMethod.POST, _HttpMethod.PUT, _HttpMethod.PATCH)


def check_parent(parent: str, queue: str) -> None:
    """Refuse a queue's name that does not begin with its location."""
    if not _LOCATION.fullmatch(parent) or not queue.startswith(parent + "/"):
        raise Refusal(
            INVALID, "The queue's name must begin with the parent, projects/P/locations/L."
        )


def check_queue_name(name: str) -> None:
    if not _QUEUE.fullmatch(name):
        raise Refusal(
            INVALID,
            "A queue is named projects/P/locations/L/queues/Q, Q of letters, digits and '-', "
            "at most 100.",
        )


def completed_queue(
    wanted: api.Queue, limits: api.RateLimits, retry_config: api.RetryConfig
) -> api.Queue:
    """Return the queue as it will be kept, or refuse its settings.

    What it leaves open is filled in from `limits` and `retry_config`, then from the service's
    defaults.
    """
    message, own = api.Queue(wanted), wanted.rate_limits
    rate = own.max_dispatches_per_second or limits.max_dispatches_per_second or MAX_RATE
    concurrent = (
        own.max_concurrent_dispatches or limits.max_concurrent_dispatches or DEFAULT_CONCURRENT
    )
    if not 0 < rate <= MAX_RATE:
        raise Refusal(INVALID, "RateLimits.maxDispatchesPerSecond must be between 0 and 500.")
    if not 0 < concurrent <= MAX_CONCURRENT:
        raise Refusal(INVALID, "RateLimits.maxConcurrentDispatches must be between 0 and 5000.")
    message.rate_limits = api.RateLimits(
        max_dispatches_per_second=rate,
        # Output only. 500 a second come with a burst of 100; for other rates the proportion is a
        # guess.
        max_burst_size=max(1, math.ceil(rate / 5)),
        max_concurrent_dispatches=concurrent,
    )
    message.retry_config = retries.merged(
        wanted.retry_config, retry_config, retries.SERVICE_DEFAULT
    )
    return message


def completed_task(wanted: api.Task, queue: api.Queue, now: datetime) -> api.Task:
    """Return the task as it will be kept in this queue, or refuse it. One that wants no name has
    none yet."""
    message = api.Task(wanted)
    if message.name:
        _check_task_name(message.name, queue.name)
    if "http_request" not in message:
        raise Refusal(INVALID, "The stand-in delivers tasks with an http_request only.")
    _complete_request(message.http_request)
    if "dispatch_deadline" not in message:
        message.dispatch_deadline = DEFAULT_DISPATCH_DEADLINE
    if not MIN_DISPATCH_DEADLINE <= message.dispatch_deadline <= MAX_DISPATCH_DEADLINE:
        raise Refusal(INVALID, "Task.dispatchDeadline must be between 15 seconds and 30 minutes.")
    if "retry_config" in message:
        # For its refusals only: the two are put together anew at each retry, as the queue is then.
        retries.merged(message.retry_config, queue.retry_config)
    if "schedule_time" not in message or message.schedule_time < now:
        message.schedule_time = now
    elif message.schedule_time > now + MAX_SCHEDULE_AHEAD:
        raise Refusal(INVALID, "Task.scheduleTime must not be more than 30 days ahead.")
    if api.Task.pb(message).ByteSize() > MAX_TASK_BYTES:
        raise Refusal(INVALID, f"The task is larger than {MAX_TASK_BYTES} bytes.")
    return message


def _check_task_name(name: str, queue: str) -> None:
    named, _, task_id = name.partition("/tasks/")
    if named != queue:
        raise Refusal(INVALID, f"The task's name must begin with the queue's, {queue}/tasks/.")
    if not _TASK_ID.fullmatch(task_id):
        raise Refusal(INVALID, "A task's ID has 1 to 500 letters, digits, hyphens and underscores.")


def _complete_request(http: api.HttpRequest) -> None:
    """Refuse a request that cannot be sent. Fill in its method, and who sends it."""
    if not http.url:
        raise Refusal(INVALID, "HttpRequest.url is required.")
    if not http.url.startswith(("http://", "https://")):
        raise Refusal(INVALID, "HttpTarget.url must start with 'http://' or 'https://'.")
    if len(http.url) > MAX_URL_CHARACTERS:
        raise Refusal(INVALID, f"HttpRequest.url is longer than {MAX_URL_CHARACTERS} characters.")
    http.http_method = _HttpMethod(http.http_method or _HttpMethod.POST)
    if http.body and http.http_method not in _BODY_METHODS:
        raise Refusal(INVALID, "HttpRequest.body is only allowed with POST, PUT and PATCH.")
    if sum(len(name) + len(value) for name, value in http.headers.items()) >= MAX_HEADER_BYTES:
        raise Refusal(INVALID, "HttpRequest.headers are larger than 80 KB.")
    if "oidc_token" in http and not http.oidc_token.service_account_email:
        raise Refusal(INVALID, "OidcToken.service_account_email is required.")
    http.headers["User-Agent"] = "Google-Cloud-Tasks"
