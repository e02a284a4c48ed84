"""A load server that is never the bottleneck: it parses next to nothing and answers from memory.

Run as a process of its own. Real sockets and real HTTP, but every answer is made beforehand.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
from typing import Any, cast

import uvloop

PROFILE: dict[str, Any] = {
    "id": "8001909",
    "has_email": True,
    "gender": "f",
    "computed_gender": "f",
    "bought_something": True,
    "children": [{"gender": "m", "age": {"min": 2, "max": 4}}],
    "cosmetic_hair": {"type": ["dry"], "condition": ["colored"]},
    "cosmetic_skin": {"face": {"type": ["dry"], "condition": ["sensitive"]}},
    "cosmetic_perfume": {"family": ["floral"], "aroma": ["citrus", "green"]},
    "allergy": False,
    "fashion_sizes": {"shoe": ["38", "39"], "shirt": ["M"]},
    "compatibility": {"brand": "Nissan", "model": "Qashqai"},
    "vds": "BP8AN5",
    "pets": None,
    "jewelry": None,
    "realty": None,
    "income_level": "premium",
    "child_gender": "m",
    "custom_properties": {"skin_type": "dry", "visits": 12},
}

PRODUCT: dict[str, Any] = {
    "id": "665",
    "name": "Mountain bottle cage",
    "description": "Tough aluminium cage that holds the bottle on rough ground.",
    "model": "Cage",
    "brand": "Adventure",
    "barcode": "4006381333931",
    "url": "https://shop.example/products/665",
    "url_handle": "/products/665",
    "image_url": "https://shop.example/images/665.png",
    "image_url_handle": "/images/665.png",
    "image_url_resized": {
        size: f"https://cdn.shop.example/{size}/665.png"
        for size in ("120", "140", "160", "180", "200", "220", "310", "520")
    },
    "price": 1000,
    "price_full": 999.99,
    "price_formatted": "1000 $",
    "price_full_formatted": "999.99 $",
    "oldprice": 1200,
    "oldprice_full": 1199.5,
    "oldprice_formatted": "1200 $",
    "oldprice_full_formatted": "1199.50 $",
    "discount": 17,
    "discount_formatted": "17%",
    "currency": "$",
    "category_ids": ["1", "14"],
    "categories": [
        {"id": "1", "name": "Accessories", "parent": None, "url": "https://shop.example/c/1"},
        {"id": "14", "name": "Cages", "parent": "1", "url": "https://shop.example/c/14"},
    ],
    "is_new": False,
    "leftovers": "few",
    "stock_quantity": 7,
    "rating": 4,
    "fashion_sizes": ["M"],
    "fashion_original_sizes": ["M"],
    "fashion_colors": [{"color": "black", "picture": "https://shop.example/images/b.png"}],
    "params": [{"key": "weight", "values": ["50 g"]}, {"key": "bottles", "values": [1]}],
    "vendor_code": "BC-M005",
    "group_id": "66",
    "sales_rate": 12,
}

LAST_ORDER = [{**PRODUCT, "id": str(number)} for number in range(5)]


def answer(body: Any) -> bytes:  # noqa: ANN401 - any JSON
    """Make a whole HTTP answer; its JSON is as close together as the service's."""
    text = json.dumps(body, separators=(",", ":")).encode()
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(text)}\r\n\r\n"
    )
    return head.encode() + text


ANSWERS = {
    b"GET /p": answer(PROFILE),
    b"GET /o": answer(LAST_ORDER),
    b"POST /": answer({"status": "success"}),
}


class Answering(asyncio.Protocol):
    """One connection: finds where requests end, and looks at the first bytes of each."""

    def __init__(self, delay: float = 0.0) -> None:
        self._delay = delay
        self._buffer = b""
        self._body_left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to answer."""
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole; bodies are passed over, never kept."""
        if self._body_left:
            passed = min(self._body_left, len(data))
            self._body_left -= passed
            if self._body_left:
                return
            self._answer(b"POST /")
            data = data[passed:]
        buffer = self._buffer + data if self._buffer else data
        while (end := buffer.find(b"\r\n\r\n")) >= 0:
            size = end + 4
            if buffer[:1] == b"P":
                at = buffer.find(b"Content-Length: ", 0, end) + 16
                size += int(buffer[at : buffer.find(b"\r", at)])
                if len(buffer) < size:
                    self._body_left = size - len(buffer)
                    buffer = b""
                    break
            self._answer(buffer[:6])
            buffer = buffer[size:]
        self._buffer = buffer

    def _answer(self, request: bytes) -> None:
        if self._delay:
            loop = asyncio.get_running_loop()
            loop.call_later(self._delay, self._transport.write, ANSWERS[request])
        else:
            self._transport.write(ANSWERS[request])


async def serve(certificate: str | None, delay: float) -> None:
    """Serve on a free loopback port, which is printed, until killed."""
    tls = None
    if certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(
        lambda: Answering(delay), "127.0.0.1", 0, ssl=tls
    )
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificate", help="a PEM file with a key and a certificate: serve TLS")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    options = parser.parse_args()
    uvloop.run(serve(options.certificate, options.delay))
