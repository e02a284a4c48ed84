"""A shop in FastAPI: its page shows each visitor their profile and last order.

Run it with ``uvicorn examples.web.fastapi_shop:app``. Reads ``PERSONACLICK_SHOP_ID`` and, for an
emulator, ``PERSONACLICK_API_URL``.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from examples.web.page import render, save_form, shop_page
from personaclick_async import PersonaClick
from personaclick_async.integrations.fastapi import Client, VisitorMiddleware, lifespan

client = PersonaClick()
app = FastAPI(lifespan=lifespan(client))
app.add_middleware(VisitorMiddleware, client=client)


@app.get("/")
async def page(shop: Client) -> HTMLResponse:
    """Show the visitor's profile and last order."""
    return HTMLResponse(await shop_page(shop))


@app.post("/profile")
async def save(request: Request, shop: Client) -> Response:
    """Save the form."""
    wrong = await save_form(shop, dict(parse_qsl((await request.body()).decode())))
    if wrong:
        return HTMLResponse(render(None, [], notice=wrong), 422)
    return RedirectResponse("/", 303)


@app.get("/health")
async def health() -> str:
    """Answer a load balancer; such a request makes no call to the service."""
    return "ok"
