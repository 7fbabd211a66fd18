"""Microsoft Teams meetings: Graph's `onlineMeeting`, with application permission.

https://learn.microsoft.com/graph/api/resources/onlinemeeting
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, NamedTuple, TypeVar
from urllib.parse import quote, unquote, urlsplit

from sync.conferencing.adapter import (
    Adapter,
    Context,
    delete_for_good,
    first_to_see,
    in_turn,
    whole_addresses,
)
from sync.conferencing.api import (
    Api,
    items_in,
    not_its_words,
    object_of,
    parts_of_link,
    segment,
    status_error,
    text_in,
    texts_in,
)
from sync.conferencing.http import Answer, HttpClient
from sync.conferencing.options import Options
from sync.conferencing.recurrence import moment_in, rfc3339, served_until
from sync.conferencing.text import one_line, quoted
from sync.conferencing.tokens import OAuthTokens, refuses_token
from sync.config import ProviderSettings
from sync.errors import CredentialsRefused, Gone, Invalid, NotAllowed, SyncError, TryLater
from sync.model.conference import Approximation, ConferenceContent, Sight, WayIn
from sync.model.event import ConferenceId, EntryPoint, EventTime, address_of
from sync.model.series import is_over, moment_of

WHEN = frozenset({"start", "end", "recurrence", "duration"})

_BASE_URL = "https://graph.microsoft.com/v1.0"
_TOKEN_URL = "https://login.microsoftonline.com/{tenant_id}/oauth2/v2.0/token"
# National clouds ask for a scope of their own, and their links have hosts of their own.
# https://learn.microsoft.com/graph/deployments
_NATIONAL = {
    "graph.microsoft.us": "gov.teams.microsoft.us",
    "dod-graph.microsoft.us": "dod.teams.microsoft.us",
    "microsoftgraph.chinacloudapi.cn": "teams.microsoft.com",
}
_HOST = (
    r"(?i:https?://(?:[^/?#@\s]+\.)?teams\.(?:microsoft\.com|microsoft\.us|cloud\.microsoft))"
    # The client in a browser has the same paths in its fragment.
    r"(?::443)?(?:/(?:v2/|_)?(?:\?[^#]*)?#)?"
)
_URIS = (
    # The query says whose meeting it is.
    re.compile(_HOST + r"/l/meetup-join/([^/?#]+/\d+/?\?[^#]*context=[^#]+)(?:#.*)?"),
    re.compile(_HOST + r"/l/meetup-join/([^/?#]+(?:/\d+)?)(?:[/?#].*)?"),
    re.compile(_HOST + r"/meet/(\d{9,20})/?(?:[?#].*)?"),
    # What a browser shows once such a link was followed: the launcher.
    re.compile(_HOST + r"/dl/launcher/launcher\.html\?(.*meetup-join.*)"),
    re.compile(_HOST + r"/dl/launcher/launcher\.html\?.*(?i:/|%2f)meet(?i:/|%2f)(\d{9,20})\b.*"),
)

# A guess: Graph documents no limit of a subject; Exchange's is 255.
_TITLE_LIMIT = 255
# The meeting of an endless series is told to end so far from now, and moved on in good time.
_FURTHEST = timedelta(days=365)
_REMEMBERED = 10_000
# Calendar keeps 1,300 characters of a link, which percent codes may make longer.
_LONGEST_LINK = 4_096

_POLICY = re.compile(r"application access policy|not authorized to create on behalf", re.IGNORECASE)
_OUR_APP = re.compile(r"insufficient privileges|scope permissions|missing scope", re.IGNORECASE)
_UNFIT = {
    "adhoc": "an instant meeting",
    "meetnow": "an instant meeting",
    "broadcast": "a broadcast",
}

_Result = TypeVar("_Result")

# Bounded, and without a colon inside: a text of many `19:` is looked at once.
_THREAD = re.compile(r"19:[^/?#\s:@]{1,300}@thread\.[a-z0-9]{1,20}")
_OBJECT_ID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_ORGANIZER = re.compile(rf'"Oid"\s{{0,5}}:\s{{0,5}}"({_OBJECT_ID})"')
_JOIN_ID = re.compile(r"\d{9,20}", re.ASCII)
_LINK_ID = re.compile(rf"({_THREAD.pattern})(?:/(\d{{1,20}}))?", re.ASCII)


class Parts(NamedTuple):
    """What a join link, and Graph's id of a meeting, are made of.

    `message` is `0`, but in a channel, whose thread has several meetings.
    """

    organizer: str
    thread: str
    message: str = "0"


def meeting_id(text: str) -> str:
    """Return how a meeting is known here, from what Calendar shows: Graph's id, a join link or a
    part of it, a number.

    A join link names thread and organizer, of which Graph makes its id. Without the organizer the
    thread is kept, and looked up when it is needed. Numbers lose their blanks.
    """
    text = text.strip()
    if len(text) > _LONGEST_LINK:
        return text
    plain = unquote(unquote(text))
    if link := _LINK_ID.search(plain):
        thread, message = link[1], link[2] or "0"
        if organizer := _ORGANIZER.search(plain):
            return graph_id(organizer[1], thread, message)
        return thread if message == "0" else f"{thread}/{message}"
    digits = re.sub(r"[\s\u2010-\u2015-]", "", text)
    return digits if _JOIN_ID.fullmatch(digits) else text


class TeamsProvider(Adapter):
    """`Adapter` for Teams. The secret holds `{"tenant_id", "client_id", "client_secret"}`.

    Option `host`: the directory object id of the user for whom meetings are created anew, and whose
    are those whose link does not say. One meeting serves a whole series: Graph knows no recurrence,
    and no occurrences.
    """

    FIELDS: ClassVar = frozenset({"title", "start", "end", "recurrence"})
    URIS: ClassVar = _URIS
    LINKS_BY_CODE: ClassVar = True
    normalise = staticmethod(meeting_id)

    def __init__(self, settings: ProviderSettings, context: Context) -> None:
        options = Options(settings, {"host"})
        super().__init__(settings, context)
        self._host = options.text("host", "dc17674c-81d9-4adb-bfb2-8f882a442e4c")
        http = HttpClient()
        base_url = options.url("base_url", _BASE_URL)
        token_url = options.url("token_url", _TOKEN_URL)
        graph = urlsplit(base_url).hostname or ""
        scope = f"https://{graph if graph in _NATIONAL else 'graph.microsoft.com'}/.default"
        self._links_host = _NATIONAL.get(graph, "teams.microsoft.com")

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
        self._tokens = OAuthTokens(settings, context, fields=fields, ask=ask)
        self._api = Api(
            self.name, base_url, self._tokens, context.clock, http, classify, refuses_app
        )
        self._paths: dict[str, str] = {}
        self._lock = threading.Lock()

    def create(
        self, content: ConferenceContent, idempotency_key: str, host: str | None = None
    ) -> WayIn:
        if is_over(content, self._clock()):
            raise Invalid("the event is over; no meeting is created in the past")
        return self._created(idempotency_key, self._told(content, self.FIELDS), host)

    def find_made(
        self, content: ConferenceContent, idempotency_key: str, host: str | None = None
    ) -> ConferenceId | None:
        """Let Graph return, or make, the meeting of this key, though its time is over."""
        told = self._told(content, frozenset({"title"}))
        return self._created(idempotency_key, told, host).conference_id

    def look(
        self, conference_id: ConferenceId, content: ConferenceContent, asked_as: Sequence[str] = ()
    ) -> Sight:
        """Read a meeting as its organizer, whom the id of most meetings names.

        Raises NotAllowed for a meeting that Graph shows to none of those who were asked, and for a
        user whom it does not know: one of another organization, or who left.
        """
        meeting, asked = self._seen(conference_id, asked_as)
        organizer = object_of(object_of(meeting, "participants"), "organizer")
        user = text_in(object_of(object_of(organizer, "identity"), "user"), "id")
        named = (text_in(organizer, "upn"), user, None if user else asked)
        start = moment_in(meeting.get("startDateTime"))
        kind = (text_in(meeting, "meetingType") or "").lower()
        return Sight(
            way_in=way_in(meeting, self.name),
            hosts=frozenset(address_of(name) for name in named if name),
            seen_as=user or asked,
            unfit="a broadcast" if meeting.get("isBroadcast") is True else _UNFIT.get(kind),
            recurring=kind == "recurring",
            starts=EventTime(moment=start, time_zone="UTC") if start else None,
            differs=self._differing(meeting, content),
        )

    def read(self, conference_id: ConferenceId, host: str | None = None) -> WayIn:
        return way_in(self._on(conference_id, host, self._api.read), self.name)

    def update(
        self,
        conference_id: ConferenceId,
        content: ConferenceContent,
        changed: frozenset[str],
        host: str | None = None,
    ) -> None:
        """Send what differs. The meeting of an event that is over may be gone, which is no loss."""
        body = self._told(content, changed)
        if not body:
            return
        try:
            self._on(conference_id, host, lambda path: self._api.tell("PATCH", path, body=body))
        except Gone:
            if not is_over(content, self._clock()):
                raise

    def delete(self, conference_id: ConferenceId, host: str | None = None) -> None:
        delete_for_good(
            lambda: self._on(conference_id, host, lambda path: self._api.tell("DELETE", path)),
            "Teams",
        )

    def is_canonical(self, conference_id: ConferenceId) -> bool:
        return not _is_looked_up(conference_id)

    def canonical(self, conference_id: ConferenceId, asked_as: Sequence[str] = ()) -> ConferenceId:
        """Return Graph's id of a meeting that is shown by its number, or by a link that does not
        tell it."""
        if not _is_looked_up(conference_id):
            return conference_id
        path = self._paths.get(conference_id) or self._look_up(conference_id, asked_as)[1]
        return ConferenceId(unquote(path.rpartition("/")[2]))

    def probe(self) -> None:
        """Look for a meeting that does not exist, as a user whom the entry names.

        Graph shows meetings by user only. Without a user, no more is tried than whether the app is
        given a token.
        """
        self._tokens.current()
        for user in in_turn(self._host, *whole_addresses(self.rules.hosts)):
            nobodys = Parts(user, "19:meeting_none@thread.v2")
            link = join_url(nobodys, self._tokens.secret()["tenant_id"], self._links_host)
            with suppress(Gone):
                self._api.read(_user(user), query={"$filter": f"JoinWebUrl eq '{link}'"})

    def close(self) -> None:
        self._api.close()

    def approximation(self, content: ConferenceContent) -> Approximation | None:
        """Return how Teams' meeting falls short of an endless series, whose end is moved on.
        None: it does not."""
        end, again_at = served_until(content, self._clock(), _FURTHEST)
        if again_at is None:
            return None
        reason = (
            f"Teams' meeting serves this series until {end:%Y-%m-%d}; "
            f"that is moved on from {again_at:%Y-%m-%d} on"
        )
        return Approximation(reason=reason, again_at=again_at)

    def _created(self, key: str, told: Mapping[str, str], host: str | None) -> WayIn:
        # Graph knows users by object id, which an entry's host is; an address may do as well.
        user = self._host or host
        if not user:
            raise Invalid(
                "there is no user for whom to create a meeting; set host to a user's object id "
                "in the provider's entry of SYNC_PROVIDERS"
            )
        body = {"externalId": key, **told}
        meeting = self._api.call("POST", f"{_user(user)}/createOrGet", body=body)
        made = way_in(meeting, self.name)
        self._remember(made.conference_id, user, str(meeting["id"]))
        return made

    def _told(self, content: ConferenceContent, changed: frozenset[str]) -> dict[str, str]:
        """Start and end go together, in UTC. Those of a series are where it begins and where it
        ends for good."""
        told = {}
        if "title" in changed:
            told["subject"] = one_line(content.title, _TITLE_LIMIT)
        if changed & WHEN:
            start = moment_of(content.start, UTC)
            end, _ = served_until(content, self._clock(), _FURTHEST)
            told["startDateTime"] = rfc3339(start)
            told["endDateTime"] = rfc3339(max(end, start + timedelta(minutes=1)))
        return told

    def _differing(self, meeting: dict[str, Any], content: ConferenceContent) -> frozenset[str]:
        """Name the fields in which a meeting differs from what `update` would send of an event."""
        differing = set()
        if one_line(content.title, _TITLE_LIMIT) != text_in(meeting, "subject"):
            differing.add("title")
        if is_over(content, self._clock()):
            return frozenset(differing)
        told = self._told(content, WHEN)
        ends = moment_in(meeting.get("endDateTime"))
        _, again_at = served_until(content, self._clock(), _FURTHEST)
        if moment_in(meeting.get("startDateTime")) != moment_in(told["startDateTime"]):
            differing.add("start")
        if again_at is not None:
            # Of an endless series the end moves on with time; one that is far away will do.
            if ends is None or ends < again_at:
                differing |= {"end", "recurrence"}
        elif ends != moment_in(told["endDateTime"]):
            differing |= {"end", "duration"}
        return frozenset(differing)

    def _on(
        self, conference_id: ConferenceId, host: str | None, act: Callable[[str], _Result]
    ) -> _Result:
        """Do something to a meeting. One that is not where its id says is looked up by its link
        before it is gone."""
        path = self._paths.get(conference_id)
        if path is not None:
            return act(path)
        asked = in_turn(host, self._host)
        if _is_looked_up(conference_id):
            return act(self._look_up(conference_id, asked)[1])
        path = self._path_of(conference_id, host or self._host)
        try:
            return act(path)
        except Gone as error:
            return act(self._elsewhere(conference_id, path, error)[1])

    def _seen(
        self, conference_id: ConferenceId, asked_as: Sequence[str]
    ) -> tuple[dict[str, Any], str]:
        """Return a meeting and as whom it was seen. Raises NotAllowed, or Gone."""
        if _is_looked_up(conference_id):
            meeting, path = self._look_up(conference_id, asked_as)
            return meeting, _user_in(path)
        if parts := parts_of(conference_id):
            path = self._path_of(conference_id, None)
            try:
                return self._api.read(path), parts.organizer
            except Gone as error:
                return self._elsewhere(conference_id, path, error)[0], parts.organizer
        return first_to_see(
            self.name,
            self._users(asked_as),
            lambda user: self._api.read(self._path_of(conference_id, user)),
        )

    def _users(self, asked_as: Sequence[str]) -> list[str]:
        """As whom a meeting is looked for that does not say whose it is. Raises Invalid."""
        users = in_turn(*asked_as, self._host, *whole_addresses(self.rules.hosts))
        if not users:
            raise _nobody()
        return users

    def _path_of(self, conference_id: ConferenceId, host: str | None) -> str:
        """Return the path of a meeting by its Graph id. Most such ids name the organizer."""
        parts = parts_of(conference_id)
        user = parts.organizer if parts else host
        if user is None:
            raise _nobody()
        return f"{_user(user)}/{segment(conference_id)}"

    def _elsewhere(
        self, conference_id: ConferenceId, path: str, error: Gone
    ) -> tuple[dict[str, Any], str]:
        """Look up a meeting by its link that is not where its id says. Raises `error` if it is
        gone.

        Graph may not show a meeting of a channel in any way, so that one is never gone.
        """
        parts = parts_of(conference_id)
        if parts is None:
            raise error
        try:
            meeting, found = self._look_up(conference_id, ())
        except NotAllowed as unseen:
            if parts.message != "0":
                raise
            raise error from unseen
        if found == path:
            raise error
        return meeting, found

    def _look_up(
        self, conference_id: ConferenceId, asked_as: Sequence[str]
    ) -> tuple[dict[str, Any], str]:
        """Return a meeting known by its join link or its number, and its path.

        An empty list of one user's meetings, or "not found" for a filter, does not say that there
        is none: NotAllowed.
        """
        parts = parts_of(conference_id)
        link = _LINK_ID.fullmatch(conference_id)

        def ask(user: str) -> dict[str, Any]:
            if _JOIN_ID.fullmatch(conference_id):
                condition = f"joinMeetingIdSettings/joinMeetingId eq '{conference_id}'"
            else:
                of = parts or Parts(user, link[1] if link else "", (link and link[2]) or "0")
                tenant = self._tokens.secret()["tenant_id"]
                condition = f"JoinWebUrl eq '{join_url(of, tenant, self._links_host)}'"
            try:
                found = self._api.read(_user(user), query={"$filter": condition})
            except Gone as error:
                raise self._unseen() from error
            for meeting in items_in(found.get("value")):
                if text_in(meeting, "id"):
                    return meeting
            raise self._unseen()

        users = [parts.organizer] if parts else self._users(asked_as)
        meeting, user = first_to_see(self.name, users, ask)
        return meeting, self._remember(conference_id, user, str(meeting["id"]))

    def _unseen(self) -> NotAllowed:
        return NotAllowed(f"{self.name} shows no meeting by that link or number")

    def _remember(self, conference_id: ConferenceId, host: str, graph_id: str) -> str:
        with self._lock:
            if len(self._paths) >= _REMEMBERED:
                self._paths.clear()
            self._paths[conference_id] = path = f"{_user(host)}/{segment(graph_id)}"
        return path


def refuses_app(answer: Answer) -> bool:
    """Whether an answer refuses our token: a 401 about one user's policy does not (C5)."""
    return refuses_token(answer) and not _POLICY.search(_error_in(answer)[1])


def _error_in(answer: Answer) -> tuple[str, str]:
    """The code and the message of Graph's error object."""
    error = object_of(answer.members(), "error")
    return text_in(error, "code") or "", (text_in(error, "message") or "")[:2000]


def classify(answer: Answer, provider: str, now: datetime) -> SyncError | None:
    """Return what an answer of Graph means (C3), None for success. Pure.

    A missing application access policy is about one user, and so are other refusals (403), unless
    Graph says that our app lacks a permission. 404 is Gone only in the words for a meeting. An
    unknown user is NotAllowed. https://learn.microsoft.com/graph/errors
    """
    status = answer.status
    if 200 <= status < 300:
        return None
    code, message = _error_in(answer)
    said = f"{provider} answered {status} {code[:80]}".rstrip()
    if status in (401, 403) and _POLICY.search(message):
        return NotAllowed(
            f"{said}: no application access policy lets our app act for this user; grant one with "
            "Grant-CsApplicationAccessPolicy, it takes up to 30 minutes to act"
        )
    general = status_error(answer, provider, now)
    if general is not None:
        return general
    reason = f"{said}{quoted(message)}"
    if status == 403 and _OUR_APP.search(message):
        return CredentialsRefused(
            f"{said}: our app lacks the permission OnlineMeetings.ReadWrite.All; grant it",
            provider=provider,
        )
    if status == 403:
        return NotAllowed(f"{reason}; check the application access policy for this user")
    if status == 409:
        return TryLater(reason)
    if status in (404, 410):
        return _missing(answer, provider, code, message)
    return Invalid(reason)


def _missing(answer: Answer, provider: str, code: str, message: str) -> SyncError:
    """What 404 and 410 mean: they may be about a meeting, a user, or an address."""
    if not code:
        return not_its_words(answer, provider)
    said = f"{provider} answered {answer.status} {code[:80]}"
    if code == "Request_ResourceNotFound" or re.search(r"\buser\b", message, re.IGNORECASE):
        return NotAllowed(
            f"{said}: Graph does not know the user whose meeting this is, who may have left or be "
            "of another organization; check host in SYNC_PROVIDERS"
        )
    missing = answer.status == 410 or code == "NotFound"
    if missing and re.search("3004|meeting", message, re.IGNORECASE):
        return Gone(said)
    return Invalid(f"{said}{quoted(message)}; check base_url in SYNC_PROVIDERS")


def graph_id(organizer: str, thread: str, message: str = "0") -> str:
    return base64.b64encode(f"1*{organizer.lower()}*{message}**{thread}".encode()).decode()


def parts_of(conference_id: str) -> Parts | None:
    """Return what a Graph id is made of. None for one of another form, which Graph uses as well."""
    if len(conference_id) > _LONGEST_LINK:
        return None
    try:
        text = base64.b64decode(conference_id, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    found = re.fullmatch(rf"1\*({_OBJECT_ID})\*(\d{{1,20}})\*\*({_THREAD.pattern})", text)
    return Parts(found[1], found[3], found[2]) if found else None


def join_url(of: Parts, tenant_id: str, host: str = "teams.microsoft.com") -> str:
    """Return a join link as Graph writes it, down to its small percent codes: the filter
    compares texts."""
    context = f'{{"Tid":"{tenant_id}","Oid":"{of.organizer}"}}'
    link = f"{quote(of.thread)}/{of.message}?context={quote(context)}"
    encoded = re.sub(r"%[0-9A-F]{2}", lambda code: code[0].lower(), link)
    return f"https://{host}/l/meetup-join/{encoded}"


def _is_looked_up(conference_id: ConferenceId) -> bool:
    """Whether an id is a meeting's number, or a link that does not name the organizer."""
    return bool(_JOIN_ID.fullmatch(conference_id) or _LINK_ID.fullmatch(conference_id))


def _nobody() -> Invalid:
    return Invalid(
        "nobody says whose meeting this is; set host in the provider's entry of SYNC_PROVIDERS"
    )


def _user_in(path: str) -> str:
    return unquote(path.split("/")[2])


def way_in(meeting: dict[str, Any], provider: str) -> WayIn:
    """Return how people enter a meeting. Its options page is the organizer's and is not looked
    at."""
    known = text_in(meeting, "id")
    if known is None:
        raise TryLater(f"{provider} answered success without a meeting", outcome_unknown=True)
    settings = object_of(meeting, "joinMeetingIdSettings")
    audio = object_of(meeting, "audioConferencing")
    points = []
    if link := text_in(meeting, "joinWebUrl"):
        points.append(
            EntryPoint(
                kind="video",
                uri=link,
                label=parts_of_link(link).netloc,
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
    """The numbers to dial, each once. One is given alone, several in a list, or both."""
    numbers: dict[str, None] = {}
    for one, several in (("tollNumber", "tollNumbers"), ("tollFreeNumber", "tollFreeNumbers")):
        for number in (audio.get(one), *texts_in(audio.get(several))):
            if isinstance(number, str) and number:
                numbers[number] = None
    return list(numbers)


def _user(host: str) -> str:
    return f"/users/{segment(host)}/onlineMeetings"
