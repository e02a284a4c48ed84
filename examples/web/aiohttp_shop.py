"""A shop in aiohttp.web: its page shows each visitor their profile and last order.

Run it with ``python -m examples.web.aiohttp_shop``. Reads ``PERSONACLICK_SHOP_ID``, ``PORT``
(8000) and, for an emulator, ``PERSONACLICK_API_URL``.
"""

from __future__ import annotations

import os

from aiohttp import web

from examples.web.page import render, save_form, shop_page
from personaclick_async import PersonaClick
from personaclick_async.integrations.aiohttp_web import CLIENT, setup

routes = web.RouteTableDef()


@routes.get("/")
async def page(request: web.Request) -> web.Response:
    """Show the visitor's profile and last order."""
    return web.Response(text=await shop_page(request.app[CLIENT]), content_type="text/html")


@routes.post("/profile")
async def save(request: web.Request) -> web.Response:
    """Save the form."""
    wrong = await save_form(request.app[CLIENT], await request.post())
    if wrong:
        page = render(None, [], notice=wrong)
        return web.Response(text=page, content_type="text/html", status=422)
    return web.Response(status=303, headers={"Location": "/"})


@routes.get("/health")
async def health(_: web.Request) -> web.Response:
    """Answer a load balancer; such a request makes no call to the service."""
    return web.Response(text="ok")


def make_app() -> web.Application:
    """Make the application."""
    app = web.Application()
    setup(app, PersonaClick())
    app.add_routes(routes)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
