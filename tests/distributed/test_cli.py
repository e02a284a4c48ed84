"""``personaclick sync`` on several machines: shards, a cluster, refusals that say what to do."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import LocalCluster
from typer.testing import CliRunner, Result

from personaclick_async.cli.app import app
from personaclick_async.cli.outcome import Exit
from personaclick_async.emulator import Emulator
from tests.distributed.support import sample_rows, write_csv_parts, write_parts
from tests.sync.support import expected, fit, people, stored


@pytest.fixture
def environment(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    return {
        "PERSONACLICK_SHOP_ID": emulator.shop_id,
        "PERSONACLICK_SHOP_SECRET": emulator.shop_secret,
        "PERSONACLICK_API_URL": emulator.url,
        "COLUMNS": "100",
    }


def run(environment: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(app, ["sync", *arguments], env=environment)


@pytest.mark.parametrize("route", ["bulk", "per-profile"])
def test_three_shards_make_the_whole(
    environment: dict[str, str], emulator: Emulator, tmp_path: Path, route: str
) -> None:
    rows = sample_rows()
    pattern = write_parts(tmp_path / "data", rows, 2)
    reports = []
    for number in (1, 2, 3):
        journal = ("--journal", f"{number}.db")
        done = run(
            environment, pattern, "--shard", f"{number}/3", "--route", route, *journal, "--json"
        )
        assert done.exit_code == Exit.INCOMPLETE, done.output
        reports.append(json.loads(done.stdout))

    assert sum(one["read"] for one in reports) == len(rows)
    assert sum(one["sent"] for one in reports) == len(fit(rows))
    assert stored(emulator) == expected(fit(rows))
    files = [Path(one["rejects"]) for one in reports]
    assert len(set(files)) == 3
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    unfit = [number for number, row in enumerate(rows, 1) if row.get("gender") == "unknown"]
    assert sorted(line["_row"] for line in lines) == unfit


def test_a_cluster_by_its_address(
    environment: dict[str, str], emulator: Emulator, tmp_path: Path, cluster: LocalCluster
) -> None:
    rows = sample_rows()
    pattern = write_csv_parts(tmp_path / "data", rows, 4)
    address = cluster.scheduler_address
    done = run(
        environment, pattern, "--dask", address, "--parts-folder", str(tmp_path / "state"), "--json"
    )

    assert done.exit_code == Exit.INCOMPLETE, done.output
    report = json.loads(done.stdout)
    checked = json.loads(run(environment, pattern, "--dry-run", "--json").stdout)
    assert report["source"] == checked["source"]
    unfit = len(rows) - len(fit(rows))
    assert (report["read"], report["sent"], report["incomplete"]) == (
        len(rows),
        len(rows),
        unfit,
    )
    assert len(Path(report["rejects"]).read_text().splitlines()) == unfit + 1
    assert stored(emulator).keys() == expected(fit(rows)).keys()


def test_a_cluster_on_this_machine(
    environment: dict[str, str], emulator: Emulator, tmp_path: Path
) -> None:
    rows = people(1000)
    pattern = write_parts(tmp_path / "data", rows, 5)
    secret = tmp_path / "secret"
    secret.write_text(emulator.shop_secret)
    command = [sys.executable, "-m", "personaclick_async.cli", "sync", pattern, "--dask", "local:2"]
    done = subprocess.run(
        [*command, "--secret-file", str(secret)],
        env={**os.environ, **environment, "PERSONACLICK_SHOP_SECRET": "another shop's"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == Exit.DONE, done.stderr
    assert "the cluster's dashboard: http://127.0.0.1:" in done.stderr
    assert "1,000" in done.stdout
    assert stored(emulator) == expected(rows)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--shard", "9/8"), "shard: expected 1/N to N/N"),
        (("--shard", "1/2", "--dask", "local:2"), "expected one of them, got both"),
        (("--query", "SELECT 1", "--dask", "local:2"), "expected one of them, got both"),
        (("--skip-unchanged", "--dask", "local:2"), "expected one of them, got both"),
        (("--shard-by", "email"), "only shards are told apart"),
        (("--dask", "tcp://scheduler:8786"), "--parts-folder: expected a folder"),
        (("--dask", "local:many"), "or local:4"),
        (("--dask", "tcp://127.0.0.1:1", "--parts-folder", "parts"), "no scheduler answers"),
        (("--dask", "nonsense://x", "--parts-folder", "parts"), "no scheduler answers"),
    ],
)
def test_what_does_not_go_together_is_refused(
    environment: dict[str, str],
    emulator: Emulator,
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    pattern = write_parts(tmp_path / "data", people(3), 1)
    with dask.config.set({"distributed.comm.timeouts.connect": "100ms"}):
        done = run(environment, pattern, *arguments)
    assert done.exit_code == Exit.CONFIGURATION
    assert said in done.stderr
    assert emulator.requests == []


def test_a_cluster_needs_workers(environment: dict[str, str], tmp_path: Path) -> None:
    pattern = write_parts(tmp_path / "data", people(3), 1)
    with LocalCluster(n_workers=0, dashboard_address=None) as empty:  # type: ignore[no-untyped-call]
        address = empty.scheduler_address
        done = run(environment, pattern, "--dask", address, "--parts-folder", "parts")
    assert done.exit_code == Exit.CONFIGURATION
    assert "the cluster has no workers" in done.stderr


def test_a_cluster_takes_no_standard_input(environment: dict[str, str]) -> None:
    done = run(environment, "-", "--dask", "local:2")
    assert done.exit_code == Exit.CONFIGURATION
    assert "expected files" in done.stderr


def test_a_cluster_shares_a_limit_whose_address_is_not_pickled(
    environment: dict[str, str],
    emulator: Emulator,
    tmp_path: Path,
    redis: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[bytes] = []
    dumps = pickle.dumps

    def noted(content: object, *arguments: Any, **named: Any) -> bytes:
        sent.append(dumps(content, *arguments, **named))
        return sent[-1]

    monkeypatch.setattr(pickle, "dumps", noted)
    pattern = write_parts(tmp_path / "data", people(20), 2)
    monkeypatch.setenv("PERSONACLICK_SHARED_LIMIT_URL", "")
    done = run(environment, pattern, "--dask", "local:2", "--shared-limit", redis)
    assert done.exit_code == Exit.DONE, done.output
    assert stored(emulator) == expected(people(20))
    assert any(b"SharedLimit" in one for one in sent)
    assert not any(redis.encode() in one for one in sent)
