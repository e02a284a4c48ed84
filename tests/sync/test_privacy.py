"""Canaries: no person and no secret shows up in the journal, a result, an error or a log."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

import pytest

from personaclick_async.emulator import Emulator
from personaclick_async.sync import Rejected, SyncStopped
from tests.conftest import MakeClient
from tests.sync.support import PATHS, Picky, Rejects, source_of, start

CANARIES = (
    "canary-mail@shop.example",
    "Canaryfirst",
    "7999000111222",
    "canary-card",
    "canary-5ecret",
)
ROW = {
    "email": CANARIES[0],
    "first_name": CANARIES[1],
    "phone": CANARIES[2],
    "loyalty_id": CANARIES[3],
}
BAD = {**ROW, "last_name": "BADNAME"}


def written(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in folder.iterdir()]


@pytest.mark.parametrize("route", PATHS)
async def test_nothing_shows(
    make_client: MakeClient,
    emulator: Emulator,
    journal: Path,
    caplog: pytest.LogCaptureFixture,
    route: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    emulator.add_shop("ab" * 15, CANARIES[4])
    rows: list[dict[str, Any]] = [
        ROW,
        {**ROW, "email": "canary-mail"},
        BAD,
        *[{**ROW, "n": n} for n in range(300)],
    ]
    fails = False
    picky = Picky(
        emulator, lambda body: b"BADNAME" in body or fails, f"wrong: {' and '.join(CANARIES)}"
    )
    shown: list[object] = []
    rejects = Rejects()
    async with picky.server() as server:
        client = make_client(
            shop_id="ab" * 15, shop_secret=CANARIES[4], api_url=str(server.make_url("/"))
        )
        options = {
            "chunk_rows": 20,
            "route": route,
            "journal": journal,
            "rejects": rejects,
            "skip_unchanged": True,
            "max_refused_in_a_row": 3,
            "patience": 0,
        }
        sync = start(client, source_of(rows), **options)
        async with sync:
            async for result in sync:
                shown += [result, str(result)]
                if isinstance(result, Rejected) and result.row == 3:
                    break
            shown += written(journal.parent)
        shown += [sync, sync.report, options]
        for status in (422, 503, 401, 500):
            fails, picky.status = True, status
            with pytest.raises(SyncStopped) as caught:
                await start(client, source_of(rows), **options).run()
            shown += [
                str(caught.value),
                vars(caught.value),
                *traceback.format_exception(caught.value),
            ]
        shown += written(journal.parent)
    shown.append(caplog.text)
    text = "\n".join(map(repr, shown))
    assert {row.row for row in rejects.rows} >= {2, 3}
    for canary in (*CANARIES, "canary-mail", "BADNAME"):
        assert canary not in text
    assert picky.bodies
