"""Requests of the client's own sessions, which bring along all that they need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http.cookies import BaseCookie, SimpleCookie
from typing import Any, Final

from aiohttp import BytesPayload, ClientRequest, DummyCookieJar, hdrs
from multidict import CIMultiDict
from yarl import URL

from personaclick_async.protocol.requests import JSON_BODY

ACCEPT_ENCODING: Final = ClientRequest.DEFAULT_HEADERS[hdrs.ACCEPT_ENCODING]
"""What aiohttp can decompress on this machine."""


class PlainRequest(ClientRequest):
    """A request without cookies, credentials, compression and the like, and with all headers.

    aiohttp looks at each request for all of that, copies headers one by one and asks for each of
    its defaults whether it is there: three in a hundred of what a request costs. Only for
    sessions without proxies, which may need credentials.
    """

    def update_headers(self, headers: Mapping[str, str] | None) -> None:  # type: ignore[override]
        """Copy the headers behind the one that names the host."""
        self.headers = CIMultiDict({hdrs.HOST: self.url.host_port_subcomponent or ""})
        self.headers.update(headers or {})

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        """Add nothing: no default is missing."""

    def _is_not_needed(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - for any of the below
        """Do nothing: the configuration lets no such thing through."""

    update_host = _is_not_needed
    update_auth = _is_not_needed
    update_cookies = _is_not_needed
    update_content_encoding = _is_not_needed
    update_transfer_encoding = _is_not_needed
    update_expect_continue = _is_not_needed


class NoCookies(DummyCookieJar):
    """Keeps no cookie and has none: the same none for each request."""

    _none = SimpleCookie()

    def filter_cookies(self, request_url: URL) -> BaseCookie[str]:  # noqa: ARG002 - none for any
        """Give none."""
        return self._none


class JsonBody(BytesPayload):
    """JSON that is encoded, as the body of a request.

    What aiohttp sets on each body, all of these have in common.
    """

    _encoding = None
    _filename = None
    _headers = CIMultiDict(JSON_BODY)

    def __init__(self, value: bytes) -> None:
        self._value = value
        self._size = len(value)
