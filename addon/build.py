"""Write the add-on's manifest and one function per solution, both from `solutions.json`.

    python3 addon/build.py                                  # writes appsscript.json, Solutions.js
    python3 addon/build.py --check                          # writes nothing, fails if they differ
    python3 addon/build.py --providers providers.json       # compares with SYNC_PROVIDERS, too
    python3 addon/build.py --providers - --print-providers  # prints SYNC_PROVIDERS, `solutions` set

The solutions that the add-on offers and the `solutions` of each provider in SYNC_PROVIDERS are one
list (A7). Where they differ, nothing is written and one sentence says what to mend. Without
`--providers`, the environment variable SYNC_PROVIDERS is compared, if it is set. Needs nothing but
Python. Safe to repeat.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
LIST = "solutions.json"
MANIFEST = "appsscript.json"
FUNCTIONS = "Solutions.js"

# What the bridge does, and no more. Who the user is: `openid` and `userinfo.email`, without which
# the ID token holds no address. `WRITE` is the smallest access with which Calendar says which event
# it is and takes conference data.
# https://developers.google.com/workspace/add-ons/concepts/workspace-scopes
SCOPES = (
    "openid",
    "https://www.googleapis.com/auth/userinfo.email",
    "https://www.googleapis.com/auth/script.external_request",
    "https://www.googleapis.com/auth/calendar.addons.execute",
    "https://www.googleapis.com/auth/calendar.addons.current.event.write",
)
# Reads and removes the old add-on's triggers; only an add-on that replaces one asks for it.
SWITCH_SCOPE = "https://www.googleapis.com/auth/script.scriptapp"

# An id ends up in the name of a function; a name that ended in `_` would be private to the script.
_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,58}[A-Za-z0-9])?")


class Mistake(Exception):
    """What must be mended before anything is written: one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """A conference solution. `offered` is False for one that another add-on makes, such as Zoom's
    own: its provider follows it, ours does not offer it."""

    id: str
    name: str
    provider: str
    logo_url: str
    offered: bool

    @property
    def function(self) -> str:
        """The `onCreateFunction`: `my-web` becomes `createConference_my_web`."""
        return "createConference_" + self.id.replace("-", "_")


@dataclass(frozen=True, slots=True, kw_only=True)
class OldSync:
    """What the old add-on's own sync needs to go on until each user has switched."""

    scopes: tuple[str, ...]
    url_prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOn:
    """The whole of `solutions.json`. `switch` is None for an add-on that replaces none."""

    name: str
    logo_url: str
    create_conference_url: str
    switch: OldSync | None
    solutions: tuple[Solution, ...]

    @property
    def offered(self) -> tuple[Solution, ...]:
        return tuple(solution for solution in self.solutions if solution.offered)


def read_list(path: Path) -> AddOn:
    """Read and check `solutions.json`. Raises Mistake."""
    content = _object(_json(_text(path), path.name), path.name)
    _only(content, {"name", "logo_url", "create_conference_url", "switch", "solutions"}, path.name)
    listed = content.get("solutions")
    if not isinstance(listed, list) or not listed:
        raise Mistake(f"{path.name}: solutions must be a list with at least one solution; add it")
    solutions = tuple(
        _solution(entry, f"{path.name}: solution {place}")
        for place, entry in enumerate(listed, start=1)
    )
    for what, values in (
        ("name", [solution.name for solution in solutions]),
        # Two ids may lead to one function name: `a-b` and `a_b`.
        ("id", [solution.function for solution in solutions if solution.offered]),
    ):
        for place, value in enumerate(values):
            if value in values[:place]:
                raise Mistake(f"{path.name}: two solutions share the {what} of {value}; change one")
    add_on = AddOn(
        name=_word(content, "name", path.name),
        logo_url=checked_url(content.get("logo_url"), f"{path.name}: logo_url"),
        create_conference_url=checked_url(
            content.get("create_conference_url"), f"{path.name}: create_conference_url"
        ),
        switch=_old_sync(content.get("switch", False), f"{path.name}: switch"),
        solutions=solutions,
    )
    if not add_on.offered:
        raise Mistake(f"{path.name}: no solution is offered; remove one `offered: false`")
    return add_on


def _old_sync(value: object, where: str) -> OldSync | None:
    if value is False:
        return None
    content = _object(value, where)
    _only(content, {"scopes", "url_prefixes"}, where)
    prefixes = _texts(content, "url_prefixes", where)
    for prefix in prefixes:
        # Google takes no prefix without a path.
        # https://developers.google.com/apps-script/manifest/allowlist-url
        if not urlsplit(checked_url(prefix, f"{where}: {prefix}")).path:
            raise Mistake(f"{where}: {prefix} needs a path; write {prefix}/")
    return OldSync(scopes=_texts(content, "scopes", where), url_prefixes=prefixes)


def _solution(entry: object, where: str) -> Solution:
    content = _object(entry, where)
    _only(content, {"id", "name", "provider", "logo_url", "offered"}, where)
    offered = content.get("offered", True)
    if not isinstance(offered, bool):
        raise Mistake(f"{where}: offered must be true or false; correct it")
    name, provider = _word(content, "name", where), _word(content, "provider", where)
    if not offered:
        return Solution(id="", name=name, provider=provider, logo_url="", offered=False)
    identifier = str(content.get("id", ""))
    if not _ID.fullmatch(identifier):
        raise Mistake(
            f"{where}: id must be 1 to 60 letters, digits, - or _, with a letter or digit at both "
            "ends; correct it"
        )
    logo_url = checked_url(content.get("logo_url"), f"{where}: logo_url")
    return Solution(id=identifier, name=name, provider=provider, logo_url=logo_url, offered=True)


def checked_url(value: object, where: str) -> str:
    """Return an https URL as it is. On this machine http passes, too, for tests. Raises Mistake."""
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:
        raise Mistake(f"{where} is not a URL; correct it") from None
    if not parts.hostname or parts.scheme not in (("https", "http") if local else ("https",)):
        raise Mistake(f"{where} must be an https URL; set it")
    return str(value)


def compare(add_on: AddOn, providers: Sequence[Mapping[str, Any]]) -> None:
    """Compare the list with the `solutions` of SYNC_PROVIDERS, in any order.

    Raises Mistake, which names the first difference and the mend.
    """
    named = {provider["name"]: set(provider.get("solutions", [])) for provider in providers}
    listed: dict[str, set[str]] = {name: set() for name in named}
    for solution in add_on.solutions:
        if solution.provider not in named:
            raise Mistake(
                f"SYNC_PROVIDERS has no provider {solution.provider}, whose solution "
                f"{solution.name!r} is in {LIST}; add the provider, or remove the solution"
            )
        listed[solution.provider].add(solution.name)
    for name, solutions in named.items():
        for missing in sorted(listed[name] - solutions):
            raise Mistake(
                f"SYNC_PROVIDERS, provider {name}: solutions lacks {missing!r}, which {LIST} has; "
                f"add it there, or remove it from {LIST}"
            )
        for missing in sorted(solutions - listed[name]):
            raise Mistake(
                f"{LIST} lacks {missing!r}, one of the solutions of provider {name} in "
                "SYNC_PROVIDERS; add it there (with `offered: false` if another add-on makes it)"
            )


def read_providers(text: str) -> list[dict[str, Any]]:
    """Read SYNC_PROVIDERS as far as this script needs it. Raises Mistake."""
    entries = _json(text, "SYNC_PROVIDERS")
    if not isinstance(entries, list):
        raise Mistake("SYNC_PROVIDERS must be a JSON list; correct it")
    providers = []
    for place, entry in enumerate(entries, start=1):
        provider = _object(entry, f"SYNC_PROVIDERS, entry {place}")
        _word(provider, "name", f"SYNC_PROVIDERS, entry {place}")
        solutions = provider.get("solutions", [])
        if not isinstance(solutions, list) or not all(isinstance(name, str) for name in solutions):
            raise Mistake(
                f"SYNC_PROVIDERS, entry {place}: solutions must be a list of texts; correct it"
            )
        providers.append(provider)
    return providers


def with_solutions(add_on: AddOn, providers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return SYNC_PROVIDERS with each provider's `solutions` from the list."""
    filled = []
    for provider in providers:
        names = [each.name for each in add_on.solutions if each.provider == provider["name"]]
        filled.append({**provider, "solutions": names})
    return filled


def keep_ids(add_on: AddOn, manifest: Mapping[str, Any], retired: Sequence[str]) -> None:
    """Refuse to lose an id of the present manifest: events and installed add-ons know it.

    Raises Mistake, unless the id is `retired`.
    https://developers.google.com/apps-script/manifest/calendar-addons#conferencesolution
    """
    calendar = _object(_object(manifest.get("addOns", {}), MANIFEST).get("calendar", {}), MANIFEST)
    ids = {solution.id for solution in add_on.offered}
    by_name = {solution.name: solution.id for solution in add_on.offered}
    for content in calendar.get("conferenceSolution", []):
        entry = _object(content, MANIFEST)
        identifier, name = str(entry.get("id")), entry.get("name")
        if identifier in ids or identifier in retired:
            continue
        if name in by_name:
            raise Mistake(
                f"{LIST} gives {name!r} the id {by_name[name]}, but {MANIFEST} has it as "
                f"{identifier}, which may be in use; give it that id again, or run with "
                f"--retire {identifier} if it never was"
            )
        raise Mistake(
            f"{LIST} lacks the id {identifier} of {MANIFEST}, which may be in use; add it again, "
            f"or run with --retire {identifier}"
        )


def manifest_of(add_on: AddOn) -> dict[str, Any]:
    """Return the content of `appsscript.json`.

    https://developers.google.com/apps-script/manifest/addons
    """
    scopes, prefixes = list(SCOPES), [_fetch_prefix(add_on.create_conference_url)]
    dependencies: dict[str, Any] = {}
    if add_on.switch:
        scopes += [SWITCH_SCOPE, *add_on.switch.scopes]
        prefixes += add_on.switch.url_prefixes
        # The old sync lists events with it.
        calendar = {"userSymbol": "Calendar", "serviceId": "calendar", "version": "v3"}
        dependencies = {"enabledAdvancedServices": [calendar]}
    return {
        "timeZone": "Etc/UTC",
        "dependencies": dependencies,
        "exceptionLogging": "STACKDRIVER",
        "runtimeVersion": "V8",
        "oauthScopes": list(dict.fromkeys(scopes)),
        "urlFetchWhitelist": list(dict.fromkeys(prefixes)),
        "addOns": {
            "common": {"name": add_on.name, "logoUrl": add_on.logo_url},
            "calendar": {
                "currentEventAccess": "WRITE",
                "homepageTrigger": {"runFunction": "showStatus", "enabled": True},
                "conferenceSolution": [
                    {
                        "id": solution.id,
                        "name": solution.name,
                        "logoUrl": solution.logo_url,
                        "onCreateFunction": solution.function,
                    }
                    for solution in add_on.offered
                ],
            },
        },
    }


def _fetch_prefix(url: str) -> str:
    """The host, with the slash that keeps `https://host.example.com.evil` out."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/"


def functions_of(add_on: AddOn) -> str:
    """Return the source of `Solutions.js`: what the bridge knows, and one function a solution."""
    known = {
        "name": add_on.name,
        "createConferenceUrl": add_on.create_conference_url,
        "switch": add_on.switch is not None,
        "solutions": [{"id": each.id, "name": each.name} for each in add_on.offered],
    }
    functions = "".join(
        f"\n/** @param {{CreateArgument}} arg */\n"
        f"function {solution.function}(arg) {{\n"
        f"  return createConferenceFor_({json.dumps(solution.id)}, arg);\n}}\n"
        for solution in add_on.offered
    )
    return (
        f"/** Written by build.py from {LIST}. Change that file and run build.py again. */\n\n"
        "/** @type {{name: string, createConferenceUrl: string, switch: boolean, "
        "solutions: Solution[]}} */\n"
        f"const ADDON = {json.dumps(known, indent=2)};\n{functions}"
    )


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Mistake(f"{where} is not JSON ({error}); correct it") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(f"{path.name} cannot be read ({error}); correct the path or file") from None


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Mistake(f"{where} is not a JSON object; correct it")
    return value


def _only(content: Mapping[str, Any], members: set[str], where: str) -> None:
    for member in content:
        if member not in members:
            raise Mistake(f"{where}: {member} is unknown; use one of {', '.join(sorted(members))}")


def _word(content: Mapping[str, Any], member: str, where: str) -> str:
    value = content.get(member)
    if not isinstance(value, str) or not value.strip():
        raise Mistake(f"{where}: {member} is missing; set it")
    return value


def _texts(content: Mapping[str, Any], member: str, where: str) -> tuple[str, ...]:
    value = content.get(member)
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise Mistake(f"{where}: {member} must be a list of texts; set it")
    return tuple(value)


def build(arguments: argparse.Namespace, environ: Mapping[str, str]) -> str:
    """Do what the command line asks for and return what to print. Raises Mistake."""
    add_on = read_list(arguments.list)
    if arguments.url:
        add_on = replace(add_on, create_conference_url=checked_url(arguments.url, "--url"))
    if arguments.providers == "-":
        text = sys.stdin.read()
    elif arguments.providers:
        text = _text(Path(arguments.providers))
    else:
        text = environ.get("SYNC_PROVIDERS", "")
    providers = read_providers(text) if text.strip() else None
    if arguments.print_providers:
        if providers is None:
            raise Mistake("--print-providers needs SYNC_PROVIDERS; give --providers FILE")
        filled = with_solutions(add_on, providers)
        compare(add_on, filled)
        return json.dumps(filled, ensure_ascii=False)
    if providers is not None:
        compare(add_on, providers)
    written = {
        arguments.to / MANIFEST: json.dumps(manifest_of(add_on), indent=2, ensure_ascii=False)
        + "\n",
        arguments.to / FUNCTIONS: functions_of(add_on),
    }
    manifest = arguments.to / MANIFEST
    if manifest.exists():
        keep_ids(add_on, _object(_json(_text(manifest), MANIFEST), MANIFEST), arguments.retire)
    for path, content in written.items():
        if not arguments.check:
            path.write_text(content, encoding="utf-8")
        elif not path.exists() or _text(path) != content:
            raise Mistake(f"{path.name} differs from {LIST}; run build.py")
    compared = "" if providers is None else ", and SYNC_PROVIDERS agrees"
    return f"{MANIFEST} and {FUNCTIONS} say what {LIST} says{compared}."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns 0, or 1 after one sentence on standard error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--list", type=Path, default=HERE / LIST, help=f"default: {LIST} beside")
    parser.add_argument("--to", type=Path, default=HERE, help="folder to write to")
    parser.add_argument("--providers", help="file with SYNC_PROVIDERS; - for standard input")
    parser.add_argument("--print-providers", action="store_true", help="print them, write nothing")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    parser.add_argument("--url", help="another create_conference, for tests")
    parser.add_argument("--retire", action="append", default=[], metavar="ID", help="give up an id")
    try:
        print(build(parser.parse_args(argv), os.environ))
    except Mistake as mistake:
        print(f"build.py: {mistake}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
