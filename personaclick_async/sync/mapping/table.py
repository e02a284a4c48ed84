"""One table of a TOML file: takes keys out by type, and says no by the key's path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar

import attrs

from personaclick_async.codec import Json
from personaclick_async.errors import ConfigurationError

E = TypeVar("E", bound=StrEnum)


@attrs.frozen
class Table:
    """A table, the file's name, and the path of keys that leads to it."""

    _items: Mapping[str, Json]
    _file: str
    _path: str = ""

    @property
    def keys(self) -> Iterable[str]:
        """The keys that are there."""
        return self._items.keys()

    def error(self, key: str, rule: str) -> ConfigurationError:
        """Make the error for a key whose value breaks a rule."""
        return ConfigurationError(f"{self._file}: {self._path}{key}: expected {rule}")

    def allow(self, known: Iterable[str], noun: str = "key", otherwise: str = "") -> None:
        """Refuse keys that are not known.

        :param noun: what the keys are.
        :param otherwise: what to add to the error.
        """
        known = tuple(known)
        for key in self._items:
            if key not in known:
                close = get_close_matches(key, known, n=1)
                listed = f"expected one of {', '.join(sorted(known))}"
                meant = f'did you mean "{close[0]}"?' if close else listed
                raise ConfigurationError(
                    f'{self._file}: {self._path}{key}: unknown {noun} "{key}"; {meant}{otherwise}'
                )

    def get(self, key: str) -> Json:
        """Give what is there, or None."""
        return self._items.get(key)

    def holds_text(self, key: str) -> bool:
        """Say whether there is a text."""
        return isinstance(self._items.get(key), str)

    def text(self, key: str, default: str | None = None) -> str:
        """Give a text that is not empty."""
        value = self._items.get(key, default)
        # The default may be empty, what is written may not.
        if not isinstance(value, str) or (not value and key in self._items):
            raise self.error(key, "a text that is not empty")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Give a list of texts; one text is a list of one, and no key an empty list."""
        value = self._items.get(key, [])
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise self.error(key, "a text or a list of texts")
        return tuple(listed)

    def flag(self, key: str, *, default: bool) -> bool:
        """Give true or false."""
        value = self._items.get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, "true or false")
        return value

    def one_of(self, key: str, known: Sequence[E], default: Any) -> Any:  # noqa: ANN401 - E or the default
        """Give a word of a list."""
        value = self._items.get(key)
        if value is None:
            return default
        for one in known:
            if one == value:
                return one
        raise self.error(key, f"one of {', '.join(known)}")

    def table(self, key: str, rule: str = "a table") -> Table:
        """Give the table there; an empty one if there is none."""
        value = self._items.get(key, {})
        if not isinstance(value, dict):
            raise self.error(key, rule)
        return Table(value, self._file, f"{self._path}{key}.")
