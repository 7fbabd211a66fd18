"""What a notification sets going: it is believed, and its task enqueued. No database and no
Calendar API in reach.

This is all that the public function needs, kept apart from `services` so that it starts without
those clients.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sync import config
from sync.errors import ConfigurationError, Forged, Invalid, NotAllowed
from sync.google import secret_manager
from sync.google.secret_manager import SecretManager
from sync.google.task_queue import TaskQueue
from sync.intake import notifications
from sync.model.calendar import Channel

# Whoever sends forged tokens makes us read the secret at most once in so many seconds.
_LOOK_AGAIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Secrets for the channel keys, and the queue."""

    secrets: SecretManager
    queue: TaskQueue
    channel_key: str
    coalesce: timedelta

    @classmethod
    def from_settings(cls, settings: config.Settings) -> Intake:
        return cls(
            secrets=SecretManager(emulator=settings.secrets_emulator),
            queue=task_queue(settings),
            channel_key=settings.channel_key,
            coalesce=settings.coalesce,
        )


def task_queue(settings: config.Settings) -> TaskQueue:
    return TaskQueue(
        queue=settings.queue,
        worker_url=settings.worker_url,
        service_account=settings.tasks_service_account,
        dispatch_deadline=config.DISPATCH_DEADLINE,
        emulator=settings.tasks_emulator,
    )


def channel_keys(
    secrets: SecretManager, name: str, *, max_age_seconds: float = secret_manager.REMEMBERED_SECONDS
) -> list[bytes]:
    """Return the keys that channel tokens are signed with, the signing one first.

    Raises TryLater, and ConfigurationError for a secret that is missing, empty or closed to us.
    """
    try:
        return notifications.keys_from_secret(secrets.read(name, max_age_seconds=max_age_seconds))
    except (Invalid, NotAllowed) as error:
        raise ConfigurationError(f"SYNC_CHANNEL_KEY: {error}") from error


def receive(intake: Intake, headers: notifications.Headers, now: datetime) -> None:
    """Believe a notification and enqueue the sync it asks for; return once that is certain.

    Raises Forged for every reason not to believe it (N1), TryLater when no task could be created
    (N4), and ConfigurationError. Safe to repeat: within a coalescing window, tasks of the same
    names are asked for.
    """
    try:
        notification = notifications.verify(
            channel_keys(intake.secrets, intake.channel_key), headers
        )
    except Forged:
        # A key added a moment ago signs new channels already, while this instance may remember the
        # secret without it.
        keys = channel_keys(intake.secrets, intake.channel_key, max_age_seconds=_LOOK_AGAIN_SECONDS)
        notification = notifications.verify(keys, headers)
    if notification.greeting:
        return  # N2
    channel = Channel(id=notification.channel_id, resource_id=notification.resource_id)
    if not intake.coalesce:
        intake.queue.enqueue_calendar(notification.calendar_id, channel=channel)
        return
    first, rest = notifications.tasks_of_window(notification.calendar_id, now, intake.coalesce)
    if not intake.queue.enqueue_calendar(
        notification.calendar_id, name=first.name, at=first.at, channel=channel
    ):
        intake.queue.enqueue_calendar(
            notification.calendar_id, name=rest.name, at=rest.at, channel=channel
        )
