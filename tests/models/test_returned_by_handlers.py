"""Models are returned from the handlers of web frameworks as they are."""

from __future__ import annotations

import subprocess
import sys

import fastapi
import httpx
import litestar

from personaclick_async import FullProfile, Product, Profile
from personaclick_async.models.reading import read_object

PROFILE = read_object(
    Profile, b'{"id": 7, "gender": "f", "children": [{"gender": "m"}], "horoscope": "leo"}'
)
FULL = read_object(FullProfile, b'{"birthday": "1990-03-11", "loyalty_bonuses": 12.5}')
PRODUCT = read_object(Product, b'{"id": "665", "price": 10}')


async def profile() -> Profile:
    return PROFILE


async def everything() -> list[FullProfile]:
    return [FULL]


async def product() -> Product:
    return PRODUCT


def client_of(app: fastapi.FastAPI | litestar.Litestar) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]  # it is an ASGI application
    return httpx.AsyncClient(transport=transport, base_url="https://testserver")


async def test_fastapi_writes_them_and_describes_them() -> None:
    app = fastapi.FastAPI()
    app.get("/profile")(profile)
    app.get("/everything")(everything)
    app.get("/product")(product)
    async with client_of(app) as web:
        assert (await web.get("/profile")).json() == PROFILE.to_dict()
        assert (await web.get("/everything")).json() == [FULL.to_dict()]
        assert (await web.get("/product")).json() == PRODUCT.to_dict()
        paths = (await web.get("/openapi.json")).json()["paths"]

    answer = paths["/profile"]["get"]["responses"]["200"]
    described = answer["content"]["application/json"]["schema"]
    assert described["properties"].keys() == PROFILE.to_dict().keys()
    child = described["properties"]["children"]["anyOf"][0]["items"]
    assert child["properties"].keys() == {"gender", "birthday", "age"}


async def test_litestar_writes_them_and_describes_them() -> None:
    app = litestar.Litestar([litestar.get("/profile")(profile), litestar.get("/all")(everything)])
    async with client_of(app) as web:
        assert (await web.get("/profile")).json() == PROFILE.to_dict()
        assert (await web.get("/all")).json() == [FULL.to_dict()]
        assert "has_email" in (await web.get("/schema/openapi.json")).text


def test_pydantic_is_not_needed() -> None:
    code = "import sys, personaclick_async; sys.exit('pydantic_core' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
