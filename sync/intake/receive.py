"""What a notification sets going: it is verified, and its task enqueued.

This is all that the public function needs. It knows no database and no Calendar API, and starts
without those clients.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sync import config
from sync.errors import ConfigurationError, Invalid, NotAllowed
from sync.google.secret_manager import REMEMBERED_SECONDS, SecretManager
from sync.google.task_queue import TaskQueue
from sync.intake import notifications
from sync.intake.keys import ChannelKeys
from sync.model.calendar import Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What the public function needs: the channel keys, and the queue."""

    keys: ChannelKeys
    queue: TaskQueue
    coalesce: timedelta

    @classmethod
    def from_settings(cls, settings: config.Settings) -> Intake:
        return cls(
            keys=ChannelKeys(
                SecretManager(emulator=settings.secrets_emulator), settings.channel_key
            ),
            queue=task_queue(settings),
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
    secrets: SecretManager, name: str, max_age_seconds: float = REMEMBERED_SECONDS
) -> list[bytes]:
    """Return the keys that channel tokens are signed with, the signing one first.

    Keys that were read longer ago than `max_age_seconds` are read again. Raises TryLater, and
    ConfigurationError for a secret that is missing, empty or closed to us.
    """
    try:
        return notifications.keys_from_secret(secrets.read(name, max_age_seconds=max_age_seconds))
    except (Invalid, NotAllowed) as error:
        raise ConfigurationError(f"SYNC_CHANNEL_KEY: {error}") from error


def receive(intake: Intake, headers: notifications.Headers, now: datetime) -> None:
    """Verify a notification and enqueue the sync it asks for. Return once that is certain.

    Raises Forged for every reason not to believe it (N1), TryLater when no task could be created
    (N4), and ConfigurationError. Safe to repeat: within a coalescing window, tasks of the same
    names are asked for.
    """
    notification = intake.keys.verify(headers)
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
