"""Query parameters: which ones each method knows, and their values read and checked."""

from __future__ import annotations

from datetime import datetime
from typing import overload

from werkzeug.datastructures import MultiDict

from sandbox.google_calendar import bodies, times
from sandbox.google_calendar.errors import ApiError
from sandbox.google_calendar.queries import ListQuery

_MOST_QUOTA_USER_CHARACTERS = 40


class Parameters:
    """One request's parameters. Raises ApiError (400) for names and values that the method does
    not know."""

    def __init__(self, values: MultiDict[str, str], known: frozenset[str]) -> None:
        self._values = values
        for name in values:
            if name not in known:
                raise ApiError(
                    "invalidParameter",
                    f'Unknown name "{name}": Cannot bind query parameter.',
                    location=name,
                )
        if len(values.get("quotaUser", "")) > _MOST_QUOTA_USER_CHARACTERS:
            raise ApiError(
                "invalidParameter", "quotaUser must not exceed 40 characters.", location="quotaUser"
            )
        if values.get("alt", "json") != "json":
            raise ApiError("invalidParameter", "alt must be json.", location="alt")
        if values.get("sendUpdates", "none") not in ("all", "externalOnly", "none"):
            raise ApiError(
                "invalidParameter", "Invalid value for sendUpdates.", location="sendUpdates"
            )

    def text(self, name: str) -> str | None:
        return self._values.get(name)

    def flag(self, name: str) -> bool | None:
        text = self._values.get(name)
        if text is None or text in ("true", "false"):
            return None if text is None else text == "true"
        raise ApiError("invalidParameter", f"Invalid boolean value: '{text}'.", location=name)

    @overload
    def number(
        self,
        name: str,
        default: int,
        *,
        least: int = 1,
        most: int | None = None,
        clamp: bool = True,
    ) -> int: ...
    @overload
    def number(
        self,
        name: str,
        default: None,
        *,
        least: int = 1,
        most: int | None = None,
        clamp: bool = True,
    ) -> int | None: ...
    def number(
        self,
        name: str,
        default: int | None,
        *,
        least: int = 1,
        most: int | None = None,
        clamp: bool = True,
    ) -> int | None:
        """Return the number. More than `most` counts as `most`, or is refused without `clamp`."""
        text = self._values.get(name)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError as error:
            raise ApiError(
                "invalidParameter", f"Invalid integer value: '{text}'.", location=name
            ) from error
        if value < least or (most is not None and value > most and not clamp):
            raise ApiError(
                "invalidParameter", f"Invalid value '{value}' for {name}.", location=name
            )
        return value if most is None else min(value, most)

    def moment(self, name: str) -> datetime | None:
        text = self._values.get(name)
        return None if text is None else times.parse(text, location=name)

    def list_query(self) -> ListQuery:
        kinds = tuple(self._values.getlist("eventTypes"))
        order = self.text("orderBy")
        if not bodies.EVENT_TYPES.issuperset(kinds):
            raise ApiError(
                "invalidParameter", "Invalid value for eventTypes.", location="eventTypes"
            )
        if order not in (None, "startTime", "updated"):
            raise ApiError("invalidParameter", "Invalid value for orderBy.", location="orderBy")
        zone = self.text("timeZone")
        if zone is not None:
            times.zone(zone)
        return ListQuery(
            max_results=self.number("maxResults", 250, most=2500),
            page_token=self.text("pageToken"),
            sync_token=self.text("syncToken"),
            show_deleted=self.flag("showDeleted"),
            single_events=bool(self.flag("singleEvents")),
            event_types=kinds,
            order_by=order,
            ical_uid=self.text("iCalUID"),
            text=self.text("q"),
            private=tuple(self._values.getlist("privateExtendedProperty")),
            shared=tuple(self._values.getlist("sharedExtendedProperty")),
            time_min=self.moment("timeMin"),
            time_max=self.moment("timeMax"),
            updated_min=self.moment("updatedMin"),
            time_zone=zone,
            max_attendees=self.number("maxAttendees", None),
            fields=self.text("fields"),
            show_hidden_invitations=bool(self.flag("showHiddenInvitations")),
            given=frozenset(self._values),
        )
