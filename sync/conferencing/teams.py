"""Microsoft Teams meetings: Graph's `onlineMeeting`, with application permission.

https://learn.microsoft.com/graph/api/resources/onlinemeeting
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit
from zoneinfo import ZoneInfo

from sync.conferencing.api import (
    Api,
    Clock,
    OAuthTokens,
    Options,
    ReadSecret,
    items_in,
    object_in,
    one_line,
    quoted,
    segment,
    status_error,
    text_in,
)
from sync.conferencing.http import Answer, HttpClient
from sync.conferencing.recurrence import is_over, last_end, moment_of, rfc3339
from sync.config import ProviderSettings
from sync.errors import (
    CredentialsRefused,
    Gone,
    Invalid,
    NoOccurrences,
    NotAllowed,
    SyncError,
    TryLater,
)
from sync.model.provider import ProviderRules, uri_pattern
from sync.model.conference import Approximation, ConferenceContent, WayIn
from sync.model.event import ConferenceId, EntryPoint

FIELDS = frozenset({"title", "start", "end", "recurrence"})
WHEN = frozenset({"start", "end", "recurrence", "duration"})

_BASE_URL = "https://graph.microsoft.com/v1.0"
_TOKEN_URL = "https://login.microsoftonline.com/{tenant_id}/oauth2/v2.0/token"
# National clouds ask for a scope of their own. https://learn.microsoft.com/graph/deployments
_NATIONAL = ("graph.microsoft.us", "dod-graph.microsoft.us", "microsoftgraph.chinacloudapi.cn")
_HOST = r"(?i:https://(?:[^/?#@]+\.)?teams\.(?:microsoft\.com|microsoft\.us|cloud\.microsoft))"
_URIS = (
    # The query says whose meeting it is.
    re.compile(_HOST + r"/l/meetup-join/([^/?#]+/\d+/?\?[^#]*context=[^#]+)(?:#.*)?"),
    re.compile(_HOST + r"/l/meetup-join/([^/?#]+)(?:[/?#].*)?"),
    re.compile(_HOST + r"/meet/(\d{9,20})/?(?:[?#].*)?"),
)

# A guess: Graph documents no limit of a subject; Exchange's is 255.
_TITLE_LIMIT = 255
# The meeting of an endless series is told to end so far from now, and moved on in good time.
_FURTHEST = timedelta(days=365)
_REMEMBERED = 10_000

_UTC = ZoneInfo("UTC")
_Result = TypeVar("_Result")


class TeamsProvider:
    """`Provider` for Teams. The secret holds `{"tenant_id", "client_id", "client_secret"}`.

    Option `host`: the directory object id of the user for whom meetings are created anew, and whose
    are those whose link does not say. One meeting serves a whole series: Graph knows no recurrence,
    and no occurrences.
    """

    def __init__(self, settings: ProviderSettings, read_secret: ReadSecret, clock: Clock) -> None:
        options = Options(settings, {"host"})
        self.name = settings.name
        self._clock = clock
        self._host = options.text("host", "dc17674c-81d9-4adb-bfb2-8f882a442e4c")
        http = HttpClient()
        base_url, token_url = (
            options.url("base_url", _BASE_URL),
            options.url("token_url", _TOKEN_URL),
        )
        graph = urlsplit(base_url).hostname
        scope = f"https://{graph if graph in _NATIONAL else 'graph.microsoft.com'}/.default"

        def ask(secret: Mapping[str, str]) -> Answer:
            form = {
                "grant_type": "client_credentials",
                "client_id": secret["client_id"],
                "client_secret": secret["client_secret"],
                "scope": scope,
            }
            url = token_url.replace("{tenant_id}", quote(secret["tenant_id"], safe=""))
            return http.request("POST", url, form=form)

        fields = ("tenant_id", "client_id", "client_secret")
        self._tokens = OAuthTokens(settings, read_secret, clock, fields=fields, ask=ask)
        self._api = Api(self.name, base_url, self._tokens, clock, http, classify)
        self._paths: dict[str, str] = {}
        self._lock = threading.Lock()
        self._rules = ProviderRules(
            name=settings.name,
            solutions=frozenset(settings.solutions),
            uris=(*_URIS, *(uri_pattern(uri) for uri in settings.uris)),
            fields=FIELDS,
            normalise=meeting_id,
        )

    @property
    def rules(self) -> ProviderRules:
        return self._rules

    def create(self, content: ConferenceContent, idempotency_key: str) -> WayIn:
        if is_over(content, self._clock()):
            raise Invalid("the event is over; no meeting is created in the past")
        if not self._host:
            raise Invalid(
                "there is no user for whom to create a meeting; set host to a user's object id in the provider's entry "
                "of SYNC_PROVIDERS"
            )
        body = {"externalId": idempotency_key, **self._told(content, FIELDS)}
        answer = self._api.call("POST", f"{_user(self._host)}/createOrGet", body=body)
        meeting = object_in(answer, self.name)
        made = way_in(meeting, self.name)
        self._remember(made.conference_id, self._host, str(meeting["id"]))
        return made

    def read(self, conference_id: ConferenceId) -> WayIn:
        return way_in(self._on(conference_id, self._api.read), self.name)

    def update(
        self, conference_id: ConferenceId, content: ConferenceContent, changed: frozenset[str]
    ) -> None:
        """Send what differs. The meeting of an event that is over may be gone with it, which is
        no loss."""
        body = self._told(content, changed)
        if not body:
            return
        try:
            self._on(conference_id, lambda path: self._api.call("PATCH", path, body=body))
        except Gone:
            if not is_over(content, self._clock()):
                raise

    def delete(self, conference_id: ConferenceId) -> None:
        try:
            self._on(conference_id, lambda path: self._api.call("DELETE", path))
        except Gone:
            return

    def update_occurrence(
        self, conference_id: ConferenceId, original_start: str, content: ConferenceContent
    ) -> None:
        raise NoOccurrences(f"{self.name} has no occurrences")

    def cancel_occurrence(self, conference_id: ConferenceId, original_start: str) -> None:  # noqa: ARG002 - the protocol's
        raise NoOccurrences(f"{self.name} has no occurrences")

    def canonical(self, conference_id: ConferenceId) -> ConferenceId:
        """Return Graph's id of a meeting that is shown by its number, or by a link that does not
        tell it."""
        if self._path_of(conference_id) is not None:
            return conference_id
        path = self._paths.get(conference_id) or self._look_up(conference_id)
        return ConferenceId(unquote(path.rpartition("/")[2]))

    def close(self) -> None:
        self._api.close()

    def approximation(self, content: ConferenceContent) -> Approximation | None:
        """Return how Teams' meeting falls short of an endless series, whose end is moved on;
        None: it does not."""
        end, again_at = last_end(content, self._clock(), _FURTHEST)
        if again_at is None:
            return None
        reason = f"Teams' meeting serves this series until {end:%Y-%m-%d}; that is moved on from {again_at:%Y-%m-%d} on"
        return Approximation(reason=reason, again_at=again_at)

    def _told(self, content: ConferenceContent, changed: frozenset[str]) -> dict[str, str]:
        """Start and end go together, in UTC; those of a series are where it begins and where it
        ends for good."""
        told = {}
        if "title" in changed:
            told["subject"] = one_line(content.title, _TITLE_LIMIT)
        if changed & WHEN:
            start = moment_of(content.start, _UTC)
            end, _ = last_end(content, self._clock(), _FURTHEST)
            told["startDateTime"] = rfc3339(start)
            told["endDateTime"] = rfc3339(max(end, start + timedelta(minutes=1)))
        return told

    def _on(self, conference_id: ConferenceId, act: Callable[[str], _Result]) -> _Result:
        """Do something to a meeting. One that is not where its id says is looked up by its link
        before it is gone."""
        path = self._paths.get(conference_id) or self._path_of(conference_id)
        if path is None:
            return act(self._look_up(conference_id))
        try:
            return act(path)
        except Gone:
            if conference_id in self._paths:
                raise
            found = self._look_up(conference_id)
            if found == path:
                raise
            return act(found)

    def _path_of(self, conference_id: ConferenceId) -> str | None:
        """Return the path of a meeting whose Graph id is known; such an id names the organizer,
        too."""
        if _JOIN_ID.fullmatch(conference_id) or _THREAD.fullmatch(conference_id):
            return None
        parts = parts_of(conference_id)
        host = parts[0] if parts else self._host
        if host is None:
            raise Invalid(
                "nobody says whose meeting this is; set host in the provider's entry of SYNC_PROVIDERS"
            )
        return f"{_user(host)}/{segment(conference_id)}"

    def _look_up(self, conference_id: ConferenceId) -> str:
        """Return the path of a meeting known by its join link or its number. Raises Gone if
        there is none."""
        organizer, thread = parts_of(conference_id) or (self._host, conference_id)
        if organizer is None:
            raise Invalid(
                "nobody says whose meeting this is; set host in the provider's entry of SYNC_PROVIDERS"
            )
        if _JOIN_ID.fullmatch(conference_id):
            condition = f"joinMeetingIdSettings/joinMeetingId eq '{conference_id}'"
        elif _THREAD.fullmatch(thread):
            condition = (
                f"JoinWebUrl eq '{join_url(thread, self._tokens.secret()['tenant_id'], organizer)}'"
            )
        else:
            raise Gone(f"{self.name} knows no such meeting")
        found = items_in(
            self._api.read(_user(organizer), query={"$filter": condition}).get("value")
        )
        graph_id = next((known for meeting in found if (known := text_in(meeting, "id"))), None)
        if graph_id is None:
            raise Gone(f"{self.name} knows no meeting by that link")
        return self._remember(conference_id, organizer, graph_id)

    def _remember(self, conference_id: ConferenceId, host: str, graph_id: str) -> str:
        with self._lock:
            if len(self._paths) >= _REMEMBERED:
                self._paths.clear()
            self._paths[conference_id] = path = f"{_user(host)}/{segment(graph_id)}"
        return path


def classify(answer: Answer, provider: str, now: datetime) -> SyncError | None:
    """Return what an answer of Graph means (C3), None for success. Pure.

    A missing application access policy stands in the way of all meetings: CredentialsRefused. Any other
    403 is about one meeting, or one host. 404 is Gone only in the words for a meeting; an unknown
    user is Invalid. https://learn.microsoft.com/graph/errors
    """
    status = answer.status
    if 200 <= status < 300:
        return None
    value = answer.json()
    error = value.get("error") if isinstance(value, dict) else None
    error = error if isinstance(error, dict) else {}
    code, message = text_in(error, "code") or "", text_in(error, "message") or ""
    said = f"{provider} answered {status} {code}".rstrip()
    if status in (401, 403) and re.search(
        r"application access policy|not authorized to create on behalf", message, re.I
    ):
        return CredentialsRefused(
            f"{said}: no application access policy lets our app act for this user; grant one with "
            "Grant-CsApplicationAccessPolicy, it takes up to 30 minutes to act",
            provider=provider,
        )
    general = status_error(answer, provider, now)
    if general is not None:
        return general
    reason = f"{said}{quoted(message)}"
    if status == 403:
        return NotAllowed(
            f"{reason}; check the permission OnlineMeetings.ReadWrite.All and the policy for this user"
        )
    if status == 404 and code == "NotFound" and not re.search(r"\buser\b", message, re.I):
        return Gone(said)
    if status == 410:
        return Gone(said)
    if status == 409:
        return TryLater(reason)
    if status == 404:
        return Invalid(f"{reason}; check host and base_url in SYNC_PROVIDERS")
    return Invalid(reason)


_THREAD = re.compile(r"19:[^/?#\s]+@thread\.[a-z0-9]+")
_OBJECT_ID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_JOIN_ID = re.compile(r"\d{9,20}")


def meeting_id(text: str) -> str:
    """Return how a meeting is known here, from what Calendar shows: Graph's id, a join link or a
    part of it, a number.

    A join link names thread and organizer, of which Graph makes its id; without the organizer the
    thread is kept, and looked up when it is needed. Numbers lose their blanks.
    """
    text = text.strip()
    plain = unquote(unquote(text))
    thread = _THREAD.search(plain)
    if thread:
        organizer = re.search(rf'"Oid"\s*:\s*"({_OBJECT_ID})"', plain)
        return graph_id(organizer[1], thread[0]) if organizer else thread[0]
    digits = re.sub(r"[\s\u2010-\u2015-]+", "", text)
    return digits if _JOIN_ID.fullmatch(digits) else text


def graph_id(organizer: str, thread: str) -> str:
    return base64.b64encode(f"1*{organizer.lower()}*0**{thread}".encode()).decode()


def parts_of(conference_id: str) -> tuple[str, str] | None:
    """Return organizer and thread of a Graph id; None for an id of another form, which Graph may
    use as well."""
    try:
        text = base64.b64decode(conference_id, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    found = re.fullmatch(rf"1\*({_OBJECT_ID})\*0\*\*({_THREAD.pattern})", text)
    return (found[1], found[2]) if found else None


def join_url(thread: str, tenant_id: str, organizer: str) -> str:
    """Return a join link as Graph writes it, down to its small percent codes: the filter
    compares texts."""
    context = f'{{"Tid":"{tenant_id}","Oid":"{organizer}"}}'
    encoded = re.sub(
        r"%[0-9A-F]{2}", lambda code: code[0].lower(), f"{quote(thread)}/0?context={quote(context)}"
    )
    return f"https://teams.microsoft.com/l/meetup-join/{encoded}"


def way_in(meeting: dict[str, Any], provider: str) -> WayIn:
    """Return how people enter a meeting. Its options page is the organizer's and is not looked
    at."""
    known = text_in(meeting, "id")
    if known is None:
        raise TryLater(f"{provider} answered success without a meeting", outcome_unknown=True)
    settings, audio = meeting.get("joinMeetingIdSettings"), meeting.get("audioConferencing")
    settings = settings if isinstance(settings, dict) else {}
    audio = audio if isinstance(audio, dict) else {}
    points = []
    if link := text_in(meeting, "joinWebUrl"):
        points.append(
            EntryPoint(
                kind="video",
                uri=link,
                label=urlsplit(link).netloc,
                meeting_code=text_in(settings, "joinMeetingId"),
                passcode=text_in(settings, "passcode"),
            )
        )
    code = text_in(audio, "conferenceId")
    for number in _numbers(audio):
        dialled = re.sub(r"[^\d+]", "", number)
        uri = f"tel:{dialled},,{code}#" if code else f"tel:{dialled}"
        points.append(EntryPoint(kind="phone", uri=uri, label=number, pin=code))
    if more := text_in(audio, "dialinUrl"):
        points.append(EntryPoint(kind="more", uri=more))
    return WayIn(conference_id=ConferenceId(meeting_id(known)), entry_points=tuple(points))


def _numbers(audio: Mapping[str, Any]) -> list[str]:
    """The numbers to dial, each once; one is given alone, several in a list, or both."""
    numbers: dict[str, None] = {}
    for one, several in (("tollNumber", "tollNumbers"), ("tollFreeNumber", "tollFreeNumbers")):
        listed = audio.get(several)
        for number in (audio.get(one), *(listed if isinstance(listed, list) else [])):
            if isinstance(number, str) and number:
                numbers[number] = None
    return list(numbers)


def _user(host: str) -> str:
    return f"/users/{segment(host)}/onlineMeetings"
