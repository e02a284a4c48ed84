"""What is compared with what: each function is one group of comparisons.

Each group runs in a process of its own (``python -m benchmarks.suites wire``), so that nothing
which another has loaded or left behind weighs on it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import trustme
from cachetools import TTLCache

from benchmarks import clients
from benchmarks.clients import SECRET, SHOP, Call, device
from benchmarks.harness import (
    Comparison,
    at_once,
    compare,
    compare_seconds,
    cpu_seconds,
    load_server,
)
from personaclick_async import Answer, PersonaClick, Profile
from personaclick_async.config import CallOptions
from personaclick_async.facade import create_personaclick
from personaclick_async.models.identity import Identity
from personaclick_async.protocol.requests import RequestContext, read_profile
from personaclick_async.sync import Route, SyncOptions

AT_ONCE: Final = (1, 10, 100)
_SCALING_ROUNDS: Final = 7

_TARGETS: Final = {"get": 0.92, "set": 0.85, "last order": 0.90}
_TLS_TARGET: Final = 0.95
_LATENCY_SECONDS: Final = 0.02


def _round(call: Call, count: int, workers: int) -> Callable[[], Awaitable[object]]:
    return lambda: at_once(count, workers, lambda _: call(device()))


async def wire(rounds: int, count: int) -> list[Comparison]:
    """Single calls over the wire, for distinct users, against bare aiohttp."""
    found = []
    with load_server() as (url, _):
        async with clients.bare_aiohttp(url) as bare, clients.sdk(url) as sdk:
            for what, workers in itertools.product(_TARGETS, AT_ONCE):
                a, b = (_round(one[what], count, workers) for one in (bare, sdk))
                name = f"{what}, {workers} at once, of bare aiohttp + json.loads"
                found.append(await compare(name, a, b, rounds=rounds, target=_TARGETS[what]))
    return found


async def tls(rounds: int, count: int) -> list[Comparison]:
    """The same over TLS, with a certificate made for the run."""
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    found = []
    pem = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem
    with pem.tempfile() as path, load_server(certificate=Path(path)) as (url, _):
        async with clients.bare_aiohttp(url, trusting) as bare, clients.sdk(url, trusting) as sdk:
            for what, workers in itertools.product(_TARGETS, AT_ONCE[1:]):
                a, b = (_round(one[what], count, workers) for one in (bare, sdk))
                name = f"{what} over TLS, {workers} at once, of bare aiohttp + json.loads"
                found.append(await compare(name, a, b, rounds=rounds, target=_TLS_TARGET))
    return found


async def latency(rounds: int, count: int) -> list[Comparison]:
    """50 at once where every answer takes 20 ms, against a hand-written pool of workers."""
    found = []
    with load_server(delay=_LATENCY_SECONDS) as (url, _):
        async with clients.bare_aiohttp(url) as bare, clients.sdk(url) as sdk:
            for what in ("get", "set"):
                a, b = (_round(one[what], count, 50) for one in (bare, sdk))
                name = f"{what}, 50 at once and 20 ms each, of a hand-written pool"
                found.append(await compare(name, a, b, rounds=rounds // 3, target=0.9))
        name = "sync per profile with 20 ms each, of a hand-written pool"
        found.append(await _sync_of_pool(url, name, rounds // 3, count))
    return found


async def layers(rounds: int, count: int) -> list[Comparison]:
    """What each layer takes of a profile read, from aiohttp as it is set up here to all of them."""
    with load_server() as (url, _):
        settings: dict[str, Any] = {"api_url": url, "max_concurrency": 1000}
        async with (
            clients.bare_aiohttp(url) as bare,
            clients.session_as_here(url) as session,
            PersonaClick(SHOP, cache=None, **settings) as uncached,
            PersonaClick(SHOP, **settings) as whole,
        ):
            core, options = uncached.user(did=device()).scope.core, CallOptions()

            def sent(did: str, then: Callable[[Answer[Profile]], object]) -> Awaitable[object]:
                call = read_profile(core.shop, RequestContext(Identity.device(did)))
                return core.transport.send(call, options, then)

            async def raw(did: str) -> object:
                return (await uncached.user(did=did).profile.raw.get()).parse()

            growing: dict[str, Call] = {
                "aiohttp as set up here, no JSON": session["get"],
                "+ limits, retries, timeouts, errors": lambda did: sent(did, Answer.json),
                "+ a typed profile in place of a dict": lambda did: sent(did, Answer.parse),
                "+ a user with a session": raw,
                "+ single flight": lambda did: uncached.user(did=did).profile.get(),
                "+ the cache: all of it": lambda did: whole.user(did=did).profile.get(),
            }
            a = _round(bare["get"], count, 10)
            return [
                await compare(f"get, 10 at once: {name}", a, _round(b, count, 10), rounds=rounds)
                for name, b in growing.items()
            ]


async def others(rounds: int, count: int) -> list[Comparison]:
    """Profile reads against other ways to make them."""
    from benchmarks import rivals  # noqa: PLC0415 - only this group is to carry them

    found = []
    for workers in AT_ONCE:
        with load_server() as (url, _):
            ways = {
                "httpx": rivals.httpx_client(url),
                "niquests": rivals.niquests_client(url),
                "requests in threads": rivals.requests_in_threads(url, workers),
            }
            if workers > 1:  # one at once, that is bare aiohttp, as in the group before
                ways["the official SDKs' way, one by one"] = rivals.one_after_the_other(url)
            for name, rival in ways.items():
                async with rival as theirs, clients.sdk(url) as sdk:
                    # They are so much slower that fewer calls take as long.
                    a, b = (_round(one["get"], count // 4, workers) for one in (theirs, sdk))
                    title = f"get, {workers} at once, of {name}"
                    found.append(await compare(title, a, b, rounds=rounds // 3, target=1.0))
    return found


async def cached(rounds: int, count: int) -> list[Comparison]:
    """Reads that cost no request, or share one."""
    kept: TTLCache[str, int] = TTLCache(10_000, 300)
    kept["key"] = 1

    async def lookup() -> int | None:
        try:
            return kept["key"]
        except KeyError:
            return None

    async def nothing() -> None:
        return

    with load_server() as (url, _):
        async with PersonaClick(SHOP, api_url=url) as client:
            user = client.user(did=device())
            await user.profile.get()

            async def bare() -> None:
                for _ in range(count * 20):
                    await lookup()

            async def reads() -> None:
                for _ in range(count * 20):
                    await user.profile.get()

            async def cold() -> None:
                one = client.user(did=device())
                await asyncio.gather(*(one.profile.get() for _ in range(1000)))

            async def empty() -> None:
                await asyncio.gather(*(nothing() for _ in range(1000)))
                await client.user(did=device()).profile.get()

            return [
                await compare(
                    "cached get, of a bare TTLCache lookup",
                    bare,
                    reads,
                    rounds=rounds // 3,
                    target=1 / 8,
                ),
                await compare(
                    "1,000 gets of a cold key, of 1,000 empty tasks and one get",
                    empty,
                    cold,
                    rounds=rounds,
                    target=1 / 2,
                ),
            ]


async def facade(rounds: int, count: int) -> list[Comparison]:
    """Calls with callbacks against awaited ones."""
    with load_server() as (url, _):
        async with PersonaClick(SHOP, api_url=url, max_concurrency=1000) as client:
            personaclick = create_personaclick(client)

            async def awaited(_: int) -> None:
                await client.user(did=device()).profile.get()

            async def called(_: int) -> None:
                answered = asyncio.get_running_loop().create_future()
                whose = personaclick.for_user(client.user(did=device()))
                whose("profile", "get", answered.set_result)
                await answered

            found = []
            for workers in AT_ONCE:
                a, b = (partial(at_once, count, workers, call) for call in (awaited, called))
                name = f"facade's get, {workers} at once, of an awaited one"
                found.append(await compare(name, a, b, rounds=rounds, target=0.85))
            return found


async def per_profile(rounds: int, count: int) -> list[Comparison]:
    """The per-profile route against a hand-written pool of workers."""
    with load_server() as (url, _):
        name = "sync per profile, of a hand-written pool"
        return [await _sync_of_pool(url, name, rounds, count * 3)]


async def _sync_of_pool(url: str, name: str, rounds: int, count: int) -> Comparison:
    headers = {"Content-Type": "application/json"}

    def row(number: int) -> dict[str, str]:
        return {
            "external_id": str(number),
            "email": f"customer{number}@shop.example",
            "first_name": "Ada",
        }

    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
        ) as session,
        PersonaClick(SHOP, shop_secret=SECRET, api_url=url, max_concurrency=1000) as client,
    ):

        async def post(number: int) -> None:
            body = {"shop_id": SHOP, "shop_secret": SECRET, **row(number)}
            async with session.post(
                url + "profile/set", data=json.dumps(body).encode(), headers=headers
            ) as answer:
                assert json.loads(await answer.read())["status"] == "success"

        async def sync() -> None:
            options = SyncOptions(route=Route.PER_PROFILE, concurrency=50)
            await client.sync_all(map(row, range(count)), options=options)

        pool = partial(at_once, count, 50, post)
        return await compare(name, pool, sync, rounds=rounds, target=0.9)


async def imports(rounds: int, _: int) -> list[Comparison]:
    """Importing the package against importing its core dependencies."""

    with tempfile.TemporaryDirectory() as bytecode:
        # As an installed package is: compiled. A checkout is where Python may not write.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def importing(names: str) -> Callable[[], Awaitable[object]]:
            async def run() -> None:
                command = [sys.executable, "-c", f"import {names}"]
                await asyncio.to_thread(subprocess.run, command, check=True, env=environment)

            return run

        dependencies = importing("aiohttp, attrs, cattrs, cachetools, msgspec")
        whole = importing("personaclick_async")
        name = "import of the package, of its dependencies alone"
        return [await compare(name, dependencies, whole, rounds=rounds, target=1 / 1.15)]


async def uvloop_(rounds: int, count: int) -> list[Comparison]:
    """The package on uvloop against bare aiohttp on asyncio, each in processes of its own."""
    found = []
    with load_server() as (url, _):
        for workers in AT_ONCE:

            def calling(client: str, loop: str, workers: int = workers) -> Callable[[], float]:
                command = [sys.executable, "-m", "benchmarks.one_loop", client, loop, url]
                command += [str(workers), str(count)]
                return lambda: float(
                    subprocess.run(command, check=True, capture_output=True, text=True).stdout
                )

            bare, sdk = calling("bare", "asyncio"), calling("sdk", "uvloop")
            name = f"get on uvloop, {workers} at once, of bare aiohttp on asyncio"
            found.append(await compare_seconds(name, bare, sdk, rounds=rounds, target=1.0))
    return found


async def scaling(_: int, count: int) -> list[dict[str, Any]]:
    """Throughput and latency by calls at once, and how busy that keeps the load server."""
    found = []
    with load_server() as (url, server):
        async with clients.bare_aiohttp(url) as bare, clients.sdk(url) as sdk:
            for workers in (1, 3, 10, 30, 100, 300, 1000):
                calls = max(count, workers * 4)
                measured: dict[str, list[float]] = defaultdict(list)
                for _round_number in range(_SCALING_ROUNDS):
                    for name, client in (("bare", bare), ("sdk", sdk)):
                        began, busy = time.perf_counter(), cpu_seconds(server)
                        waits = await _latencies(client["get"], calls, workers)
                        seconds = time.perf_counter() - began
                        measured[f"{name}_per_second"].append(calls / seconds)
                        measured[f"{name}_p50_ms"].append(waits[calls // 2] * 1000)
                        measured[f"{name}_p99_ms"].append(waits[calls * 99 // 100] * 1000)
                        measured["server_busy"].append((cpu_seconds(server) - busy) / seconds)
                medians = {name: statistics.median(values) for name, values in measured.items()}
                found.append({"at_once": workers, **medians})
    return found


async def _latencies(call: Call, count: int, workers: int) -> list[float]:
    waits: list[float] = []

    async def timed_call(_: int) -> None:
        began = time.perf_counter()
        await call(device())
        waits.append(time.perf_counter() - began)

    await at_once(count, workers, timed_call)
    return sorted(waits)


async def entries(_: int, __: int) -> list[dict[str, Any]]:
    """Memory by entries in the cache, each in a process of its own."""
    found = []
    with load_server() as (url, _pid):
        for count in (0, 1_000, 10_000, 50_000):
            done = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-m", "benchmarks.one_cache", url, str(count)],
                check=True,
                capture_output=True,
                text=True,
            )
            found.append({"entries": count, "memory_mb": float(done.stdout)})
    return found


COMPARISONS: Final[dict[str, Callable[[int, int], Awaitable[list[Comparison]]]]] = {
    "wire": wire,
    "tls": tls,
    "latency": latency,
    "layers": layers,
    "others": others,
    "cached": cached,
    "facade": facade,
    "per_profile": per_profile,
    "uvloop": uvloop_,
    "imports": imports,
}
SERIES: Final[dict[str, Callable[[int, int], Awaitable[list[dict[str, Any]]]]]] = {
    "scaling": scaling,
    "entries": entries,
}


async def _rows(name: str, rounds: int, count: int) -> list[dict[str, Any]]:
    if name in SERIES:
        return await SERIES[name](rounds, count)
    return [one.as_json() for one in await COMPARISONS[name](rounds, count)]


def main() -> None:
    """Run one group and print what it found, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*COMPARISONS, *SERIES])
    parser.add_argument("rounds", type=int)
    parser.add_argument("count", type=int)
    options = parser.parse_args()
    found = asyncio.run(_rows(options.name, options.rounds, options.count))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
