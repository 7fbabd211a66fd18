"""Cloud Tasks: enqueue one sync of a calendar or of one event."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import google.api_core.exceptions
import grpc
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from sync.errors import TryLater
from sync.model.calendar import Channel
from sync.model.event import CalendarId, EventId
from sync.tracing import current_trace

# One creation takes some ten milliseconds; Calendar should not wait longer for its answer than
# this.
_TIMEOUT_SECONDS = 10.0
# Cloud Tasks keeps a task at most 31 days and takes schedules up to 30 days ahead.
# https://cloud.google.com/tasks/docs/quotas
_FURTHEST = timedelta(days=29)

_ENQUEUE = "cloudtasks.tasks.create"

# Headers of a task that a notification made: the channel that rang, for the worker (H3).
CHANNEL_ID = "Sync-Channel-Id"
CHANNEL_RESOURCE_ID = "Sync-Channel-Resource-Id"


class TaskQueue:
    """One queue whose tasks are POSTed to the worker. Safe for threads. Connects at the first use.

    `service_account` is the identity whose OIDC token a task carries, with the worker's URL as
    audience. Empty: none.
    """

    def __init__(
        self,
        *,
        queue: str,
        worker_url: str,
        service_account: str,
        dispatch_deadline: timedelta,
        emulator: str | None = None,
    ) -> None:
        self._queue = queue
        self._worker_url = worker_url
        self._service_account = service_account
        self._deadline = dispatch_deadline
        if emulator is None:
            self._client = tasks_v2.CloudTasksClient()
        else:
            channel = grpc.insecure_channel(emulator)
            self._client = tasks_v2.CloudTasksClient(
                transport=CloudTasksGrpcTransport(channel=channel)
            )

    def enqueue_calendar(
        self,
        calendar_id: CalendarId,
        *,
        name: str | None = None,
        at: datetime | None = None,
        channel: Channel | None = None,
    ) -> bool:
        """Create a task that brings one calendar up to date, not before `at`.

        False: a task of that name was there. A named task can be created twice without harm, an
        unnamed one then runs twice. `channel` is the one that rang: the worker stops it if the
        calendar is not watched through it (H3). Later than Cloud Tasks allows (30 days), the task
        comes a day before that limit. Raises TryLater.
        """
        headers = (
            {CHANNEL_ID: channel.id, CHANNEL_RESOURCE_ID: channel.resource_id or ""}
            if channel
            else {}
        )
        return self._create({"calendar_id": calendar_id}, name, at, headers)

    def enqueue_event(
        self,
        calendar_id: CalendarId,
        event_id: EventId,
        *,
        name: str | None = None,
        at: datetime | None = None,
    ) -> bool:
        """Create a task for one event, such as a retry. As `enqueue_calendar`."""
        return self._create({"calendar_id": calendar_id, "event_id": event_id}, name, at, {})

    def _create(
        self, body: dict[str, str], name: str | None, at: datetime | None, headers: dict[str, str]
    ) -> bool:
        if trace := current_trace():
            headers = {**headers, "traceparent": trace.traceparent}
        request = tasks_v2.HttpRequest(
            url=self._worker_url,
            http_method=tasks_v2.HttpMethod.POST,
            headers={"Content-Type": "application/json", **headers},
            body=json.dumps(body).encode(),
        )
        if self._service_account:
            request.oidc_token = tasks_v2.OidcToken(
                service_account_email=self._service_account, audience=self._worker_url
            )
        task = tasks_v2.Task(
            name=f"{self._queue}/tasks/{name}" if name else None,
            http_request=request,
            schedule_time=min(at, datetime.now(UTC) + _FURTHEST) if at else None,
            dispatch_deadline=self._deadline,
        )
        try:
            self._client.create_task(parent=self._queue, task=task, timeout=_TIMEOUT_SECONDS)
        except google.api_core.exceptions.Aborted as error:
            # A Conflict as well, to the library: but nothing was created.
            raise _not_taken(error) from error
        except google.api_core.exceptions.Conflict:
            # N4: AlreadyExists over gRPC, Conflict itself over REST.
            return False
        except (
            google.api_core.exceptions.GoogleAPICallError,
            google.api_core.exceptions.RetryError,
        ) as error:
            raise _not_taken(error) from error
        return True

    def problem(self) -> str | None:
        """Return what keeps tasks from being taken or delivered, None if nothing. Creates none.

        Whoever may not see the queue (the right to enqueue does not include that) is asked instead
        what it may do with the queue. Raises TryLater.
        """
        try:
            queue = self._client.get_queue(name=self._queue, retry=None, timeout=_TIMEOUT_SECONDS)
        except google.api_core.exceptions.PermissionDenied:
            return self._may_not_enqueue()
        except google.api_core.exceptions.NotFound:
            return "there is no queue of the name in SYNC_QUEUE; create it, or correct the name"
        except (
            google.api_core.exceptions.GoogleAPICallError,
            google.api_core.exceptions.RetryError,
        ) as error:
            raise TryLater(f"Cloud Tasks did not answer ({type(error).__name__})") from error
        if queue.state == tasks_v2.Queue.State.RUNNING:
            return None
        return (
            f"the queue is {queue.state.name.lower()}, so no task is delivered; resume it with: "
            "gcloud tasks queues resume"
        )

    def _may_not_enqueue(self) -> str | None:
        # https://docs.cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2
        # (TestIamPermissions): needs no right, and answers an empty list for what is not there.
        try:
            answer = self._client.test_iam_permissions(
                request={"resource": self._queue, "permissions": [_ENQUEUE]},
                retry=None,
                timeout=_TIMEOUT_SECONDS,
            )
        except (
            google.api_core.exceptions.GoogleAPICallError,
            google.api_core.exceptions.RetryError,
        ) as error:
            raise TryLater(f"Cloud Tasks did not answer ({type(error).__name__})") from error
        if _ENQUEUE in answer.permissions:
            return None
        return (
            "there is no queue of the name in SYNC_QUEUE, or this function may not enqueue into "
            "it; correct the name, or grant its service account roles/cloudtasks.enqueuer"
        )

    def close(self) -> None:
        """End the connection. The queue is of no use afterwards."""
        self._client.transport.close()


def _not_taken(error: Exception) -> TryLater:
    return TryLater(
        f"Cloud Tasks did not take the task ({type(error).__name__}); check that the queue of "
        "SYNC_QUEUE exists and that this function may enqueue into it"
    )
