"""Counts calls to the store and to Calendar, and passes every call on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from sync.context import Services


def counted(services: Services) -> tuple[Services, Counter[str], Counter[str]]:
    """Return services whose calls are counted by name: to the store, and to Calendar."""
    store: Counter[str] = Counter()
    calendar: Counter[str] = Counter()
    counting_store: Any = _Counting(services.store, store)
    counting_calendars: Any = _Calendars(services.calendars, calendar)
    return (
        replace(services, store=counting_store, calendars=counting_calendars),
        store,
        calendar,
    )


class _Counting:
    def __init__(self, real: Any, counts: Counter[str]) -> None:
        self._real, self._counts = real, counts

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)

        def call(*arguments: Any, **more: Any) -> Any:
            self._counts[name] += 1
            return value(*arguments, **more)

        return call if callable(value) else value


class _Calendars(_Counting):
    """Binds calendars whose calls are counted. Binding asks nobody, so it does not count."""

    def bind(self, *arguments: Any) -> Any:
        return _Counting(self._real.bind(*arguments), self._counts)
