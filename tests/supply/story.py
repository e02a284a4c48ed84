"""What a program without any extra does with the package; run where only that is installed."""

import asyncio
import importlib
import pkgutil
import sys

import personaclick_async
from personaclick_async import PersonaClick
from personaclick_async.emulator import Emulator
from personaclick_async.facade import create_personaclick
from personaclick_async.sync import SyncOptions
from personaclick_async.sync.sources import open_source


def modules() -> None:
    """Import every module; one that needs an extra must name it."""
    for module in pkgutil.walk_packages(personaclick_async.__path__, "personaclick_async."):
        if module.name.endswith("__main__"):
            continue  # which runs at once
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            print("needs", module.name, str(error))


async def visit(rows: str) -> None:
    """Set, get, orders, a callback and a sync."""
    async with (
        Emulator() as shop,
        PersonaClick(shop.shop_id, shop_secret=shop.shop_secret, api_url=shop.url) as client,
    ):
        visitor = await client.init()
        await visitor.profile.set(first_name="Ada", gender="f")
        print("gender", (await visitor.profile.get()).gender)
        print("orders", await visitor.orders.last_for_user())
        personaclick = create_personaclick(client).for_user(visitor)
        personaclick("profile", "get", lambda profile: print("callback", profile["gender"]))
        await personaclick.aflush(10)
        report = await client.sync_all(open_source(rows), options=SyncOptions(journal="sync.db"))
        print("sent", report.sent)


if sys.argv[1] == "modules":
    modules()
else:
    asyncio.run(visit(sys.argv[2]))
