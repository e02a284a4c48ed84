"""Options say no by name when they are made; the report's sums hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from personaclick_async import ConfigurationError, PersonaClick
from personaclick_async.sync import Report, Route, SyncOptions, Unfinished


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("route", "pigeon"),
        ("unfinished", "perhaps"),
        ("concurrency", 0),
        ("concurrency", True),
        ("concurrency", 1001),
        ("max_chunk_bytes", 10),
        ("max_chunk_bytes", 33 * 1024 * 1024),
        ("chunk_rows", 0),
        ("chunk_rows", 1.5),
        ("patience", -1),
        ("patience", float("nan")),
        ("max_refused_in_a_row", 0),
        ("segment_id", -1),
        ("skip_unchanged", True),
    ],
)
def test_what_can_not_be_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        SyncOptions(**{name: value})


@pytest.mark.parametrize("wrong", [{}, {"route": "bulk"}, "sync.db"])
async def test_options_are_sync_options(client: PersonaClick, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^options: expected SyncOptions, got (dict|str)"):
        client.sync([], options=wrong)


def test_a_segment_needs_the_bulk_route() -> None:
    with pytest.raises(ConfigurationError, match="segment_id"):
        SyncOptions(route=Route.PER_PROFILE, segment_id=5)


def test_options_take_what_people_have() -> None:
    options = SyncOptions(
        route="bulk",
        unfinished="restart",
        journal="sync.db",
        patience=timedelta(minutes=5),
    )
    assert options.route is Route.BULK
    assert options.unfinished is Unfinished.RESTART
    assert options.journal == Path("sync.db")
    assert options.patience == 300.0
    assert SyncOptions(patience=None).patience is None


def test_a_report_knows_rate_and_remaining_time() -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    report = Report(total=100, read=40, sent=25, rejected=5, earlier=10, started_at=began)
    later = began + timedelta(seconds=10)
    assert report.settled == 30
    assert report.rate(later) == 2.0
    assert report.seconds_left(later) == 35.0
    report.ended_at = later
    assert report.elapsed(later + timedelta(days=1)) == 10.0


def test_a_report_of_nothing_yet() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert Report().rate(now) == 0.0
    assert Report(total=5).seconds_left(now) is None


def test_reports_of_parts_add_up() -> None:
    whole, now = Report(), datetime(2026, 1, 1, tzinfo=UTC)
    for part in (
        Report(
            started_at=now,
            ended_at=now,
            source="a.csv",
            total=5,
            read=5,
            sent=4,
            rejected=1,
            is_complete=True,
        ),
        Report(source="b.csv", total=3, read=3, sent=3, is_complete=False),
        Report(source="c.csv", total=None, read=2, sent=2, is_complete=True),
    ):
        whole.add_part(part)

    assert (whole.source, whole.total, whole.is_complete) == ("a.csv", 8, False)
    assert (whole.read, whole.sent, whole.rejected) == (10, 9, 1)
    assert (whole.started_at, whole.ended_at) == (None, None)
