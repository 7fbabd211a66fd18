"""The `fields` parameter: which members of an answer the caller wants.

The grammar: `a,b`, nested by `a/b` or `a(b,c/d)`, `*` for every member. Lists are looked through.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sandbox.google_calendar.errors import ApiError


@lru_cache(maxsize=64)
def parse(text: str) -> dict[str, Any]:
    """Return the wanted members as nested mappings, None for a whole value.

    `items(id,start/date)` gives `{"items": {"id": None, "start": {"date": None}}}`. Raises
    ApiError (400) on bad grammar.
    """
    mask, rest = _selection(text.replace(" ", ""), text)
    if rest:
        raise _invalid(text)
    return mask


def select(value: Any, mask: dict[str, Any] | None) -> Any:
    """Return the part of a JSON value that the mask names."""
    if mask is None:
        return value
    if isinstance(value, list):
        return [select(item, mask) for item in value]
    if not isinstance(value, dict):
        return value
    if "*" in mask:
        return {name: select(item, mask.get(name, mask["*"])) for name, item in value.items()}
    return {name: select(value[name], inner) for name, inner in mask.items() if name in value}


def _selection(text: str, whole: str) -> tuple[dict[str, Any], str]:
    mask: dict[str, Any] = {}
    while True:
        path, text = _path(text, whole)
        inner: dict[str, Any] | None = None
        if text.startswith("("):
            inner, text = _selection(text[1:], whole)
            if not text.startswith(")"):
                raise _invalid(whole)
            text = text[1:]
        _add(mask, path, inner)
        if not text.startswith(","):
            return mask, text
        text = text[1:]


def _path(text: str, whole: str) -> tuple[list[str], str]:
    end = next((place for place, sign in enumerate(text) if sign in "(),"), len(text))
    names = text[:end].split("/")
    if not all(names):
        raise _invalid(whole)
    return names, text[end:]


def _add(mask: dict[str, Any], path: list[str], inner: dict[str, Any] | None) -> None:
    """Put one selection into the mask. `a,a/b` means all of `a`, the wider selection."""
    name, rest = path[0], path[1:]
    if name in mask and mask[name] is None:
        return
    if not rest and inner is None:
        mask[name] = None
        return
    deeper = mask.setdefault(name, {})
    if rest:
        _add(deeper, rest, inner)
    else:
        for key, value in (inner or {}).items():
            _add(deeper, [key], value)


def _invalid(text: str) -> ApiError:
    return ApiError("invalidParameter", f"Invalid field selection {text}", location="fields")
