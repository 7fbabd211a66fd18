"""The service's methods, as clients call them over gRPC."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.cloud import tasks_v2 as api
from google.iam.v1 import iam_policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, field_mask_pb2
from google.rpc import status_pb2

from sandbox.cloud_tasks import checks
from sandbox.cloud_tasks.dispatch import Dispatcher
from sandbox.cloud_tasks.records import Creation, parsed, plain
from sandbox.cloud_tasks.state import Store, Task
from sandbox.grpc_service import Refusal, page

MAX_QUEUES_PAGE = 9800
MAX_TASKS_PAGE = 1000

# Members of this are plain numbers to the type checker.
_View: Any = api.Task.View


class _PermissionsAsked:
    """A request of another library than Cloud Tasks' own, read in the same way."""

    deserialize = staticmethod(iam_policy_pb2.TestIamPermissionsRequest.FromString)


class Methods:
    """What each method does to the store. `creations` remembers every CreateTask."""

    def __init__(self, store: Store, dispatcher: Dispatcher) -> None:
        self.creations: list[Creation] = []
        self._store = store
        self._dispatcher = dispatcher

    def by_name(self) -> Mapping[str, tuple[Any, Callable[[Any], Any]]]:
        """Return each method with the type of its request, as `GrpcService` takes them."""
        return {
            "ListQueues": (api.ListQueuesRequest, self._list_queues),
            "GetQueue": (api.GetQueueRequest, self._get_queue),
            "CreateQueue": (api.CreateQueueRequest, self._create_queue),
            "UpdateQueue": (api.UpdateQueueRequest, self._update_queue),
            "DeleteQueue": (api.DeleteQueueRequest, self._delete_queue),
            "PurgeQueue": (api.PurgeQueueRequest, self._purge_queue),
            "PauseQueue": (
                api.PauseQueueRequest,
                lambda request: self._set_paused(request.name, True),
            ),
            "ResumeQueue": (
                api.ResumeQueueRequest,
                lambda request: self._set_paused(request.name, False),
            ),
            "ListTasks": (api.ListTasksRequest, self._list_tasks),
            "GetTask": (api.GetTaskRequest, self._get_task),
            "CreateTask": (api.CreateTaskRequest, self._create_task),
            "DeleteTask": (api.DeleteTaskRequest, self._delete_task),
            "BatchDeleteTasks": (api.BatchDeleteTasksRequest, self._batch_delete_tasks),
            "RunTask": (api.RunTaskRequest, self._run_task),
            "TestIamPermissions": (_PermissionsAsked, self._test_permissions),
        }

    def refused(self, request: api.CreateTaskRequest, code: grpc.StatusCode) -> None:
        """Remember a CreateTask that failed without effect."""
        with self._store.changed:
            outcome = "exists" if code is grpc.StatusCode.ALREADY_EXISTS else code.name
            self._note(request, outcome, name=request.task.name)

    # Queues.

    def _list_queues(self, request: api.ListQueuesRequest) -> api.ListQueuesResponse:
        with self._store.changed:
            queues = sorted(self._store.queues.items())
            found = [
                queue.message for name, queue in queues if name.startswith(request.parent + "/")
            ]
        listed, token = page(found, request.page_size, request.page_token, MAX_QUEUES_PAGE)
        return api.ListQueuesResponse(queues=listed, next_page_token=token)

    def _get_queue(self, request: api.GetQueueRequest) -> api.Queue:
        with self._store.changed:
            return self._store.find_queue(request.name).message

    def _test_permissions(
        self, request: iam_policy_pb2.TestIamPermissionsRequest
    ) -> iam_policy_pb2.TestIamPermissionsResponse:
        """Everybody may do everything; with a queue that is not there, nothing."""
        with self._store.changed:
            there = request.resource in self._store.queues
        held = request.permissions if there else []
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=held)

    def _create_queue(self, request: api.CreateQueueRequest) -> api.Queue:
        checks.check_parent(request.parent, request.queue.name)
        with self._store.changed:
            self._store.claim_queue(request.queue.name)
            return self._store.add_queue(request.queue).message

    def _update_queue(self, request: api.UpdateQueueRequest) -> api.Queue:
        with self._store.changed:
            known = self._store.queues.get(request.queue.name)
            if known is None:
                return self._store.add_queue(request.queue).message
            wanted = request.queue
            if request.update_mask.paths:
                wanted = api.Queue(known.message)
                mask = field_mask_pb2.FieldMask(paths=request.update_mask.paths)
                try:
                    mask.MergeMessage(
                        api.Queue.pb(request.queue),
                        api.Queue.pb(wanted),
                        replace_message_field=True,
                    )
                except ValueError as error:
                    raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
            self._store.change_queue(known, wanted)
            return known.message

    def _delete_queue(self, request: api.DeleteQueueRequest) -> empty_pb2.Empty:
        with self._store.changed:
            self._store.delete_queue(request.name)
        return empty_pb2.Empty()

    def _purge_queue(self, request: api.PurgeQueueRequest) -> api.Queue:
        with self._store.changed:
            queue = self._store.find_queue(request.name)
            self._store.remove_all(queue)
            queue.message.purge_time = self._store.clock()
            return queue.message

    def _set_paused(self, name: str, paused: bool) -> api.Queue:
        with self._store.changed:
            return self._store.set_paused(name, paused).message

    # Tasks.

    def _list_tasks(self, request: api.ListTasksRequest) -> api.ListTasksResponse:
        with self._store.changed:
            queue = self._store.find_queue(request.parent)
            found = [_view(task, request.response_view) for _, task in sorted(queue.tasks.items())]
        listed, token = page(found, request.page_size, request.page_token, MAX_TASKS_PAGE)
        return api.ListTasksResponse(tasks=listed, next_page_token=token)

    def _get_task(self, request: api.GetTaskRequest) -> api.Task:
        with self._store.changed:
            return _view(self._store.find_task(request.name), request.response_view)

    def _create_task(self, request: api.CreateTaskRequest) -> api.Task:
        with self._store.changed:
            now = self._store.clock()
            queue = self._store.find_queue(request.parent)
            message = checks.completed_task(request.task, queue.message, now)
            if message.name:
                self._store.claim_task(message.name, queue, now)
            else:
                message.name = f"{request.parent}/tasks/{uuid.uuid4().int % 10**20:020d}"
            message.create_time = now.replace(microsecond=0)
            task = self._store.add_task(message, queue, now)
            self._note(request, "created", name=message.name)
            return _view(task, request.response_view)

    def _delete_task(self, request: api.DeleteTaskRequest) -> empty_pb2.Empty:
        with self._store.changed:
            self._store.remove(self._store.find_task(request.name))
        return empty_pb2.Empty()

    def _batch_delete_tasks(self, request: api.BatchDeleteTasksRequest) -> Any:
        started = self._store.clock()
        failed: dict[int, Any] = {}
        with self._store.changed:
            for index, name in enumerate(request.names):
                try:
                    self._store.remove(self._store.find_task(name))
                except Refusal as refusal:
                    failed[index] = status_pb2.Status(
                        code=refusal.code.value[0], message=str(refusal)
                    )
        state = api.BatchDeleteTasksMetadata.State
        metadata = api.BatchDeleteTasksMetadata(
            start_time=started,
            end_time=self._store.clock(),
            state=state.PARTIALLY_SUCCEEDED if failed else state.SUCCEEDED,
            failed_requests=failed,
        )
        # Here the work is done at once, and the long-running operation comes back finished.
        operation = operations_pb2.Operation(
            name=f"{request.parent}/operations/{uuid.uuid4()}", done=True
        )
        operation.metadata.Pack(api.BatchDeleteTasksMetadata.pb(metadata))
        if failed and len(failed) == len(request.names):
            operation.error.code = grpc.StatusCode.ABORTED.value[0]
            operation.error.message = "None of the tasks was deleted; the metadata tells why."
        else:
            operation.response.Pack(empty_pb2.Empty())
        return operation

    def _run_task(self, request: api.RunTaskRequest) -> api.Task:
        with self._store.changed:
            task = self._store.find_task(request.name)
            self._dispatcher.start_attempt(task, self._store.clock())
            return _view(task, request.response_view)

    def _note(self, request: api.CreateTaskRequest, outcome: str, *, name: str) -> None:
        task = request.task
        self.creations.append(
            Creation(
                name=name,
                queue=request.parent,
                body=parsed(task.http_request.body),
                schedule_time=plain(task.schedule_time) if "schedule_time" in task else None,
                outcome=outcome,
                at=self._store.clock(),
            )
        )


def _view(task: Task, view: int) -> api.Task:
    """Return the task as it is told to clients: without its body, unless they ask for the full
    view."""
    message = api.Task(task.message)
    message.dispatch_count = task.attempts
    message.view = _View.FULL if view == _View.FULL else _View.BASIC
    if message.view == _View.BASIC:
        message.http_request.body = b""
    return message
