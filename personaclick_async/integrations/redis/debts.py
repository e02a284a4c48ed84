"""What Redis is still to be told to forget."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import attrs


@attrs.frozen(repr=False)
class Debt:
    """What was owed at one moment; ``keys`` is empty where everything is to be forgotten."""

    number: int
    keys: Sequence[str]
    is_all: bool


class Debts:
    """Keys that are to be forgotten, noted before Redis is told and struck out after it was.

    So nothing is lost by a failure, a timeout or a cancellation in between. Beyond ``most`` keys
    they become one debt: to forget everything. Safe to use from several threads.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._last = 0
        self._keys: dict[str, int] = {}
        self._all: int | None = None
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._keys) or self._all is not None

    def owes(self, key: str) -> bool:
        """Whether Redis may still have the key as it was before it was to be forgotten."""
        return self._all is not None or key in self._keys

    def owe(self, keys: Sequence[str]) -> Debt:
        """Note keys that are to be forgotten."""
        with self._lock:
            self._last += 1
            self._keys.update(dict.fromkeys(keys, self._last))
            if len(self._keys) > self._most:
                self._all = self._last
                self._keys.clear()
            return Debt(self._last, keys, is_all=False)

    def owe_all(self) -> None:
        """Note that everything is to be forgotten."""
        with self._lock:
            self._last += 1
            self._all = self._last
            self._keys.clear()

    def due(self, *, most: int) -> Debt | None:
        """Give what to pay next: everything, or up to ``most`` keys; None if nothing is owed."""
        with self._lock:
            if self._all is not None:
                return Debt(self._last, (), is_all=True)
            if not self._keys:
                return None
            keys = [key for key, _ in zip(self._keys, range(most), strict=False)]
            return Debt(self._last, keys, is_all=False)

    def pay(self, debt: Debt) -> None:
        """Strike out what was paid, except for what was noted again since."""
        with self._lock:
            if debt.is_all and self._all is not None and self._all <= debt.number:
                self._all = None
            for key in tuple(self._keys) if debt.is_all else debt.keys:
                if self._keys.get(key, debt.number + 1) <= debt.number:
                    del self._keys[key]

    def start_over_after_fork(self) -> None:
        """Replace the lock, which another thread of the parent may have held."""
        self._lock = threading.Lock()
