"""Emulators with settings of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from personaclick_async.emulator import Emulator, EmulatorSettings

MakeEmulator = Callable[..., Emulator]


@pytest.fixture
def make_emulator() -> Iterator[MakeEmulator]:
    """Start emulators with settings; stopped when the test ends."""
    with ExitStack() as running:
        yield lambda **settings: running.enter_context(Emulator(EmulatorSettings(**settings)))


@pytest.fixture
def emulator(make_emulator: MakeEmulator) -> Emulator:
    """An emulator that does not limit imports: most tests are about something else."""
    return make_emulator(import_limit=None)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where a journal goes."""
    return tmp_path / "sync.journal"


@pytest.fixture
def quick() -> dict[str, Any]:
    """Options of syncs with short chunks."""
    return {"chunk_rows": 20, "max_chunk_bytes": 2048, "concurrency": 4}
