"""A service that says back whatever it was sent, in the forms in which services do."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from tests.wire.servers import Reader, Serve, Writer, answer

_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: (\d+)")


@attrs.frozen
class Asked:
    """A request as a service sees it."""

    target: str
    body: str

    @property
    def values(self) -> list[str]:
        """Every text that it carries."""
        found = [value for _, value in parse_qsl(urlsplit(self.target).query)]
        waiting = [json.loads(self.body)] if self.body else []
        while waiting:
            match waiting.pop():
                case dict() as inner:
                    waiting += inner.values()
                case list() as inner:
                    waiting += inner
                case value:
                    found.append(str(value))
        return found


MESSAGES: Final[dict[str, Callable[[Asked], str]]] = {
    "values": lambda asked: "no good: " + ", ".join(asked.values),
    "values, shouted": lambda asked: " | ".join(asked.values).upper(),
    "the address": lambda asked: f"can't {asked.target}",
    "the address, decoded": lambda asked: f"can't {unquote(asked.target)}",
    "the body": lambda asked: f"can't take {asked.body}",
    "the body, ASCII only": lambda asked: (
        f"can't take {json.dumps(json.loads(asked.body or 'null'))}"
    ),
    "the body in quotes": lambda asked: f"can't take {json.dumps(asked.body)}",
    "reprs": lambda asked: f"can't take {asked.values!r}",
    "as HTML": lambda asked: "<li>" + html.escape("</li><li>".join(asked.values)),
}

ENVELOPES: Final[dict[str, Callable[[str], bytes]]] = {
    "payload": lambda said: json.dumps({"status": "error", "payload": {"message": said}}).encode(),
    "message": lambda said: json.dumps({"status": "error", "message": said}).encode(),
    "text": lambda said: said.encode(),
    "page": lambda said: f"<html><h1>Oh</h1>{html.escape(said)}</html>".encode(),
    "cut short": lambda said: json.dumps({"message": said}).encode()[:-2],
    "an array": lambda said: json.dumps([said]).encode(),
    "wrong kinds": lambda said: json.dumps(
        {"id": [said], "did": {said: said}, "gender": said, "birthday": said, "status": said}
    ).encode(),
}


async def asked_of(reader: Reader) -> Asked:
    """Read one request, its body included."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    body = await reader.readexactly(int(length[1])) if length else b""
    return Asked(head.split(b" ")[1].decode(), body.decode())


def echoes(
    kept: list[Asked],
    *,
    message: str = "values",
    envelope: str = "payload",
    status: int = 422,
    headers: Callable[[Asked], tuple[bytes, ...]] = lambda _: (),
) -> Serve:
    """Serve one connection that says back what it was asked; each request goes to ``kept``."""

    async def serve(reader: Reader, writer: Writer) -> None:
        while True:
            asked = await asked_of(reader)
            kept.append(asked)
            body = ENVELOPES[envelope](MESSAGES[message](asked))
            line = f"{status} Because".encode()
            writer.write(answer(body, *headers(asked), status=line))
            await writer.drain()

    return serve


async def hears(kept: list[Asked], reader: Reader, writer: Writer) -> None:
    """Read a request, and answer nothing."""
    kept.append(await asked_of(reader))
    await asyncio.sleep(60)
