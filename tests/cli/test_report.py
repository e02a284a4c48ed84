"""What a dry run adds up: every fault of every row, and what records are sent without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from personaclick_async.cli.report import Summary
from personaclick_async.sync import Record, Rejected, Result
from personaclick_async.sync.records import Fault, Omitted


def faults(*pairs: tuple[str, str]) -> tuple[Fault, ...]:
    return tuple(Fault(field, rule, "str of 3 characters") for field, rule in pairs)


def test_all_faults_of_a_row_count_and_values_that_are_left_out() -> None:
    summary = Summary(is_dry_run=True)
    omitted = Omitted(2, faults(("phone", "a phone number")), {})
    summary.see(Record(1, {"email": "ada@shop.example", "phone": "17755550100"}))
    summary.see(Record(2, {"email": "eve@shop.example"}, omitted))
    summary.see(Record(3, {"email": "joe@shop.example"}))

    async def results() -> AsyncIterator[Result]:
        yield Rejected(4, faults(("email", "an address"), ("birthday", "a day")), {})
        yield Rejected(5, faults(("email", "an address")), {})

    asyncio.run(summary.gather(results()))

    counted = summary.as_json()
    assert counted["fields"] == {
        "email": {"values": 3, "left_out": 0, "changes": 0, "refused": 2},
        "phone": {"values": 1, "left_out": 1, "changes": 0, "refused": 1},
        "birthday": {"values": 0, "left_out": 3, "changes": 0, "refused": 1},
    }
    assert [(one["field"], one["rows"], one["first_row"]) for one in counted["reasons"]] == [
        ("email", 2, 4),
        ("birthday", 1, 4),
    ]
    assert [one["field"] for one in counted["sent_without"]] == ["phone"]
    assert "ada" not in repr(vars(summary))
