"""What an entry of `SYNC_PROVIDERS` says beyond what all entries have."""

from __future__ import annotations

from collections.abc import Iterable

from sync.config import ProviderSettings
from sync.errors import ConfigurationError


class Options:
    """Reads the options of one entry. Raises ConfigurationError, with the mend.

    `known` are the names that the adapter reads, beside `base_url` and `token_url`.
    """

    def __init__(self, settings: ProviderSettings, known: Iterable[str]) -> None:
        self._where = f"SYNC_PROVIDERS, provider {settings.name}:"
        self._options = settings.options
        known = {"base_url", "token_url", *known}
        for name in settings.options:
            if name not in known:
                raise ConfigurationError(
                    f"{self._where} {settings.type} has no option {name}; "
                    f"use one of {', '.join(sorted(known))}"
                )

    def text(self, name: str, example: str) -> str | None:
        value = self._options.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            raise ConfigurationError(
                f"{self._where} {name} must be a text such as {example}; correct it or leave it out"
            )
        return value.strip()

    def url(self, name: str, default: str) -> str:
        return (self.text(name, default) or default).rstrip("/")

    def flag(self, name: str) -> bool:
        value = self._options.get(name, False)
        if not isinstance(value, bool):
            raise ConfigurationError(
                f"{self._where} {name} must be true or false; correct it or leave it out"
            )
        return value

    def number(self, name: str, default: int, least: int, most: int) -> int:
        value = self._options.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ConfigurationError(
                f"{self._where} {name} must be a whole number from {least} to {most}; "
                "correct it or leave it out"
            )
        return value
