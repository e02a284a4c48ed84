"""The recipes of docs/distributed.md do what they say: each is run as it stands there."""

from __future__ import annotations

import asyncio
import pickle
import re
import shutil
from typing import Any

import attrs
import pytest

from tests.distributed.conftest import Site
from tests.distributed.support import ROOT, by_name, write_csv_parts
from tests.sync.support import expected, stored

PAGE = ROOT / "docs" / "distributed.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
ROWS = [{"email": f"user{number}@shop.example", "version": "1"} for number in range(200)]


@pytest.fixture(scope="module")
def recipes() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in BLOCKS:
        if "airflow" not in block:
            exec(compile(block, str(PAGE), "exec"), names)
    return names


@attrs.frozen
class Recipe:
    """Runs a recipe on some files, and checks what has come of them."""

    site: Site
    recipes: dict[str, Any]
    pattern: str

    async def __call__(self, name: str, *first: object) -> None:
        function = self.recipes[name]
        arguments = (*first, self.pattern, by_name(ROWS), str(self.site.folder / "state"))
        if asyncio.iscoroutinefunction(function):
            reports = [await function(self.site.client, *arguments)]
        else:
            reports = await asyncio.to_thread(function, self.site.client, *arguments)
        assert sum(one.sent for one in reports) == sum(one.read for one in reports) == len(ROWS)
        assert stored(self.site.emulator) == expected(_present(row) for row in ROWS)


def _present(row: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in row.items() if value}


@pytest.fixture
def recipe(site: Site, recipes: dict[str, Any]) -> Recipe:
    return Recipe(site, recipes, write_csv_parts(site.folder / "data", ROWS, 5))


async def test_the_airflow_recipe_is_a_command_that_exists() -> None:
    [block] = [block for block in BLOCKS if "airflow" in block]
    compile(block, str(PAGE), "exec")
    assert {"--map", "--json", "--shard", "--journal"} == set(re.findall(r"--\w+", block))


async def test_one_process(recipe: Recipe) -> None:
    await recipe("sync_here")


async def test_dask(recipe: Recipe) -> None:
    await recipe("sync_on_a_cluster", recipe.site.dask)


async def test_a_pool_of_processes(recipe: Recipe) -> None:
    await recipe("sync_with_a_pool")


async def test_ray(recipe: Recipe) -> None:
    pytest.importorskip("ray")
    await recipe("sync_on_ray")


class OneMachine:
    """What the Spark recipe asks of a SparkContext, without a cluster: tasks are pickled too."""

    def __init__(self) -> None:
        self._tasks: list[Any] = []

    def parallelize(self, items: list[Any], slices: int) -> OneMachine:
        assert slices == len(items)
        self._tasks = [pickle.loads(pickle.dumps(item)) for item in items]
        return self

    def map(self, function: Any) -> OneMachine:
        self._tasks = [function(task) for task in self._tasks]
        return self

    def collect(self) -> list[Any]:
        return self._tasks


async def test_spark_but_for_spark(recipe: Recipe) -> None:
    await recipe("sync_on_spark", OneMachine())


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
async def test_a_shared_limit(recipe: Recipe, redis: str) -> None:
    few = ROWS[:30]  # the quota is 40 requests a minute
    pattern = write_csv_parts(recipe.site.folder / "few", few, 1)
    sync = recipe.recipes["sync_under_a_shared_limit"]
    report = await sync(recipe.site.client, pattern, redis)
    assert 0 < report.sent == report.read < len(few)
