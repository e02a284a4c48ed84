"""Requests of the client's own sessions, which bring all their headers along."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from aiohttp import ClientRequest, hdrs
from multidict import CIMultiDict

ACCEPT_ENCODING: Final = ClientRequest.DEFAULT_HEADERS[hdrs.ACCEPT_ENCODING]
"""What aiohttp can decompress on this machine."""


class PlainRequest(ClientRequest):
    """A request that is not looked through for headers that may be missing.

    aiohttp copies headers one by one and then asks for each of its defaults whether it is there:
    two in a hundred of what a request costs. The session has them all.
    """

    def update_headers(self, headers: Mapping[str, str] | None) -> None:  # type: ignore[override]
        """Copy the headers behind the one that names the host."""
        self.headers = CIMultiDict({hdrs.HOST: self.url.host_port_subcomponent or ""})
        self.headers.update(headers or {})

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        """Add nothing: no default is missing."""
