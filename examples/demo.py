"""The main job, from one end to the other: customers in, profiles and last orders out.

Starts an emulator on a free loopback port, loads a shop into it, sends every customer's profile
through the SDK, reads profiles back in three ways, follows visitors who log in, syncs the whole
file in bulk, and prints what happened. Run it with ``make demo``, or ``make demo DATA=…`` for a
folder of the same layout.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import attrs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples import adventureworks
from personaclick_async import FullProfile, PersonaClick, Product, ProfileUpdate
from personaclick_async.emulator import Emulator
from personaclick_async.sync import Route, SyncOptions
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.sources import open_source

T = TypeVar("T")

MAPPING = Path(__file__).parent / "mappings" / "adventureworks.toml"
AT_ONCE = 50
READ_BACK = 2_000
FORCED = 200
SHOWN = 3

console = Console()


@attrs.define
class Story:
    """What happened, step by step, for the table at the end."""

    steps: list[tuple[str, int, float]] = attrs.field(factory=list)

    @contextmanager
    def step(self, title: str, count: int) -> Iterator[Callable[[], None]]:
        """Show a step's progress and keep its time; gives what to call after each piece."""
        started = time.perf_counter()
        with Progress(
            TextColumn("  {task.description:<42}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        ) as progress:
            bar = progress.add_task(title, total=count)
            yield lambda: progress.advance(bar)
        self.steps.append((title, count, time.perf_counter() - started))


async def each(
    items: Iterable[T], work: Callable[[T], Awaitable[object]], done: Callable[[], None]
) -> None:
    """Work on all items, ``AT_ONCE`` of them at a time, however many there are."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)
            done()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())


async def run(folder: Path) -> None:
    """Tell the whole story for the shop in ``folder``."""
    story = Story()
    customers = list(adventureworks.customers(folder))
    orders = list(adventureworks.orders(folder))
    products = list(adventureworks.products(folder))
    expected = adventureworks.last_orders(folder)
    console.rule(f"[bold]A shop with {len(customers):,} customers[/], read from {folder}")
    async with (
        Emulator() as emulator,
        PersonaClick(
            emulator.shop_id, shop_secret=emulator.shop_secret, api_url=emulator.url, stream="demo"
        ) as client,
    ):
        console.print(f"  The emulator listens on {emulator.url}\n")
        with story.step("load the catalogue", len(products)) as done:
            emulator.add_products(_counted(products, done))
        with story.step("load the orders", len(orders)) as done:
            emulator.add_orders(_counted(orders, done))

        async def send(customer: adventureworks.Customer) -> None:
            user = client.user(external_id=customer["external_id"])
            await user.profile.set(ProfileUpdate(**customer))

        with story.step("set profiles through the SDK", len(customers)) as done:
            await each(customers, send, done)

        known = customers[:READ_BACK]
        with story.step("read profiles from the service", len(known)) as done:
            await each(known, lambda customer: _compare(client, customer), done)
        with story.step("read them again, from the cache", len(known)) as done:
            await each(known, lambda customer: _compare(client, customer), done)
        forced = known[:FORCED]
        with story.step("read some of them with force", len(forced)) as done:
            await each(forced, lambda customer: _compare(client, customer, force=True), done)

        buyers = [customer for customer in customers if customer["external_id"] in expected]
        busiest = sorted(buyers, key=lambda one: -len(expected[one["external_id"]]))[:SHOWN]
        for customer in busiest:
            bought = await _log_in_on_a_new_device(client, customer)
            ids = [product.id for product in bought]
            if ids != expected[customer["external_id"]]:
                raise RuntimeError(f"the last order came back as {ids}")
            console.print(_order_table(customer, bought))

        path = folder / "adventureworks-packt" / "AdventureWorks_Customers.csv"
        source = open_source(path, FieldMapping.load(MAPPING))
        with story.step("sync the customers' file in bulk", len(customers)) as done:
            async with client.sync(source, options=SyncOptions(route=Route.BULK)) as sync:
                async for _ in sync:
                    done()
            emulator.drain()
        account = sync.report
        requests = "1 request" if account.requests == 1 else f"{account.requests:,} requests"
        console.print(
            f"\n  The file {account.source}: {account.read:,} rows read, {account.sent:,} sent in "
            f"{requests}, {account.rejected:,} rejected, "
            f"{account.failed:,} failed.",
            soft_wrap=True,
        )
        if (account.sent, emulator.ignored_entries) != (len(customers), 0):
            raise RuntimeError("not every customer of the file has arrived")

        console.print(_summary(story, client))


def _counted(items: Iterable[T], done: Callable[[], None]) -> Iterator[T]:
    for item in items:
        yield item
        done()


async def _compare(
    client: PersonaClick, customer: adventureworks.Customer, *, force: bool = False
) -> None:
    profile = await client.user(external_id=customer["external_id"]).profile.get(force=force)
    if not isinstance(profile, FullProfile) or profile.last_name != customer.get("last_name"):
        raise RuntimeError(f"customer {customer['external_id']} came back changed")


async def _log_in_on_a_new_device(
    client: PersonaClick, customer: adventureworks.Customer
) -> list[Product]:
    """Be a visitor whom the shop does not know, who then logs in: the device finds its owner."""
    visitor = await client.init()
    await visitor.profile.set(email=customer["email"])
    return await visitor.orders.last_for_user()


def _order_table(customer: adventureworks.Customer, bought: list[Product]) -> Table:
    name = " ".join((customer.get("first_name", ""), customer.get("last_name", "")))
    table = Table(title=f"\nLast order of {name.strip()}", title_justify="left", min_width=72)
    table.add_column("product", ratio=3)
    table.add_column("category", ratio=2)
    table.add_column("price", justify="right")
    for product in bought:
        category = product.categories[-1].name if product.categories else ""
        table.add_row(product.name, category, product.price_full_formatted or "")
    return table


def _summary(story: Story, client: PersonaClick) -> Table:
    table = Table(title="\nWhat happened", title_justify="left", min_width=72)
    table.add_column("step", ratio=3)
    table.add_column("count", justify="right")
    table.add_column("time", justify="right")
    table.add_column("per second", justify="right")
    for title, count, seconds in story.steps:
        table.add_row(title, f"{count:,}", f"{seconds:.2f} s", f"{count / seconds:,.0f}")
    sent, cache = client.transport_stats, client.cache_stats
    table.add_section()
    table.add_row("requests sent", f"{sent.requests:,}", "", "")
    table.add_row("of these sent again", f"{sent.retries:,}", "", "")
    table.add_row("reads answered by the cache", f"{cache.hits:,}", "", "")
    table.add_row("reads answered by the service", f"{cache.misses:,}", "", "")
    total = sum(seconds for _, _, seconds in story.steps)
    table.add_row("all steps", "", f"{total:.2f} s", "")
    return table


def main() -> None:
    """Read the command line and run."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names in a terminal of ASCII
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(__file__).parent / "sample",
        help="a folder laid out like examples/sample",
    )
    asyncio.run(run(parser.parse_args().data))


if __name__ == "__main__":
    main()
