"""A pytest plugin: the fixture ``personaclick_emulator``, on hand wherever the package is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from personaclick_async.emulator import Emulator


@pytest.fixture
def personaclick_emulator() -> Iterator[Emulator]:
    """Provide each test with a running emulator of its own, empty, on a free loopback port.

    A plain fixture, so that it serves synchronous tests and every asynchronous plugin alike.
    """
    # Here, for pytest loads plugins in every run.
    from personaclick_async.emulator import Emulator  # noqa: PLC0415

    with Emulator() as emulator:
        yield emulator
