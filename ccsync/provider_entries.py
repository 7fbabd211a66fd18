"""The form of SYNC_PROVIDERS, checked before anything is deployed.

The functions check the same at their start. A test holds both against one table of entries, so
that they do not drift apart.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from ccsync.errors import Misused, unreadable

Json = dict[str, Any]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_SECRET = re.compile(r"projects/[^/]+/secrets/[A-Za-z0-9_-]{1,255}")
_HOST = re.compile(r"(\*|[^\s@*]+)@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_url(value: object) -> bool:
    # The parser drops line ends, and lets blanks stand in a host.
    if not isinstance(value, str) or not value.isprintable() or " " in value:
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False  # such as a port that is none


def _is_base_url(value: object) -> bool:
    # Paths are added at its end.
    return _is_url(value) and not re.search(r"[?#]", str(value))


def _is_occurrences(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 365


def _is_zone(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(ZoneInfo(value))
    except (ValueError, OSError, KeyError):
        return False


def _is_fallback(value: object) -> bool:
    return value in ("refuse", "no_fixed_time")


Check = Callable[[object], bool]

_OF_ALL = ("name", "type", "secret", "solutions", "uris", "hosts", "calls_per_second")
_URLS: dict[str, tuple[Check, str]] = {
    "base_url": (_is_base_url, "an http(s) URL without a query"),
    "token_url": (_is_url, "an http(s) URL"),
}
_TEXT: tuple[Check, str] = (_is_text, "a text")
_FLAG: tuple[Check, str] = (_is_flag, "true or false")
OPTIONS: dict[str, dict[str, tuple[Check, str]]] = {
    "rest": _URLS,
    "zoom": {
        **_URLS,
        "host": _TEXT,
        "mail": _FLAG,
        "all_day": _FLAG,
        "time_zone": (_is_zone, "a time zone such as Europe/Berlin"),
        "max_occurrences": (_is_occurrences, "a whole number from 1 to 365"),
        "unsupported_recurrence": (_is_fallback, "refuse or no_fixed_time"),
    },
    "webex": {**_URLS, "host": _TEXT, "site_url": _TEXT, "mail": _FLAG},
    "teams": {**_URLS, "host": _TEXT},
}
"""What each shipped type takes beside the members of all."""
SECRETS = {
    "rest": ("token",),
    "zoom": ("account_id", "client_id", "client_secret"),
    "webex": ("client_id", "client_secret", "refresh_token"),
    "teams": ("tenant_id", "client_id", "client_secret"),
}
"""The members of each shipped type's secret."""


def read(path: Path) -> list[Any]:
    """Return the entries of a JSON file: a list, or Terraform's conferencing_providers.

    Raises Misused.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        value = json.loads(text, object_pairs_hook=_one_of_each)
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error, "give a JSON file") from None
    except (ValueError, RecursionError) as error:
        raise Misused(f"{path} is not JSON ({error}); correct it") from None
    if isinstance(value, dict) and "conferencing_providers" in value:
        value = [_of_terraform(entry) for entry in value["conferencing_providers"]]
    if not isinstance(value, list) or not value:
        raise Misused(f"{path} must hold a JSON list with at least one provider; correct it")
    return value


def _one_of_each(pairs: list[tuple[str, Any]]) -> Json:
    members = dict(pairs)
    if len(members) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{twice!r:.80} stands twice in one object")
    return members


def _of_terraform(entry: Any) -> Any:
    """Return an entry as Terraform renders it: it names the secret itself."""
    if not isinstance(entry, dict):
        return entry
    name = entry.get("name")
    given = {key: value for key, value in entry.items() if value is not None}
    return {"secret": f"projects/P/secrets/{name}", **given}


def mistakes(entries: list[Any]) -> Iterator[str]:
    """Yield one sentence for each mistake, with its mend. Nothing: the functions would start."""
    for place, entry in enumerate(entries, 1):
        yield from _mistakes_of(entry, place)
    names = Counter(
        entry["name"]
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("name"), str)
    )
    for name, count in names.items():
        if count > 1:
            yield f"{name} stands {count} times; give each provider a name of its own"


def remarks(entries: list[Any]) -> Iterator[str]:
    """Yield what is no mistake but may not be meant."""
    solutions: dict[str, str] = {}
    for entry in (each for each in entries if isinstance(each, dict)):
        name, kind = str(entry.get("name")), entry.get("type")
        if isinstance(kind, str) and kind not in OPTIONS:
            yield (
                f"provider {name}: the type {kind} is none of ours, so its options are not "
                f"checked; ours are {', '.join(OPTIONS)}"
            )
        for solution in entry.get("solutions") or []:
            first = solutions.setdefault(str(solution), name)
            if first != name:
                yield f"the solution {solution} is {first}'s, which stands before {name}"


def _mistakes_of(entry: Any, place: int) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield f"entry {place} is not a JSON object; correct it"
        return
    name, kind = entry.get("name"), entry.get("type")
    where = f"provider {name}"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        where = f"entry {place}"
        yield f"{where} needs a name of 1 to 40 letters, digits, - or _; correct it"
    if not isinstance(kind, str) or not kind:
        yield f"{where}: type is missing; set it, for example to rest"
    secret = entry.get("secret")
    if not isinstance(secret, str) or not _SECRET.fullmatch(secret):
        yield f"{where}: secret must be named projects/P/secrets/S, without a version; correct it"
    yield from _lists(entry, where)
    if kind == "rest" and not entry.get("solutions") and not entry.get("uris"):
        yield f"{where}: neither solutions nor uris; name one, or no event will ever match"
    if kind == "rest" and not entry.get("base_url"):
        yield f"{where}: base_url is missing; set it to the address of your system"
    rate = entry.get("calls_per_second")
    if rate is not None and not _is_rate(rate):
        yield f"{where}: calls_per_second must be a number above 0; correct it or leave it out"
    if isinstance(kind, str):
        yield from _options(entry, kind, where)


def _lists(entry: Json, where: str) -> Iterator[str]:
    for key in ("solutions", "uris", "hosts"):
        value = entry.get(key, [])
        if not isinstance(value, list) or not all(map(_is_text, value)):
            yield f"{where}: {key} must be a list of texts; correct it"
            continue
        for text in value:
            if key == "uris" and not _is_pattern(text):
                yield f"{where}: each of uris is an http(s) URL with {{id}} once; correct {text}"
            if key == "hosts" and not _HOST.fullmatch(text.strip()):
                yield f"{where}: each of hosts is an address, or *@ and a domain; correct {text}"


def _is_pattern(text: str) -> bool:
    example = text.replace("{id}", "id").replace("*.", "x.").replace("*", "x")
    return text.count("{id}") == 1 and _is_url(example)


def _is_rate(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < float(str(value)) < math.inf


def _options(entry: Json, kind: str, where: str) -> Iterator[str]:
    known = OPTIONS.get(kind)
    for key, value in entry.items():
        if key in _OF_ALL:
            continue
        if known is not None and key not in known:
            names = ", ".join(sorted(known))
            yield f"{where}: {kind} has no option {key}; use one of {names}"
            continue
        check, form = (known or _URLS).get(key, (None, ""))
        if check is not None and value is not None and not check(value):
            yield f"{where}: {key} must be {form}; correct it or leave it out"


def secret_mistake(kind: str, payload: str) -> str | None:
    """Return what is wrong with a secret's payload, None if nothing. Values are never shown."""
    wanted = SECRETS.get(kind)
    if wanted is None:
        return None
    try:
        value = json.loads(payload)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        return f"it must be a JSON object with {', '.join(wanted)}"
    missing = [name for name in wanted if not _is_text(value.get(name))]
    return f"it lacks {', '.join(missing)}" if missing else None
