"""The recipes of docs/distributed.md do what they say: each is run as it stands there."""

from __future__ import annotations

import importlib.util
import os
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from personaclick_async.sync import Report, SyncStopped
from tests.distributed.conftest import Site
from tests.distributed.support import ROOT, by_name, write_csv_parts
from tests.sync.engine.support import SET, expected, stored

PAGE = ROOT / "docs" / "distributed.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
ROWS = [
    {"email": f"user{number}@shop.example", "version": str(version), f"seen_{version}": "yes"}
    for version in range(4)
    for number in range(50)
]


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

    async def __call__(self, name: str, *first: object, client: bool = True) -> Report:
        who = (self.site.client,) if client else ()
        mapping = by_name(ROWS)
        report: Report = await self.recipes[name](
            *who, *first, self.pattern, mapping, str(self.site.folder)
        )
        assert report.read == report.sent == len(ROWS)
        assert stored(self.site.emulator) == expected(_present(row) for row in ROWS)
        return report


def _present(row: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in row.items() if value}


@pytest.fixture
def recipe(site: Site, recipes: dict[str, Any]) -> Recipe:
    return Recipe(site, recipes, write_csv_parts(site.folder / "data", ROWS, 5))


async def test_dask_with_one_sender(recipe: Recipe) -> None:
    await recipe("sync_on_dask", recipe.site.dask)


@pytest.mark.parametrize("name", ["sync_by_workers", "import_by_workers"])
async def test_dask_with_workers_that_send(recipe: Recipe, name: str) -> None:
    report = await recipe(name, recipe.site.dask)
    assert report.requests == 200 or name == "import_by_workers"


# Forking a process that has threads, as the test's cluster makes it, is what 3.12 warns of.
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
async def test_a_pool_of_processes(recipe: Recipe) -> None:
    await recipe("sync_with_a_pool")


class OneMachine:
    """Stands where a SparkContext would: what crosses to executors there is pickled here too."""

    def parallelize(self, items: Sequence[Any], _: int) -> OneMachine:
        made = OneMachine()
        made.items = pickle.loads(pickle.dumps(items))
        return made

    def map(self, function: Callable[[Any], Any]) -> OneMachine:
        self.items = [pickle.loads(pickle.dumps(function(item))) for item in self.items]
        return self

    def first(self) -> object:
        return self.items[0]

    items: Sequence[Any] = ()


async def test_spark_but_for_spark(recipe: Recipe) -> None:
    await recipe("sync_on_spark", OneMachine())


@pytest.fixture
def ray() -> Iterator[None]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray  # noqa: PLC0415 - takes a second, and only if it is there

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
# Ray leaves files and sockets of its own open.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning:ray")
@pytest.mark.usefixtures("ray")
async def test_ray(recipe: Recipe) -> None:
    await recipe("sync_on_ray")


async def test_a_shared_limit_is_asked(recipe: Recipe) -> None:
    with pytest.raises(SyncStopped, match="shared limit: expected redis://"):
        await recipe.recipes["sync_under_a_shared_limit"](
            recipe.site.client, recipe.pattern, "nowhere"
        )
    assert recipe.site.emulator.requests_to(SET) == []


def test_the_function_by_itself(recipe: Recipe) -> None:
    here = recipe.recipes["prepare_here"]
    folder = str(recipe.site.folder)
    assert here(recipe.pattern, by_name(ROWS), folder) == len(ROWS)
    assert here(recipe.pattern, by_name(ROWS), folder) == len(ROWS)
    assert len(list(Path(folder, "spool").rglob("*.chunk"))) == 5


def test_the_airflow_recipe_is_a_command_that_exists() -> None:
    [block] = [block for block in BLOCKS if "airflow" in block]
    compile(block, str(PAGE), "exec")
    assert {"--map", "--json", "--shard", "--journal"} == set(re.findall(r"--\w+", block))
