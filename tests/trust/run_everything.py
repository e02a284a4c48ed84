"""A whole story in a process of its own, whose every output is looked through afterwards.

Run as ``python -X dev -m tests.trust.run_everything``, in a folder of its own and with
``PYTHONASYNCIODEBUG=1``: it logs everything at DEBUG, prints whatever an application might,
exports telemetry to the console, fails in all ways, and ends with an exception that nobody caught.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import traceback
from contextlib import nullcontext
from pathlib import Path

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from personaclick_async import (
    Hooks,
    PersonaClick,
    PersonaClickError,
    ProfileUpdate,
    RetryPolicy,
    Timeouts,
)
from personaclick_async.config import CallOptions
from personaclick_async.emulator import Emulator, EmulatorSettings, Fault
from personaclick_async.facade import create_personaclick
from personaclick_async.integrations.opentelemetry import Telemetry
from personaclick_async.logs import log_requests
from personaclick_async.sync import SyncOptions
from personaclick_async.sync.rejects import RejectFile
from tests.trust.canaries import BY_IDENTIFIER, CANARIES, UPDATE, flat_row
from tests.trust.echoing import Asked, echoes
from tests.wire.servers import wire

REJECTED = "rejected.csv"
"""The one file that holds people by design."""

LAST_WORDS = "the story is over"


def say(*things: object) -> None:
    sys.stdout.write(" ".join(map(str, things)) + "\n")
    sys.stdout.write(" ".join(map(repr, things)) + "\n")


async def calls(client: PersonaClick) -> int:
    """Make every call; print what it gives or raises; give how many there were."""
    device = client.user(did=CANARIES["did"], seance=CANARIES["seance"])
    customers = [client.user(**{kind: CANARIES[kind]}) for kind in BY_IDENTIFIER]
    made = [
        client.init(did=CANARIES["did"], seance=CANARIES["seance"]),
        device.profile.set(**UPDATE),
        device.profile.raw.set(ProfileUpdate(**UPDATE)),
        device.profile.get(force=True),
        device.profile.raw.get(),
        *(user.profile.full() for user in customers),
        *(user.orders.by_user() for user in customers),
        device.orders.last_for_user(),
        device.new_session(),
        customers[2].profile.purge(),
    ]
    for call in made:
        task = asyncio.create_task(call)
        await asyncio.wait([task])
        say(task)
        error = task.exception()
        if isinstance(error, PersonaClickError):
            say(error, error.args, vars(error))
            traceback.print_exception(error)
            logging.getLogger("shop").error("failed", exc_info=error)
        elif error is not None:
            raise error
        else:
            say(task.result())
    say(client, client.config, client.transport_stats, client.cache_stats, device, CallOptions())
    return len(made)


async def facade(client: PersonaClick, shop: Emulator) -> None:
    device = client.user(did=CANARIES["did"], seance=CANARIES["seance"])
    call = create_personaclick(client).for_user(device)

    def broken(_: object) -> None:
        raise LookupError("mine")

    say(call("profile", "set", UPDATE, broken), call("profile", "get", None, True))
    await call.aflush(10)
    with shop.fault(status=422, error_message=json.dumps(flat_row())):
        call("profile", "set", UPDATE)
        call("profile", "set", UPDATE, None, say)
        await call.aflush(10)


async def syncs(client: PersonaClick, shop: Emulator, telemetry: Telemetry) -> None:
    rows = [{**flat_row(), "n": number} for number in range(30)]
    rows[7]["email"] = " ".join(CANARIES.values())
    rejects = RejectFile(REJECTED, list(rows[0]))
    for route in ("per-profile", "bulk"):
        for error in (None, json.dumps(flat_row())):
            options = SyncOptions(
                route=route,
                journal=f"{route}.db",
                skip_unchanged=error is None,
                rejects=rejects,
                patience=0,
                max_refused_in_a_row=3,
            )
            source = rows if error is None else iter(rows)
            sync = client.sync(source, options=options)
            fault = nullcontext() if error is None else shop.fault(status=422, error_message=error)
            try:
                with fault:
                    async with telemetry.watch(sync, name="nightly") as watched:
                        say(watched, *[result async for result in watched])
            except PersonaClickError as stopped:
                traceback.print_exception(stopped)
                say(stopped, vars(stopped))
            say(sync.report, options)
    rejects.close()


async def main() -> None:
    loop = asyncio.get_running_loop()
    loop.slow_callback_duration = 0  # every callback is logged, with all that its repr shows
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
    meters = MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter())])
    telemetry = Telemetry(tracer_provider=tracers, meter_provider=meters)
    hooks = (telemetry.hooks, log_requests(), Hooks(on_response=say, on_retry=say))

    def a_client(url: str) -> PersonaClick:
        client = PersonaClick(
            "e0" * 15,
            shop_secret=CANARIES["shop_secret"],
            api_url=url,
            timeouts=Timeouts(connect=1, read=0.3, total=1),
            retry=RetryPolicy(attempts=2, first_wait=0),
            hooks=hooks,
        )
        return telemetry.observe(client, name="toys")

    made = 0
    async with Emulator(EmulatorSettings(shop_secret=CANARIES["shop_secret"])) as shop:
        async with a_client(shop.url) as client:
            made += await calls(client)
            for fault in (Fault(drop=True), Fault(truncate=True)):
                with shop.fault(drop=fault.drop, truncate=fault.truncate):
                    made += await calls(client)
            await facade(client, shop)
            await syncs(client, shop, telemetry)
        never_closed = a_client(shop.url)
        await never_closed.user(did=CANARIES["did"]).profile.set(**UPDATE)
        say(shop, shop.requests[:3], shop.counts)
    heard: list[Asked] = []
    for status, message in (
        (200, "values"),
        (404, "the address"),
        (422, "the body"),
        (500, "reprs"),
    ):
        serve = echoes(heard, status=status, message=message)
        async with wire(*[serve] * 80) as served, a_client(served.url) as client:
            made += await calls(client)
    async with a_client("http://nowhere.invalid/") as client:
        made += await calls(client)
    for bad in (" ".join(CANARIES.values()), [*CANARIES.values()], {**CANARIES}):
        try:
            ProfileUpdate.from_flat({"email": bad})
        except PersonaClickError:
            traceback.print_exc()
    meters.shutdown()
    tracers.shutdown()
    Path("made.json").write_text(json.dumps({"made": made, "heard": len(heard)}))  # noqa: ASYNC240
    raise RuntimeError(LAST_WORDS) from an_error(heard)


def an_error(heard: list[Asked]) -> Exception:
    """Give an error of ours to be the cause of one that nobody catches."""
    try:
        ProfileUpdate(phone=heard[0].target)
    except PersonaClickError as error:
        return error
    raise AssertionError


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s %(message)s %(args)r")
    asyncio.run(main())
