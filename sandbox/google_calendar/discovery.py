"""Google's own description of the API: which parameters a method knows, which members answers have.

The discovery document comes with google-api-python-client, so nothing is fetched.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from sandbox.google_calendar.errors import ApiError

Json = dict[str, Any]

# Accepted by every Google API, though the document does not list it.
_UNLISTED = {"access_token"}


@cache
def document() -> Json:
    """Return the discovery document of Calendar v3."""
    documents = files("googleapiclient.discovery_cache.documents")
    found: Json = json.loads((documents / "calendar.v3.json").read_text("utf-8"))
    return found


@cache
def parameters(method_id: str) -> frozenset[str]:
    """Return the query parameters of a method such as `events.list`, those of all methods too."""
    own = method(method_id).get("parameters", {})
    query = {name for name, told in own.items() if told["location"] == "query"}
    return frozenset(query | document()["parameters"].keys() | _UNLISTED)


def method(method_id: str) -> Json:
    resource, _, name = method_id.partition(".")
    found: Json = document()["resources"][resource]["methods"][name]
    return found


def check_fields(mask: Json, method_id: str) -> None:
    """Refuse (400) a `fields` mask that names what the method's answers cannot have.

    `mask` is what `partial.parse` returns. A method without an answer takes every mask.
    """
    answer = method(method_id).get("response")
    if answer is not None:
        _check(mask, answer)


def resolved(schema: Json) -> Json:
    """Return the schema itself, where it names another one or a list of it."""
    while "$ref" in schema or schema.get("type") == "array":
        schema = document()["schemas"][schema["$ref"]] if "$ref" in schema else schema["items"]
    return schema


def _check(mask: Json, schema: Json) -> None:
    schema = resolved(schema)
    for name, inner in mask.items():
        if name == "*":
            continue
        found = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        if found is None:
            raise ApiError("invalidParameter", f"Invalid field selection {name}", location="fields")
        if inner is not None:
            _check(inner, found)
