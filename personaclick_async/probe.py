"""Ask a real shop what no document says (protocol, section 12), and report what it did.

The report holds statuses, types, names of keys and headers: no values, and no secret.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import NoneType
from typing import Final, Self

import aiohttp
import attrs
from yarl import URL

from personaclick_async import codec, names
from personaclick_async.codec import Json
from personaclick_async.emulator.settings import POINTS, Value
from personaclick_async.emulator.state import BLOCKS, new_id
from personaclick_async.errors import AuthenticationFailed, ConnectionFailed
from personaclick_async.names import INIT, PROFILE, Endpoint

PROPERTY: Final = "personaclick_probe"
WRITES: Final = (
    "a first name, a location, a gender and two children without names, and the custom property "
    f"{PROPERTY}, for a device made for the purpose; all of it is cleared in the end"
)
"""What the probe writes if it may, in words for asking permission."""

_OK: Final = range(200, 300)
_ERROR: Final = 400
_CONNECT_SECONDS: Final = 20.0
_LIMIT_HEADER: Final = re.compile(r"(?i)rate-?limit")
_SESSION_NAMES: Final = (names.SEANCE, names.SID)
_USER_ID_NAMES: Final = (names.EXTERNAL_ID, names.ID)
_WRAPPERS: Final = (names.PRODUCTS, names.DATA, names.PAYLOAD)
_WITH_SECRET: Final = ("customer_unknown", "customer_profile", "lists")
_NAMED: Final = {"first_name", "last_name", names.EMAIL, names.PHONE}
_NUMBERS: Final[Mapping[type, str]] = {bool: "boolean", int: "integer", float: "number"}
_TYPES: Final = {**_NUMBERS, NoneType: "null", str: "string", list: "array", dict: "object"}
# The full profile is what the secret is for.
_CONTRADICTED: Final = ("customer_profile", "public")
_NO_NAMES: Final = "profile.full() and the profiles of customers lack their names"

# What all blocks of a profile without data hold, as JSON, and what that is called.
_BLANKS: Final[Mapping[str, str]] = {"": "absent", "null": "null", "{}": "object", "[]": "array"}

_WRITTEN: Final = {"first_name": "Probe", "location": "1", "gender": "f"}
# What is written and read back: the point, the field and its value, the finding by the text that
# the field then holds, and the finding otherwise.
_SETS: Final[tuple[tuple[str, str, Json, Mapping[str | None, str], str], ...]] = (
    ("null", "gender", None, {None: "clears", "": "clears"}, "ignored"),
    ("empty_text", "gender", "", {None: "clears", "": "stored"}, "not given"),
    ("wrong_type", "bought_something", "perhaps", {"perhaps": "stored"}, "ignored"),
    ("undeclared_property", PROPERTY, "probe", {"probe": "stored"}, "ignored"),
)


@attrs.frozen
class Finding:
    """What was found out about one open point."""

    point: str  # the point in the words of the protocol's table
    setting: str  # the field of :class:`~personaclick_async.emulator.Behaviour` that it sets
    assumed: Value  # what the emulator does unless told otherwise
    observed: Value | None  # what the service did, or None if that was not found out
    verdict: str  # agrees, differs, contradicted (the SDK relies on it), not found out, not asked
    note: str  # why it was not found out, or what else was seen


@attrs.frozen(kw_only=True)
class ProbeReport:
    """All that was found out."""

    findings: tuple[Finding, ...]
    contradictions: list[str]  # what the SDK takes for granted and is not so, with what to do
    facts: Mapping[str, Json]  # the connection, keys and types, names of cookies and headers
    requests: int  # how many requests it took

    @property
    def behaviour(self) -> dict[str, Value]:
        """What was observed, by setting; ``Behaviour.of`` makes an emulator's of it."""
        return {one.setting: one.observed for one in self.findings if one.observed is not None}

    def to_json(self) -> dict[str, Json]:
        """Return what goes into ``probe.json``."""
        return {
            "probe": 1,
            "date": datetime.now(UTC).date().isoformat(),
            "requests": self.requests,
            "behaviour": self.behaviour,
            "points": [attrs.asdict(one) for one in self.findings],
            "contradictions": self.contradictions,
            "facts": self.facts,
        }


@attrs.frozen
class _Reply:
    """An answer, as far as a probe looks at it."""

    status: int
    cookies: list[str]
    body: Json
    refused: int | None  # the status of a refusal, which the body may tell; None for a success
    envelope: str | None  # which of the known envelopes an error is in
    fields: dict[str, Json]  # without {"status": "success", "payload": …} around them

    @classmethod
    def of(cls, response: aiohttp.ClientResponse, raw: bytes) -> Self:
        body: Json = None
        with suppress(ValueError):
            body = codec.decode(raw)
        fields = body if isinstance(body, dict) else {}
        refused = None if response.status in _OK else response.status
        envelope = None if raw else "empty"
        match fields:
            case {names.STATUS: int(status)}:
                envelope, refused = "numeric status", status if status >= _ERROR else refused
            case {names.STATUS: names.STATUS_ERROR}:
                is_nested = isinstance(fields.get(names.PAYLOAD), dict)
                envelope, refused = "payload" if is_nested else "message", response.status
            case {names.STATUS: names.STATUS_SUCCESS, names.PAYLOAD: inner}:
                fields = inner if isinstance(inner, dict) else {}
            case {names.MESSAGE: _}:
                envelope = "bare message"
        return cls(response.status, sorted(response.cookies), body, refused, envelope, fields)

    @property
    def types(self) -> dict[str, str]:
        return {name: _type_of(value) for name, value in self.fields.items()}

    def id_by(self, *spellings: str) -> str:
        return next((str(self.fields[one]) for one in spellings if self.fields.get(one)), "")


def _type_of(value: Json) -> str:
    return _TYPES.get(type(value), "another")


async def probe(
    shop_id: str,
    *,
    shop_secret: str | None = None,
    api_url: str = names.DEFAULT_API_URL,
    write: bool = False,
    customer: Mapping[str, str] | None = None,
    pause: float = 1.0,
    progress: Callable[[str], object] | None = None,
) -> ProbeReport:
    """Ask a shop how the service behaves at the open points.

    At most 60 requests, one after the other, none of them repeated, none of them an import.

    :param write: whether it may write, to a device made for the purpose; see ``WRITES``.
    :param customer: an identifier of a customer of the shop's own choosing, such as
        ``{"email": …}``; only the keys and types of their profile are looked at. Needs the secret.
    :param pause: seconds between two requests.
    :param progress: called with what is being asked.
    :raises ConnectionFailed: the service can't be reached, or stopped answering.
    :raises AuthenticationFailed: the service does not know the shop.
    """
    reuses: list[object] = []

    async def note_reuse(*event: object) -> None:
        reuses.append(event)

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(note_reuse)
    async with aiohttp.ClientSession(
        api_url,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=60, connect=_CONNECT_SECONDS),
        trace_configs=[trace],
    ) as http:
        secret = {names.SHOP_SECRET: shop_secret} if shop_secret else {}
        asking = _Probe(http, {names.SHOP_ID: shop_id}, secret, pause, progress)
        await asking.about_the_connection(URL(api_url))
        await asking.about_init()
        await asking.about_devices()
        await asking.about_the_secret()
        await asking.about_customers()
        await asking.about_refusals()
        if write:
            await asking.about_writing()
        if customer:
            await asking.about_a_customer(customer)
        return asking.report(was_kept=bool(reuses))


@attrs.define
class _Probe:
    """The questions, in order, and what has been found out so far."""

    _http: aiohttp.ClientSession
    _shop: dict[str, str]
    _secret: dict[str, str]
    _pause: float
    _progress: Callable[[str], object] | None
    _requests: int = 0
    _did: str = ""
    _headers: set[str] = attrs.field(factory=set)
    _found: dict[str, tuple[Value | None, str]] = attrs.field(factory=dict)
    _facts: dict[str, Json] = attrs.field(factory=lambda: {"profile": {}})
    _surprises: list[str] = attrs.field(factory=list)

    def report(self, *, was_kept: bool) -> ProbeReport:
        limits = sorted(filter(_LIMIT_HEADER.search, self._headers))
        self._note("compression", "content-encoding" in {name.lower() for name in self._headers})
        self._note("keep_alive", was_kept)
        self._note("limit_headers", bool(limits), ", ".join(limits))
        findings = []
        for setting, point in POINTS.items():
            assumed = point.choices[0]
            observed, note = self._found.get(setting, (None, ""))
            if observed is None:
                verdict = "not found out" if point.asked else "not asked"
            elif (setting, observed) == _CONTRADICTED:
                verdict = "contradicted"
                self._surprises.append(f"{point.words}: {_NO_NAMES}")
            else:
                verdict = "agrees" if observed == assumed else "differs"
            findings.append(Finding(point.words, setting, assumed, observed, verdict, note))
        return ProbeReport(
            findings=tuple(findings),
            contradictions=[f"{one}; please report it, with this file" for one in self._surprises],
            facts={**self._facts, "headers": sorted(self._headers)},
            requests=self._requests,
        )

    def _note(self, setting: str, observed: Value | None, note: str = "") -> None:
        self._found[setting] = (observed, note)

    def _note_status(self, setting: str, reply: _Reply, otherwise: str | None = None) -> None:
        """Note the status of a refusal, or ``otherwise`` if nothing was refused."""
        observed = otherwise if reply.refused is None else reply.refused
        self._note(setting, observed, "" if observed is not None else "it was not refused")

    async def _ask(self, what: str, endpoint: Endpoint, /, **fields: Json) -> _Reply:
        """Send the shop's id and fields, as JSON or as a query (several of a name as a list)."""
        if self._requests:
            await asyncio.sleep(self._pause)
        if self._progress is not None:
            self._progress(what)
        self._requests += 1
        fields = {**self._shop, **fields}
        query, body = ({}, fields) if endpoint.method == "POST" else (fields, None)
        try:
            async with self._http.request(
                endpoint.method, endpoint.name, params=query, json=body, allow_redirects=False
            ) as response:
                raw = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            reason = f"no answer ({type(error).__name__})"
        else:
            self._headers.update(map(str, response.headers))
            return _Reply.of(response, raw)
        # Not within the handler: the error chained to this one could name the URL and its secret.
        raise ConnectionFailed(reason, endpoint=f"the probe's question about {what}", attempts=1)

    async def about_the_connection(self, url: URL) -> None:
        """Ask for an address that does not exist: TLS, time, and what an error looks like."""
        tls = await _tls_version(url)
        started = time.monotonic()
        reply = await self._ask("an unknown address", Endpoint(PROPERTY, "GET"))
        milliseconds = round((time.monotonic() - started) * 1000)
        self._facts["connection"] = {"tls": tls, "milliseconds": milliseconds}
        self._note_status("path_unknown", reply)
        if reply.refused is not None:
            envelope = reply.envelope
            self._note("envelope", envelope, "" if envelope else "an envelope that is not known")
            self._note("errors_at_200", reply.status in _OK)

    async def about_init(self) -> None:
        """Start a session, and one for a device of our own."""
        reply = await self._ask("init", INIT)
        if reply.refused is not None:
            raise AuthenticationFailed(
                "the shop_id was refused", status=reply.refused, endpoint=INIT.name, attempts=1
            )
        self._facts["init"] = {"types": reply.types, "cookies": reply.cookies}
        self._note("init_cookie", names.DID in reply.cookies)
        self._note("session_name", _which([one for one in _SESSION_NAMES if reply.fields.get(one)]))
        self._did = reply.id_by(names.DID)
        if not (self._did and reply.id_by(*_SESSION_NAMES)):
            self._surprises.append("init: no did or no session id in the answer")
        own = new_id()
        reply = await self._ask("init with a did of ours", INIT, did=own)
        if reply.refused is None:
            self._note("init_keeps_did", reply.id_by(names.DID) == own)

    async def about_devices(self) -> None:
        """Read for a device that is new, and for one that is unknown."""
        reply = await self._ask("a new device's profile", PROFILE, did=self._did)
        if reply.refused is None and reply.fields:
            self._note("profile_answer", "bare" if reply.fields is reply.body else "payload")
            self._facts["profile"]["public"] = reply.types
            blocks = {json.dumps(value) for name, value in reply.fields.items() if name in BLOCKS}
            blank = _BLANKS.get(" ".join(blocks))
            self._note("missing_blocks", blank, "" if blank else "they vary: see the types")
        else:
            self._surprises.append("GET /profile: no profile for a device of init's")
        for what, did in (("an unknown", new_id()), ("a new", self._did)):
            reply = await self._ask(f"last order of {what} device", names.LAST_ORDER, did=did)
            told = {"status": reply.status, "type": _type_of(reply.body)}
            self._facts[f"last_order of {what} device"] = told
        found = "array" if isinstance(reply.body, list) else None
        if reply.refused is None and isinstance(reply.body, dict):
            found = next((name for name in _WRAPPERS if name in reply.body), None)
        self._note("last_order_answer", found)
        if found is None:
            self._surprises.append("last_for_user: neither an array nor one in an object")

    async def about_the_secret(self) -> None:
        """Read the full profile, if there is a secret; go on without one that is refused."""
        why_not = "needs the secret"
        if self._secret:
            reply = await self._ask("the secret", PROFILE, did=self._did, **self._secret)
            self._facts["secret"] = "accepted" if reply.refused is None else "refused"
            if reply.refused is None:
                if self._look_at_customer("full", reply):
                    self._note("kids_shown", "kids" in reply.fields)
                return
            self._secret, why_not = {}, "the secret was refused"
        for setting in _WITH_SECRET:
            self._note(setting, None, why_not)

    async def about_customers(self) -> None:
        """Ask for a customer who does not exist, by both names, with and without the secret."""
        understood: list[str] = []
        for secret in [{}, self._secret] if self._secret else [{}]:
            which = "with the secret" if secret else "without the secret"
            nobody = await self._ask(f"no identifier, {which}", PROFILE, **secret)
            replies = {}
            for name in _USER_ID_NAMES:
                fields = {name: f"{PROPERTY}-{new_id()}", **secret}
                replies[name] = await self._ask(f"{name}, {which}", PROFILE, **fields)
            understood += [name for name in replies if replies[name] != nobody]
            reply = replies[names.ID if set(understood) == {names.ID} else names.EXTERNAL_ID]
            if not secret:
                self._note_status("device_missing", nobody)
                self._note_status("secret_missing", reply)
            elif understood:
                self._note_status("customer_unknown", reply)
        note = "" if understood else "the answers are the same as without an identifier"
        self._note("user_id_names", _which(understood), note)

    def _look_at_customer(self, what: str, reply: _Reply) -> bool:
        self._facts["profile"][what] = reply.types
        is_full = not _NAMED.isdisjoint(reply.fields)
        self._note("customer_profile", "full" if is_full else "public")
        return is_full

    async def about_refusals(self) -> None:
        """Send what the service should refuse (protocol, section 9)."""
        known = {names.DID: self._did}
        unknown = {names.SHOP_ID: secrets.token_hex(15)}
        session = dict.fromkeys(_SESSION_NAMES, new_id())
        wrong = {names.SHOP_SECRET: secrets.token_hex(16)}
        for setting, endpoint, fields, otherwise in (
            ("device_unknown", PROFILE, {names.DID: new_id()}, "created"),
            ("session_unknown", PROFILE, known | session, "accepted"),
            ("secret_wrong", PROFILE, known | wrong, None),
            ("shop_missing", PROFILE, {**known, names.SHOP_ID: []}, None),
            ("shop_malformed", PROFILE, {**known, names.SHOP_ID: "malformed"}, None),
            ("shop_unknown", PROFILE, known | unknown, None),
            ("init_refused", INIT, unknown, None),
            ("device_malformed", INIT, {names.DID: "x" * 300}, "accepted"),
            ("parameter_twice", PROFILE, {names.DID: [self._did] * 2}, "the last counts"),
            ("method_wrong", Endpoint(PROFILE.name, "POST"), {}, None),
        ):
            reply = await self._ask(POINTS[setting].words, endpoint, **fields)
            self._note_status(setting, reply, otherwise)

    async def about_writing(self) -> None:
        """Write to a new device and read it back; see ``WRITES``."""
        reply = await self._ask("init of a device to write to", INIT)
        did, session = reply.id_by(names.DID), reply.id_by(*_SESSION_NAMES)
        if not did:
            return
        reply = await self._ask("a second init", INIT, did=did, seance=session, sid=session)
        if reply.refused is None:
            self._note("session_kept", reply.id_by(*_SESSION_NAMES) == session)

        async def put(what: str, **fields: Json) -> _Reply:
            return await self._ask(what, names.PROFILE_SET, did=did, **fields)

        async def shown(field: str) -> str | None:
            fields = (await self._ask("what was written", PROFILE, did=did)).fields
            custom = fields.get(names.CUSTOM_PROPERTIES)
            found = ({**custom, **fields} if isinstance(custom, dict) else fields).get(field)
            return found if isinstance(found, str) else None

        written = {*_WRITTEN}
        try:
            reply = await put("first name, location, gender", **_WRITTEN)
            if reply.refused is not None or await shown("gender") not in ("f", "female"):
                self._surprises.append("profile/set: what was set does not come back")
                return
            for setting, field, value, effects, otherwise in _SETS:
                if field in _WRITTEN:
                    await put(f"{field} again", **{field: _WRITTEN[field]})
                reply = await put(POINTS[setting].words, **{field: value})
                if reply.refused is None:
                    written.add(field)
                    self._note(setting, effects.get(await shown(field), otherwise))
                else:
                    self._note_status(setting, reply)
            await put("a child", kids=[{"gender": "f"}])
            await put("another child", kids=[{"gender": "m"}])
            if self._secret:
                reply = await self._ask("the full profile", PROFILE, did=did, **self._secret)
                kids = reply.fields.get("kids")
                if isinstance(kids, list) and kids:
                    self._note("lists", "merged" if kids[1:] else "replaced")
                else:
                    self._note("lists", None, "the full profile shows no kids")
                for field in ("first_name", "location") if "first_name" in reply.fields else ():
                    if str(reply.fields.get(field)) != _WRITTEN[field]:
                        self._surprises.append(f"profile/set: {field} does not come back")
        finally:
            await put("clearing what was written", **dict.fromkeys(written), kids=[])
            await put("clearing children that add up", kids=None)
        null, _ = self._found["null"]
        if null != "clears":
            self._note("null", null, "so the device keeps what the probe wrote")

    async def about_a_customer(self, customer: Mapping[str, str]) -> None:
        if self._secret:
            reply = await self._ask("the customer", PROFILE, **customer, **self._secret)
            if reply.refused is None:
                self._look_at_customer("customer", reply)
            else:
                self._facts["customer"] = f"refused with status {reply.refused}"


async def _tls_version(url: URL) -> str | None:
    if url.scheme == "https":
        with suppress(OSError):  # which the first question will say
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(url.host, url.port, ssl=True)
            writer.close()
            return str(writer.get_extra_info("ssl_object").version())
    return None


def _which(found: list[str]) -> str | None:
    return "both" if len(set(found)) > 1 else next(iter(found), None)
