"""What can go wrong, named by what to do about it.

Adapters translate the errors of their libraries into these. Above the adapters nobody sees a
library's exception. The text of each is for the operator: what happened, and the mend. It never
holds a secret, a title, an address of a guest or a join link, because it is shown in `GET
/failures` and may be logged.
"""

from __future__ import annotations

from datetime import timedelta


class SyncError(Exception):
    """The family. Catch it to catch them all."""


class ConfigurationError(SyncError):
    """A setting is missing or wrong. The text names the variable and the mend. The function does
    not start."""


class TryLater(SyncError):
    """The same call may succeed later: rate limits, 5xx, time-outs, a queue or a database out of
    reach.

    `after` is how long the other side asked us to wait, if it did. `everybody`: it asked that of
    all calls, not of this one. `outcome_unknown` is true when the call may have taken effect
    although no answer came. Repeat it only in a way that is safe to repeat. `unsent`: we held it
    back ourselves, so it is no failed try.
    """

    def __init__(
        self,
        message: str,
        *,
        after: timedelta | None = None,
        everybody: bool = False,
        outcome_unknown: bool = False,
        unsent: bool = False,
    ) -> None:
        super().__init__(message)
        self.after = after
        self.everybody = everybody
        self.outcome_unknown = outcome_unknown
        self.unsent = unsent


class QuotaExceeded(TryLater):
    """A quota of Calendar is used up for hours (W3)."""


class Gone(SyncError):
    """The thing itself does not exist any more, and the owner said so itself. Deleting it is
    done."""


class Invalid(SyncError):
    """The request can never succeed as it is. Repeating it cannot help until its content
    changes."""


class NotWatchable(Invalid):
    """Calendar cannot notify us of this calendar's changes. It has to be polled."""


class WatchFailed(SyncError):
    """Calendar did not open a channel. The text says why. Starting the calendar again is safe."""


class Malformed(Invalid):
    """Foreign data without the fields that its own description promises."""


class NoOccurrences(SyncError):
    """The provider does not know single occurrences of a series. Leave them alone from now on
    (E5)."""


class LeftAlone(SyncError):
    """The conference is not proven to be the event's, so nothing is changed (O3).

    The text is the reason, for the operator. `rule` is the rule that keeps us from acting.
    """

    def __init__(self, reason: str, *, rule: str) -> None:
        super().__init__(reason)
        self.rule = rule


class NotAllowed(SyncError):
    """We may not: access was withdrawn, or never given. A person must act."""


class RoleTooLow(NotAllowed):
    """Calendar's sharing lets us see too little of a calendar to decide anything (E6)."""


class CredentialsRefused(NotAllowed):
    """A provider refuses our credentials: one failure of the provider, not of each event (C5)."""

    def __init__(self, message: str, *, provider: str) -> None:
        super().__init__(message)
        self.provider = provider


class Conflict(SyncError):
    """Somebody else wrote first (412, or a failed compare-and-set): read again and decide again."""


class LeaseHeld(SyncError):
    """Another run has this calendar. The queue brings the task again (S1)."""


class LeaseLost(SyncError):
    """This run outlived its lease and another took the calendar over: stop, and write nothing
    more (S1)."""


class SyncTokenExpired(SyncError):
    """Calendar no longer knows the sync token: list everything (S3)."""


class NotFound(SyncError):
    """An operator named something that is not there."""


class Forged(SyncError):
    """A notification that we did not ask for, whatever it lacks. The reason is never told to the
    caller (N1)."""
