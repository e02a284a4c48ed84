"""The main job, from one end to the other: customers in, profiles and last orders out.

Starts an emulator on a free loopback port, loads a shop into it, sends every customer's profile
through the SDK, also while the service fails, reads profiles back in three ways, follows visitors
who log in, and syncs the whole file in bulk. Run it with ``make demo``, or ``make demo DATA=…``
for a folder of the same layout.
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
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from examples import adventureworks
from personaclick_async import FullProfile, PersonaClick, Product, ProfileUpdate, RetryPolicy
from personaclick_async.emulator import Emulator
from personaclick_async.sync import Route, SyncOptions
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.sources import open_source

T = TypeVar("T")

MAPPING = Path(__file__).parent / "mappings" / "adventureworks.toml"
AT_ONCE = 50
READ_BACK = 2_000
FORCED = 200
FAILING = 200
SHOWN = 3
WIDTH = 44

console = Console(highlight=False)


@attrs.define
class Story:
    """The steps so far; each has a line of its own, which stays when the step is done."""

    started: float = attrs.field(factory=time.perf_counter)
    done: str = "ok" if console.options.ascii_only else "\N{CHECK MARK}"

    @contextmanager
    def step(self, title: str, count: int) -> Iterator[Callable[[], None]]:
        """Show a step's progress; yields what to call after each piece."""
        started = time.perf_counter()
        with Progress(
            TextColumn(f"    {{task.description:<{WIDTH}}}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ) as progress:
            bar = progress.add_task(title, total=count)
            yield lambda: progress.advance(bar)
        rate = count / (time.perf_counter() - started)
        self.tell(title, f"{count:>7,}", f"{rate:>9,.0f} a second")

    def tell(self, title: str, count: str, more: str = "") -> None:
        """Write the line of a step that is done."""
        line = Text.assemble(
            (f"  {self.done} ", "green"),
            f"{title:<{WIDTH}}",
            (count, "bold"),
            (f"   {more}", "dim"),
        )
        console.print(line, soft_wrap=True)

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.perf_counter() - self.started


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
    console.rule(f"[bold]A shop with {len(customers):,} customers")
    async with (
        Emulator() as emulator,
        PersonaClick(
            emulator.shop_id,
            shop_secret=emulator.shop_secret,
            api_url=emulator.url,
            stream="demo",
            retry=RetryPolicy(first_wait=0.02, longest_wait=0.2),
        ) as client,
    ):
        console.print(f"  read from {folder}", style="dim", soft_wrap=True)
        console.print(f"  the service is an emulator at {emulator.url}\n", style="dim")
        with story.step("load the catalogue", len(products)) as done:
            emulator.add_products(_counted(products, done))
        with story.step("load the orders", len(orders)) as done:
            emulator.add_orders(_counted(orders, done))

        await _set_and_read(story, emulator, client, customers)
        await _sync(story, emulator, client, folder, len(customers))
        console.print("\n  Visitors log in on a device that is new, and the shop knows them:")
        buyers = [customer for customer in customers if customer["external_id"] in expected]
        for customer in sorted(buyers, key=lambda one: -len(expected[one["external_id"]]))[:SHOWN]:
            bought = await _log_in_on_a_new_device(client, customer)
            ids = [product.id for product in bought]
            if ids != expected[customer["external_id"]]:
                raise RuntimeError(f"the last order came back as {ids}")
            _show_order(customer, bought)

        sent, cache = client.transport_stats, client.cache_stats
        console.print()
        story.tell("requests sent", f"{sent.requests:>7,}", f"{sent.retries:,} of them again")
        story.tell("reads answered by the cache", f"{cache.hits:>7,}")
        story.tell("all steps", f"{story.seconds:>5.2f} s")


async def _set_and_read(
    story: Story,
    emulator: Emulator,
    client: PersonaClick,
    customers: list[adventureworks.Customer],
) -> None:
    async def send(customer: adventureworks.Customer) -> None:
        user = client.user(external_id=customer["external_id"])
        await user.profile.set(ProfileUpdate(**customer))

    with story.step("set profiles through the SDK", len(customers)) as done:
        await each(customers, send, done)
    some = customers[:FAILING]
    with (
        emulator.fault(path="/profile/set", status=503, probability=0.1),
        story.step("again, while one request in ten fails", len(some)) as done,
    ):
        await each(some, send, done)

    known = customers[:READ_BACK]
    with story.step("read profiles from the service", len(known)) as done:
        await each(known, lambda customer: _compare(client, customer), done)
    with story.step("read them again, from the cache", len(known)) as done:
        await each(known, lambda customer: _compare(client, customer), done)
    forced = known[:FORCED]
    with story.step("read some of them with force", len(forced)) as done:
        await each(forced, lambda customer: _compare(client, customer, force=True), done)


async def _sync(
    story: Story, emulator: Emulator, client: PersonaClick, folder: Path, count: int
) -> None:
    path = folder / "adventureworks-packt" / "AdventureWorks_Customers.csv"
    source = open_source(path, FieldMapping.load(MAPPING))
    with story.step("sync the customers' file in bulk", count) as done:
        async with client.sync(source, options=SyncOptions(route=Route.BULK)) as sync:
            async for _ in sync:
                done()
        emulator.drain()
    account = sync.report
    if (account.sent, emulator.ignored_entries) != (count, 0):
        raise RuntimeError("not every customer of the file has arrived")
    requests = "1 request" if account.requests == 1 else f"{account.requests:,} requests"
    console.print(
        f"      {account.read:,} rows read, {account.sent:,} sent in {requests}, "
        f"{account.rejected:,} rejected, {account.failed:,} failed",
        style="dim",
        soft_wrap=True,
    )


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


def _show_order(customer: adventureworks.Customer, bought: list[Product]) -> None:
    name = " ".join((customer.get("first_name", ""), customer.get("last_name", "")))
    console.print(Text.assemble("\n    Last order of ", (name.strip(), "bold")))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(width=4)
    table.add_column(width=WIDTH - 4, no_wrap=True)
    table.add_column(style="dim", width=20, no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for product in bought:
        category = product.categories[-1].name if product.categories else ""
        table.add_row("", product.name, category, product.price_full_formatted or "")
    console.print(table)


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
