"""Evaluates filters of Cloud Logging on log records: the part of the language that we use.

https://cloud.google.com/logging/docs/view/logging-query-language
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_SEVERITIES = ["DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL"]
_TOKEN = re.compile(r'\s*(\(|\)|AND\b|OR\b|>=|<=|>|<|=|"[^"]*"|[\w.]+)')

Record = Mapping[str, Any]
_Test = Callable[[Record], bool]


def matches(query: str, record: Record) -> bool:
    """Return whether a record, as one of our functions writes it, is found by a filter.

    Fields of `resource` are the platform's: they count as right. For example the filter
    `jsonPayload.message=("a" OR "b") AND jsonPayload.lag>=0` finds `{"message": "a", "lag": 2}`.
    """
    tokens = _TOKEN.findall(query)
    assert "".join(tokens) == re.sub(r'\s+(?=(?:[^"]*"[^"]*")*[^"]*$)', "", query), query
    test, rest = _all_of(tokens)
    assert not rest, query
    return test(record)


def fields_of(query: str) -> set[str]:
    """Return the fields of our records that a filter reads, `message` included."""
    return set(re.findall(r"jsonPayload\.(\w+)", query))


def messages_of(query: str) -> set[str]:
    """Return the messages that a filter looks for."""
    found = re.findall(r'jsonPayload\.message=(\([^)]*\)|"[^"]*")', query)
    return {message for part in found for message in re.findall(r'"([^"]*)"', part)}


def _all_of(tokens: list[str]) -> tuple[_Test, list[str]]:
    """Terms joined by AND, which may be left out. OR binds closer."""
    tests = []
    while tokens and tokens[0] != ")":
        if tokens[0] == "AND":
            tokens = tokens[1:]
        test, tokens = _any_of(tokens)
        tests.append(test)
    return lambda record: all(test(record) for test in tests), tokens


def _any_of(tokens: list[str]) -> tuple[_Test, list[str]]:
    test, tokens = _term(tokens)
    tests = [test]
    while tokens and tokens[0] == "OR":
        test, tokens = _term(tokens[1:])
        tests.append(test)
    return lambda record: any(test(record) for test in tests), tokens


def _term(tokens: list[str]) -> tuple[_Test, list[str]]:
    if tokens[0] == "(":
        test, tokens = _all_of(tokens[1:])
        return test, tokens[1:]
    field, operator, *tokens = tokens
    if tokens[0] == "(":
        end = tokens.index(")")
        values, tokens = [token for token in tokens[1:end] if token != "OR"], tokens[end + 1 :]
    else:
        values, tokens = tokens[:1], tokens[1:]
    wanted = [value.strip('"') for value in values]
    return lambda record: any(_holds(field, operator, value, record) for value in wanted), tokens


def _holds(field: str, operator: str, wanted: str, record: Record) -> bool:
    if field.startswith("resource."):
        return True
    if field == "severity":
        have, bound = _SEVERITIES.index(record["severity"]), _SEVERITIES.index(wanted)
        return _compare(have, operator, bound)
    found = record.get(field.removeprefix("jsonPayload."))
    if operator == "=":
        return str(found) == wanted
    if isinstance(found, bool) or not isinstance(found, int | float):
        return False
    return _compare(found, operator, float(wanted))


def _compare(found: float, operator: str, bound: float) -> bool:
    match operator:
        case "=":
            return found == bound
        case ">=":
            return found >= bound
        case ">":
            return found > bound
    raise AssertionError(f"{operator} is not evaluated here")
