"""Real servers for the applications under test, and browsers to visit them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import aiohttp
import uvicorn
from aiohttp import web
from yarl import URL


@asynccontextmanager
async def serve(app: Any, *, lifespan: Literal["on", "off"] = "on") -> AsyncIterator[str]:
    """Serve an ASGI application with uvicorn on a free port; gives its address."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        config = uvicorn.Config(app, lifespan=lifespan, ws="websockets-sansio", log_config=None)
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        # What serve() does, but for the signals, and the tick of a tenth of a second at the end.
        await server.startup(sockets=[listener])
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            await server.shutdown(sockets=[listener])


@asynccontextmanager
async def serve_aiohttp(app: web.Application) -> AsyncIterator[str]:
    """Serve an aiohttp.web application on a free port; gives its address."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def browser(url: str) -> aiohttp.ClientSession:
    """Return a visitor's browser: it takes a loopback address for secure, as browsers do."""
    jar = aiohttp.CookieJar(unsafe=True, treat_as_secure_origin=URL(url))
    return aiohttp.ClientSession(url, cookie_jar=jar)
