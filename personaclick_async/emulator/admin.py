"""The emulator's own addresses: loading a shop and looking at it over HTTP, from any language."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from typing import Final

from personaclick_async import names
from personaclick_async.codec import Json
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.loading import Item, Loader, in_slices
from personaclick_async.emulator.recording import Recorder
from personaclick_async.emulator.refusals import Refused
from personaclick_async.emulator.service import Service
from personaclick_async.emulator.settings import EmulatorSettings
from personaclick_async.emulator.store import Store

PREFIX: Final = "/_emulator/"
_STATUS: Final = f"{PREFIX}status"


class Admin:
    """Answers the addresses under ``/_emulator/``.

    ``GET status`` counts; ``POST products``, ``orders`` and ``profiles`` load a JSON array or a
    JSON object a line, as the methods of :class:`Emulator` do.

    Loading needs ``Authorization: Bearer <shop_secret>``. A web page elsewhere can't send that
    header to a local server without being asked back first, and nobody answers such questions.
    """

    def __init__(
        self, store: Store, service: Service, settings: EmulatorSettings, recorder: Recorder
    ) -> None:
        self._store = store
        self._service = service
        self._settings = settings
        self._recorder = recorder
        loader = Loader(store, service, settings.shop_id, settings.currency)
        self._loads: dict[str, Callable[[Sequence[Item]], int]] = {
            f"{PREFIX}products": loader.products,
            f"{PREFIX}orders": loader.orders,
            f"{PREFIX}profiles": loader.profiles,
        }

    def check(self, method: str, path: str, authorization: str) -> None:
        """Check that a request may be made, before its body is read.

        :raises Refused: there is no such address or method, or the secret is wrong.
        """
        if path != _STATUS and path not in self._loads:
            raise Refused(404, "Not found")
        if method != ("GET" if path == _STATUS else "POST"):
            raise Refused(405, "Method not allowed")
        wanted = f"Bearer {self._settings.shop_secret}"
        if path != _STATUS and not hmac.compare_digest(
            authorization.encode(errors="replace"), wanted.encode()
        ):
            raise Refused(401, "Authorization: Bearer with the shop_secret is needed")

    async def answer(self, path: str, body: bytes) -> Json:
        """Carry a checked request out.

        :raises Refused: the body can't be read, or an object in it can't be what it should be;
            of the objects before it some may have been loaded.
        """
        if path == _STATUS:
            return self._status()
        items = _objects(body)
        count = 0
        for some in in_slices(items):
            try:
                count += self._loads[path](some)
            except ValueError as error:
                raise Refused(422, str(error)) from None
            await asyncio.sleep(0)
        return {names.STATUS: names.STATUS_SUCCESS, "count": count}

    def _status(self) -> Json:
        return {
            names.SHOP_ID: self._settings.shop_id,
            "stored": self._store.count_all(self._settings.shop_id),
            "ignored_entries": self._service.ignored_entries,
            "requests": [
                {"method": method, "path": path, names.STATUS: status, "count": count}
                for (method, path, status), count in sorted(
                    self._recorder.counts().items(), key=str
                )
            ],
        }


def _objects(body: bytes) -> list[Item]:
    try:
        if body.lstrip()[:1] == b"[":
            items = read.strict_json(body)
        else:
            items = [read.strict_json(line) for line in body.splitlines() if line.strip()]
    except ValueError:
        raise Refused(400, "The body is neither a JSON array nor a JSON object a line") from None
    if not all(isinstance(item, dict) for item in items):
        raise Refused(400, "The body has something else than JSON objects")
    return list(items)
