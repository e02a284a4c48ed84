"""Whatever is bad in a chunk is found, and whatever is good gets through, once and in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import log2
from typing import Any

import attrs
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

from personaclick_async import PersonaClick, codec
from personaclick_async.sync import Queued, Refused, Result
from tests.sync.support import results_of, start

BAD = "BADNAME"


@attrs.define
class Service:
    """Refuses a body with a bad record, and one with too many bytes or records.

    :ivar sent: the body's size, the numbers of its records, and the answer's status.
    """

    most_bytes: int = 10**9
    most_records: int = 10**9
    sent: list[tuple[int, list[int], int]] = attrs.field(factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        audience = codec.decode(body)["audience"]
        status = 200
        if len(body) > self.most_bytes or len(audience) > self.most_records:
            status = 413
        elif any(entry["first_name"] == BAD for entry in audience):
            status = 422
        numbers = [int(entry["external_id"]) for entry in audience]
        self.sent.append((len(body), numbers, status))
        return web.json_response({"status": "success"}, status=status)


def synced(service: Service, rows: Sequence[dict[str, Any]], **options: Any) -> list[Result]:
    """Send rows, each numbered by its external_id, in bulk; return their results."""

    async def sync() -> list[Result]:
        application = web.Application(client_max_size=0)
        application.router.add_post("/import/audience", service.answer)
        async with TestServer(application) as server:
            url = str(server.make_url("/"))
            async with PersonaClick("e0" * 15, shop_secret="5e", api_url=url, limits={}) as client:
                patient = {"route": "bulk", "max_refused_in_a_row": 1000, **options}
                return await results_of(start(client, rows, **patient))

    return asyncio.run(sync())


def row(number: int, *, is_bad: bool = False, size: int = 1) -> dict[str, Any]:
    name = BAD if is_bad else "Ada"
    return {"external_id": str(number), "first_name": name, "filler": "x" * size}


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 400), st.booleans()), min_size=1, max_size=60),
    st.integers(1024, 5000),
    st.integers(300, 5000),
)
def test_all_good_get_through_in_order_and_all_bad_are_found(
    records: list[tuple[int, bool]], own_limit: int, services_limit: int
) -> None:
    service = Service(most_bytes=services_limit)
    rows = [row(n, is_bad=bad, size=size) for n, (size, bad) in enumerate(records, 1)]
    results = synced(service, rows, max_chunk_bytes=own_limit)

    assert all(size <= own_limit for size, _, _ in service.sent)
    alone = {numbers[0]: size for size, numbers, _ in service.sent if len(numbers) == 1}
    bad = [
        n for n, (_, is_bad) in enumerate(records, 1) if is_bad or alone.get(n, 0) > services_limit
    ]
    assert [one.row for one in results if isinstance(one, Refused)] == bad
    good = [n for n in range(1, len(records) + 1) if n not in bad]
    assert [one.row for one in results if isinstance(one, Queued)] == good
    accepted = [n for _, numbers, status in service.sent if status == 200 for n in numbers]
    assert accepted == good


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3000), st.data())
def test_one_bad_record_costs_few_requests(count: int, data: st.DataObject) -> None:
    bad = data.draw(st.integers(1, count))
    service = Service()
    synced(service, [row(number, is_bad=number == bad) for number in range(1, count + 1)])
    assert 1 <= len(service.sent) <= 2 * log2(count) + 2


def test_a_half_of_what_was_too_large_may_be_good_though_the_other_was() -> None:
    service = Service(most_records=4)
    synced(service, [row(number) for number in range(1, 9)])
    whole = [1, 2, 3, 4, 5, 6, 7, 8]
    assert [numbers for _, numbers, _ in service.sent] == [whole, whole[:4], whole[4:]]
