"""A company's own conferencing system, reached through the `rest` contract:
docs/rest-conferencing.openapi.yaml."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any, ClassVar
from urllib.parse import quote

from sync.backoff import retry_after
from sync.conferencing.adapter import Adapter, Context, delete_for_good
from sync.conferencing.api import (
    Api,
    items_in,
    not_its_words,
    object_in,
    segment,
    status_error,
    text_in,
    texts_in,
)
from sync.conferencing.http import Answer, HttpClient
from sync.conferencing.options import Options
from sync.conferencing.recurrence import CHECKED
from sync.conferencing.text import quoted
from sync.conferencing.tokens import SecretToken
from sync.config import ProviderSettings
from sync.errors import (
    ConfigurationError,
    Gone,
    Invalid,
    Malformed,
    NoOccurrences,
    NotAllowed,
    SyncError,
    TryLater,
)
from sync.model.conference import ConferenceContent, Sight, WayIn
from sync.model.event import ConferenceId, EntryPoint, EventTime, address_of, clean
from sync.model.series import Impossible, parse

# So many conferences' descriptions are remembered, for a PUT has to repeat them.
_REMEMBERED = 10_000
_DETAILS = ("label", "passcode", "pin", "access_code", "meeting_code", "password", "region_code")


class RestProvider(Adapter):
    """`Adapter` for the `rest` contract. `base_url` names the system, the secret holds `{"token"}`.

    The system is the company's own: where an answer names no organizer, conference data proves
    enough (O2), and a conference that was never reached may be created (O4).
    """

    FIELDS: ClassVar = frozenset(
        {
            "title",
            "description",
            "start",
            "end",
            "time_zone",
            "recurrence",
            "organizer",
            "attendees",
        }
    )
    OCCURRENCES: ClassVar = True
    TRUSTS_CONFERENCE_DATA: ClassVar = True
    CREATES_UNSEEN: ClassVar = True

    def __init__(self, settings: ProviderSettings, context: Context) -> None:
        base_url = Options(settings, ()).text("base_url", "https://meet.example.com/api")
        if base_url is None:
            raise ConfigurationError(
                f"SYNC_PROVIDERS, provider {settings.name}: base_url is missing; "
                "set it to the address of your system"
            )
        super().__init__(settings, context)
        tokens = SecretToken(settings, context)
        self._api = Api(self.name, base_url, tokens, context.clock, HttpClient(), classify)
        self._refuses_occurrences = False
        self._descriptions: dict[str, str] = {}
        self._lock = threading.Lock()

    def create(
        self, content: ConferenceContent, idempotency_key: str, host: str | None = None
    ) -> WayIn:
        body = body_of(content, organizer=host)
        answer = self._api.call(
            "POST", "/conferences", body=body, headers={"Idempotency-Key": idempotency_key}
        )
        return way_in(self._known(answer))

    def look(
        self, conference_id: ConferenceId, content: ConferenceContent, asked_as: Sequence[str] = ()
    ) -> Sight:
        """Read a conference. Its `organizer`, if the answer names one, is whose it is.

        An organizer that is no text is somebody, and nobody whom we know.
        """
        conference = self._known(self._api.read(_path(conference_id)))
        organizer = (text_in(conference, "organizer") or "").strip()
        unreadable = not isinstance(conference.get("organizer", ""), str | None)
        return Sight(
            way_in=way_in(conference),
            hosts=frozenset({address_of(organizer)} if organizer or unreadable else ()),
            seen_as=organizer or None,
            recurring=bool(_lines(conference)),
            starts=_time(conference, "start"),
            differs=_differing(conference, content, self._clock()),
        )

    def read(self, conference_id: ConferenceId, host: str | None = None) -> WayIn:
        return way_in(self._known(self._api.read(_path(conference_id))))

    def update(
        self,
        conference_id: ConferenceId,
        content: ConferenceContent,
        changed: frozenset[str],
        host: str | None = None,
    ) -> None:
        """Replace a conference, as the contract has it.

        What people keep there is repeated: a description, where the event has none and did not
        empty it, and the organizer as whose the conference was seen (O5).
        """
        body = body_of(content, organizer=None if "organizer" in changed else host)
        if not content.description and "description" not in changed:
            body["description"] = self._description_of(conference_id)
        path = _path(conference_id)
        answer = self._api.tell("PUT", path, body={"id": conference_id, **body})
        if answer:
            self._known(answer)

    def delete(self, conference_id: ConferenceId, host: str | None = None) -> None:
        path = _path(conference_id)
        delete_for_good(lambda: self._api.tell("DELETE", path), "your system")

    def update_occurrence(
        self,
        conference_id: ConferenceId,
        original_start: str,
        content: ConferenceContent,
        host: str | None = None,
    ) -> None:
        body = {"id": conference_id, **body_of(content, organizer=host)}
        self._tell_occurrence("PUT", conference_id, original_start, body)

    def cancel_occurrence(
        self, conference_id: ConferenceId, original_start: str, host: str | None = None
    ) -> None:
        self._tell_occurrence("DELETE", conference_id, original_start, None)

    def close(self) -> None:
        self._api.close()

    def _tell_occurrence(
        self,
        method: str,
        conference_id: ConferenceId,
        original_start: str,
        body: dict[str, Any] | None,
    ) -> None:
        if self._refuses_occurrences:
            raise NoOccurrences(f"{self.name} has no occurrences")
        path = f"{_path(conference_id)}/occurrences/{quote(original_start, safe=':')}"
        answer = self._api.ask(method, path, body=body)
        if answer.status == 404:
            # About this series alone; or the whole conference is gone, and then this says so.
            self.read(conference_id)
            # A single not-found is no evidence: what it says is remembered for the whole series.
            answer = self._api.ask(method, path, body=body)
        if answer.status in (404, 405, 501):
            self._refuses_occurrences = answer.status != 404
            raise NoOccurrences(f"{self.name} has no occurrences (it answered {answer.status})")
        if self._api.checked(answer).status != 204:
            object_in(answer, self.name)

    def _known(self, conference: dict[str, Any]) -> dict[str, Any]:
        """Return a conference that an answer holds, and remember its description.

        Raises TryLater for an object that is none: it tells nothing.
        """
        known = conference.get("id")
        if not isinstance(known, str | int) or isinstance(known, bool) or known == "":
            raise TryLater(
                f"{self.name} answered success without a conference", outcome_unknown=True
            )
        with self._lock:
            if len(self._descriptions) >= _REMEMBERED:
                self._descriptions.clear()
            self._descriptions[str(known)] = text_in(conference, "description") or ""
        return conference

    def _description_of(self, conference_id: ConferenceId) -> str:
        """Return what people wrote of a conference, as it was answered last, or is answered now."""
        if conference_id not in self._descriptions:
            self._known(self._api.read(_path(conference_id)))
        return self._descriptions.get(conference_id, "")


def classify(answer: Answer, provider: str, now: datetime) -> SyncError | None:
    """Return what an answer means for whoever called (C3), None for success. Pure.

    404 and 410 are Gone with a JSON object that has `error`. Another body is a proxy's.
    """
    status = answer.status
    if 200 <= status < 300:
        return None
    general = status_error(answer, provider, now)
    if general is not None:
        return general
    said = f"{provider} answered {status}"
    if status == 403:
        # The token is good: it is this conference that we may not touch, and the others must not
        # wait for it.
        return NotAllowed(f"{said}: our token may not do this{_message(answer)}")
    if status in (404, 410):
        return Gone(said) if _error_in(answer) is not None else not_its_words(answer, provider)
    if status == 409:
        return TryLater(said, after=retry_after(answer.headers, now))
    return Invalid(f"{said}{_message(answer)}")


def body_of(content: ConferenceContent, *, organizer: str | None = None) -> dict[str, Any]:
    """Return a conference as the contract writes it. `organizer` None: the event's."""
    return {
        "title": content.title,
        "description": content.description,
        "start": content.start.isoformat(),
        "end": content.end.isoformat(),
        "time_zone": content.start.time_zone,
        "all_day": content.start.all_day,
        "recurrence": list(content.recurrence),
        "organizer": organizer or content.organizer,
        "attendees": list(content.attendees),
        "event": {
            "calendar_id": content.event.calendar_id,
            "event_id": content.event.event_id,
            "ical_uid": content.ical_uid,
        },
    }


def way_in(conference: Mapping[str, Any]) -> WayIn:
    """Parse a conference as the contract writes it.

    Entry points without an address are passed over.
    """
    return WayIn(
        conference_id=ConferenceId(clean(str(conference["id"]))),
        entry_points=tuple(
            EntryPoint(
                kind=text_in(point, "type") or "",
                uri=uri,
                **{name: text for name in _DETAILS if (text := text_in(point, name))},
            )
            for point in items_in(conference.get("entry_points"))
            if (uri := text_in(point, "uri"))
        ),
        notes=text_in(conference, "notes"),
    )


def _differing(
    conference: Mapping[str, Any], content: ConferenceContent, now: datetime
) -> frozenset[str]:
    """Name the fields in which a conference differs from what a PUT would send of an event.

    A description that people keep there does not differ from none. The organizer is not compared:
    whose a conference is, is judged by the proof (O2).
    """
    differing = set()
    if conference.get("title") != content.title:
        differing.add("title")
    if content.description and conference.get("description") != content.description:
        differing.add("description")
    for name, wanted in (("start", content.start), ("end", content.end)):
        there = _time(conference, name)
        if there is None or (there.moment, there.day) != (wanted.moment, wanted.day):
            differing.add(name)
    if text_in(conference, "time_zone") != content.start.time_zone:
        differing.add("time_zone")
    if _other_dates(conference, content, now):
        differing.add("recurrence")
    known = {each.lower() for each in texts_in(conference.get("attendees"))}
    if known != {each.lower() for each in content.attendees}:
        differing.add("attendees")
    return frozenset(differing)


def _other_dates(conference: Mapping[str, Any], content: ConferenceContent, now: datetime) -> bool:
    """Whether the recurrence means other dates. Lines in another order or spelling do not."""
    lines = _lines(conference)
    if set(lines) == set(content.recurrence):
        return False
    if not lines or not content.recurrence:
        return True
    start, end = _time(conference, "start"), _time(conference, "end")
    if start is None or end is None:
        return True
    wanted = parse(content)
    there = parse(replace(content, start=start, end=end, recurrence=lines))
    if isinstance(wanted, Impossible) or isinstance(there, Impossible):
        return True
    dates = [list(islice(series.dates(now), CHECKED)) for series in (wanted, there)]
    return dates[0] != dates[1]


def _lines(conference: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(texts_in(conference.get("recurrence")))


def _time(conference: Mapping[str, Any], name: str) -> EventTime | None:
    """Read a time of the contract: RFC 3339 with offset, or a date."""
    text = text_in(conference, name) or ""
    zone = text_in(conference, "time_zone")
    form = {"date": text} if len(text) == 10 else {"dateTime": text, "timeZone": zone}
    try:
        return EventTime.from_api(form)
    except Malformed:
        return None


def _path(conference_id: ConferenceId) -> str:
    return f"/conferences/{segment(conference_id).replace('@', '%40')}"


def _error_in(answer: Answer) -> object:
    """The `error` of an answer in the contract's own form. None for what is none."""
    return answer.members().get("error")


def _message(answer: Answer) -> str:
    """The system's own words, for the list of failures."""
    error = _error_in(answer)
    return quoted(error.get("message") if isinstance(error, dict) else error)
