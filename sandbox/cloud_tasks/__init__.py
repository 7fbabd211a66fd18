"""A stand-in for Cloud Tasks: the service's own gRPC protocol, and deliveries over real HTTP.

    tasks = CloudTasks()
    tasks.start()
    channel = grpc.insecure_channel(tasks.host)
    client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))

From the shell: `python -m sandbox.cloud_tasks`.

Imitated: queues. Named tasks and their de-duplication, also after they ran. Schedules. Limits of
names, sizes, URLs and deadlines. Headers of a delivery, OIDC tokens (RS256, a key of our own).
Retries with backoff, `max_attempts` and `max_retry_duration`, per queue or per task. Rate and
concurrency. Pausing, purging, forced runs. A queue that slows down after 429 and 503 and obeys
`Retry-After`.

Not imitated: App Engine tasks, queue-level routing (`http_target`), BatchCreateTasks, IAM, CMEK,
filters of lists, logging to Cloud Logging, redirects (an answer of 3xx is a failed attempt), the
slow start of an idle queue, high error rates as a reason to slow down, deliveries that come twice
by themselves (use RunTask). How much a queue slows down is ours: the service publishes no figures,
see `Pace.slow_down`.

Schedules, backoff and names go by the clock that is given. Rates, deadlines and slowing down by
real time.

Errors and headers follow recordings of the real service in
https://github.com/aertje/cloud-tasks-emulator (conformance/golden).

A task's way: `methods` takes it in, `checks` completes or refuses it, `state` keeps it, `dispatch`
starts its attempts (`pace` says how soon, `headers` with what) and settles them, `retries` says
what follows a failure.
"""

from sandbox.cloud_tasks.records import Creation, Delivery, PendingTask
from sandbox.cloud_tasks.retries import backoff
from sandbox.cloud_tasks.server import CloudTasks

__all__ = ["CloudTasks", "Creation", "Delivery", "PendingTask", "backoff"]
