"""What the tests of syncs share: people to send, what must come of it, and a picky service."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import attrs
from aiohttp import web
from aiohttp.test_utils import TestServer

from examples.adventureworks import customers
from personaclick_async import PersonaClick
from personaclick_async.codec import encode
from personaclick_async.config import CallOptions
from personaclick_async.emulator import Emulator, RecordedRequest
from personaclick_async.models import rules
from personaclick_async.sync import FaultyRow, Record, Records, Result, Sync, SyncOptions
from personaclick_async.sync.sources import IterableSource

Row = Mapping[str, Any]
SET = "/profile/set"
IMPORT = "/import/audience"
SAMPLE = Path(__file__).parents[2] / "examples" / "sample"
PATHS = {"per-profile": SET, "bulk": IMPORT}


def start(client: PersonaClick, source: Records, **options: Any) -> Sync:
    return Sync(client._core, CallOptions(), source, SyncOptions(**options))


async def results_of(sync: Sync) -> list[Result]:
    return [result async for result in sync]


def people(count: int, *, versions: int = 1) -> list[dict[str, Any]]:
    """Make rows of people, each in several versions, of which the last one counts."""
    return [
        {
            "email": f"user{number}@shop.example",
            "external_id": str(1000 + number),
            "first_name": f"Name{number}",
            f"seen_{version}": version,
            "version": version,
        }
        for version in range(1, versions + 1)
        for number in range(count)
    ]


def source_of(rows: list[dict[str, Any]], fingerprint: str = "f1") -> IterableSource:
    return IterableSource(rows, name="people", version=fingerprint)


def expected(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """Put rows on top of each other in order, as the service must have done it.

    A phone belongs to whoever came with it first; people share them.
    """
    merged: dict[str, dict[str, Any]] = {}
    owners: dict[str, str] = {}
    for row in rows:
        fields = dict(row)
        if "phone" in fields:
            fields["phone"] = rules.phone("phone", fields["phone"])
            if owners.setdefault(fields["phone"], row["email"]) != row["email"]:
                del fields["phone"]
        if "birthday" in fields:
            fields["birthday"] = fields["birthday"].isoformat()
        merged.setdefault(row["email"], {}).update(fields)
    return merged


def stored(emulator: Emulator) -> dict[str, dict[str, Any]]:
    """Give what the emulator has, flat, by e-mail address."""
    emulator.drain()
    found = {}
    for profile in emulator.profiles():
        custom = profile.pop("custom_properties")
        found[str(profile["email"])] = {**profile, **custom}
    return found


@attrs.define
class Rejects:
    """A sink that remembers; what was not flushed does not count."""

    rows: list[FaultyRow] = attrs.field(factory=list)
    flushed: int = 0

    def append(self, rows: Sequence[FaultyRow], /) -> None:
        self.rows += rows

    def flush(self) -> None:
        self.flushed = len(self.rows)


@attrs.define
class Picky:
    """A service before the emulator that finds fault with some bodies and passes on the rest."""

    emulator: Emulator
    is_bad: Callable[[bytes], bool]
    message: str = "There is something wrong"
    status: int = 422
    bodies: list[bytes] = attrs.field(factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        if self.is_bad(body):
            said = {"status": "error", "payload": {"message": self.message}}
            return web.Response(
                body=encode(said), status=self.status, content_type="application/json"
            )
        url = self.emulator.url.rstrip("/") + request.path
        headers = {"Content-Type": request.headers["Content-Type"]}
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=body, headers=headers) as passed,
        ):
            return web.Response(
                body=await passed.read(), status=passed.status, content_type="application/json"
            )

    def server(self) -> TestServer:
        application = web.Application(client_max_size=0)
        application.router.add_post("/{path:.*}", self.answer)
        return TestServer(application)


def most_in_a_window(requests: list[RecordedRequest], seconds: float) -> int:
    """Count the requests in the fullest window of so many seconds."""
    arrivals = sorted(request.arrived_at for request in requests)
    return max(
        (sum(first <= later < first + seconds for later in arrivals) for first in arrivals),
        default=0,
    )


def grows(numbers: list[int]) -> bool:
    return all(before < after for before, after in pairwise(numbers))


def sample() -> list[dict[str, Any]]:
    """Make rows of the sample's customers, each several times with news, some of them unfit."""
    rows: list[dict[str, Any]] = []
    for version in range(1, 17):
        for number, customer in enumerate(customers(SAMPLE)):
            fields = {name: value for name, value in customer.items() if name != "custom"}
            row = {**fields, **customer["custom"], "version": version, f"seen_{version}": "yes"}
            if (number + version) % 17 == 0:
                row["gender"] = "unknown"
            rows.append(row)
    return rows


def fit(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what the sample has of unfit rows."""
    return [row for row in rows if row.get("gender") != "unknown"]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in another thread or process, which sets no event."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class Alive:
    """Makes records, and counts how many of them exist at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._watched: list[weakref.ref[Record]] = []

    def records(self, count: int) -> Iterator[Record]:
        for row in range(1, count + 1):
            record = Record(row, {"email": f"user{row}@shop.example"})
            self._watched.append(weakref.ref(record, self._gone))
            self.now += 1
            self.most = max(self.most, self.now)
            yield record

    def _gone(self, _: object) -> None:
        self.now -= 1
