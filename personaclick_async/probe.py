"""Ask a real shop what no document says (protocol, section 12), and write down what it did.

What is written holds statuses, types, names of keys and headers: no values, and no secret.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import string
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

import aiohttp
import attrs
from yarl import URL

from personaclick_async import codec, names
from personaclick_async.codec import Json
from personaclick_async.emulator.profiles import BLOCKS
from personaclick_async.emulator.settings import POINTS, Value
from personaclick_async.errors import AuthenticationFailed, ConnectionFailed

MOST_REQUESTS: Final = 60
PROPERTY: Final = "personaclick_probe"
WRITES: Final = (
    "a first name, a location, a gender and two children without names, and the custom property "
    f"{PROPERTY}, for a device made for the purpose; all of it is cleared in the end"
)
"""What the probe writes if it may, in words for asking permission."""

_OK: Final = range(200, 300)
_ERROR: Final = 400
_CONNECT_SECONDS: Final = 20.0
_LONG_DID: Final = "x" * 300
_CHARACTERS: Final = string.ascii_letters + string.digits
_LIMIT_HEADER: Final = re.compile(r"(?i)rate-?limit")
_EMPTY: Final[Mapping[str, Json]] = {"null": None, "object": {}, "array": []}
_SESSION_NAMES: Final = (names.SEANCE, names.SID)
_NAMED: Final = ("first_name", "last_name", names.EMAIL, names.PHONE)
_COLUMNS: Final = ("setting", "assumed", "observed", "verdict", "note")
_TYPES: Final[Mapping[type, str]] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


@attrs.frozen
class Finding:
    """What was found out about one open point.

    :ivar setting: the field of :class:`~personaclick_async.emulator.Behaviour` that it sets.
    :ivar observed: what the service did, or None if that was not found out.
    :ivar note: why not, or what else was seen.
    """

    setting: str
    observed: Value | None = None
    note: str = ""

    @property
    def words(self) -> str:
        """The point, in the words of the protocol's table."""
        return POINTS[self.setting].words

    @property
    def assumed(self) -> Value:
        """What the emulator does unless told otherwise."""
        return POINTS[self.setting].choices[0]

    @property
    def verdict(self) -> str:
        """Whether what was observed is what was assumed, as one word or two."""
        if self.observed is None:
            return "not found out" if POINTS[self.setting].asked else "not asked"
        if self.advice:
            return "contradicted"
        return "agrees" if self.observed == self.assumed else "differs"

    @property
    def advice(self) -> str:
        """What to do where an assumption of the SDK is contradicted; else empty."""
        contradicts = POINTS[self.setting].contradicts
        return "" if self.observed is None else contradicts.get(self.observed, "")


@attrs.frozen(kw_only=True)
class ProbeReport:
    """All that was found out.

    :ivar facts: the connection, the keys and types of answers, names of cookies and headers.
    :ivar surprises: what the SDK takes for granted and did not find, each with what to do.
    :ivar requests: how many requests it took.
    """

    findings: tuple[Finding, ...]
    facts: Mapping[str, Json]
    surprises: tuple[str, ...]
    requests: int

    @property
    def behaviour(self) -> dict[str, Value]:
        """What was observed, by setting; ``Behaviour.of`` makes an emulator's of it."""
        return {one.setting: one.observed for one in self.findings if one.observed is not None}

    @property
    def contradictions(self) -> list[str]:
        """Every assumption of the SDK that was contradicted, each with what to do."""
        found = [f"{one.words}: {one.advice}" for one in self.findings if one.advice]
        return [*found, *self.surprises]

    def to_json(self) -> dict[str, Json]:
        """Return what goes into ``probe.json``."""
        return {
            "probe": 1,
            "date": datetime.now(UTC).date().isoformat(),
            "requests": self.requests,
            "behaviour": self.behaviour,
            "points": [
                {"point": one.words, **{name: getattr(one, name) for name in _COLUMNS}}
                for one in self.findings
            ],
            "contradictions": self.contradictions,
            "facts": self.facts,
        }


@attrs.frozen
class _Reply:
    """An answer, as far as a probe looks at it."""

    status: int
    cookies: tuple[str, ...]
    body: Json
    is_empty: bool

    @property
    def refused(self) -> int | None:
        """The status of a refusal, which the body may tell; None for a success."""
        inner = self.body.get(names.STATUS) if isinstance(self.body, dict) else None
        if type(inner) is int and inner >= _ERROR:
            return inner
        if self.status not in _OK or inner == names.STATUS_ERROR:
            return self.status
        return None

    @property
    def envelope(self) -> str | None:
        """Which of the known envelopes an error is in, or None for another one."""
        if self.is_empty:
            return "empty"
        if not isinstance(self.body, dict):
            return None
        status = self.body.get(names.STATUS)
        if type(status) is int:
            return "numeric status"
        if status == names.STATUS_ERROR:
            return "payload" if isinstance(self.body.get(names.PAYLOAD), dict) else "message"
        return "bare message" if names.MESSAGE in self.body else None

    @property
    def said(self) -> tuple[int | None, str]:
        """What tells two refusals apart."""
        return self.refused, repr(self.body)

    @property
    def payload(self) -> Json:
        """The body without ``{"status": "success", "payload": …}`` around it."""
        if isinstance(self.body, dict) and self.body.get(names.STATUS) == names.STATUS_SUCCESS:
            return self.body.get(names.PAYLOAD, self.body)
        return self.body

    @property
    def fields(self) -> dict[str, Json]:
        """The payload if it is an object, else nothing."""
        return self.payload if isinstance(self.payload, dict) else {}

    @property
    def seance(self) -> str:
        """The session id, by whichever of its names."""
        return str(self.fields.get(names.SEANCE) or self.fields.get(names.SID) or "")


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
    reused: list[None] = []

    async def note_reuse(*_: object) -> None:
        reused.append(None)

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(note_reuse)
    async with aiohttp.ClientSession(
        api_url,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=60, connect=_CONNECT_SECONDS),
        trace_configs=[trace],
    ) as http:
        asking = _Probe(
            http=http,
            shop={names.SHOP_ID: shop_id},
            secret={names.SHOP_SECRET: shop_secret} if shop_secret else {},
            pause=pause,
            progress=progress or (lambda _: None),
        )
        await asking.about_the_connection(URL(api_url))
        await asking.about_init()
        await asking.about_devices()
        await asking.about_customers()
        await asking.about_refusals()
        if write:
            await asking.about_writing()
        if customer:
            await asking.about_a_customer(customer)
        return asking.report(was_kept=bool(reused))


@attrs.define(kw_only=True)
class _Probe:
    """The questions, in order, and what has been found out so far."""

    _http: aiohttp.ClientSession
    _shop: dict[str, str]
    _secret: dict[str, str]
    _pause: float
    _progress: Callable[[str], object]
    _requests: int = 0
    _did: str = ""
    _headers: set[str] = attrs.field(factory=set)
    _found: dict[str, Finding] = attrs.field(factory=dict)
    _facts: dict[str, Json] = attrs.field(factory=dict)
    _profiles: dict[str, Json] = attrs.field(factory=dict)
    _surprises: list[str] = attrs.field(factory=list)

    def report(self, *, was_kept: bool) -> ProbeReport:
        """Return what was found out."""
        limits = sorted(filter(_LIMIT_HEADER.search, self._headers))
        self._find("compression", "content-encoding" in {name.lower() for name in self._headers})
        self._find("keep_alive", was_kept)
        self._find("limit_headers", bool(limits), ", ".join(limits))
        self._facts |= {"profile": self._profiles, "headers": sorted(self._headers)}
        return ProbeReport(
            findings=tuple(self._found.get(name, Finding(name)) for name in POINTS),
            facts=self._facts,
            surprises=tuple(self._surprises),
            requests=self._requests,
        )

    def _find(self, setting: str, observed: Value | None, note: str = "") -> None:
        self._found[setting] = Finding(setting, observed, note)

    def _find_status(self, setting: str, reply: _Reply, otherwise: str | None = None) -> None:
        """Note the status of a refusal, or the word for what happens where nothing is refused."""
        observed: Value | None = otherwise if reply.refused is None else reply.refused
        self._find(setting, observed, "" if observed is not None else "it was not refused")

    async def _ask(
        self,
        what: str,
        path: str,
        query: Mapping[str, str] | list[tuple[str, str]] | None = None,
        *,
        body: Mapping[str, Json] | None = None,
    ) -> _Reply:
        """Ask by GET, or by POST where there is a body."""
        if self._requests >= MOST_REQUESTS:
            raise AssertionError("the probe asks too much")
        if self._requests:
            await asyncio.sleep(self._pause)
        self._progress(what)
        self._requests += 1
        method = "GET" if body is None else "POST"
        try:
            async with self._http.request(
                method, path.lstrip("/"), params=query, json=body, allow_redirects=False
            ) as response:
                raw = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = f"no answer ({type(error).__name__})"
        else:
            self._headers.update(map(str, response.headers))
            try:
                said = codec.decode(raw)
            except ValueError:
                said = None
            return _Reply(response.status, tuple(response.cookies), said, not raw)
        raise ConnectionFailed(reason, endpoint=f"the probe's question about {what}", attempts=1)

    async def _init(self, what: str, /, **query: str) -> _Reply:
        return await self._ask(what, names.INIT.path, {**self._shop, **query})

    async def _read(self, what: str, /, **query: str) -> _Reply:
        return await self._ask(what, names.PROFILE.path, {**self._shop, **query})

    async def about_the_connection(self, url: URL) -> None:
        """Ask for an address that there can't be: TLS, time, and what an error looks like."""
        tls = await _tls_version(url)
        started = time.monotonic()
        reply = await self._ask("an unknown address", f"/{PROPERTY}")
        milliseconds = round((time.monotonic() - started) * 1000)
        self._facts["connection"] = {"tls": tls, "milliseconds": milliseconds}
        self._find_status("path_unknown", reply)
        if reply.refused is not None:
            envelope = reply.envelope
            self._find("envelope", envelope, "" if envelope else "an envelope that is not known")
            self._find("errors_at_200", reply.status in _OK)

    async def about_init(self) -> None:
        """Start a session, and one for a device of our own."""
        reply = await self._init("init")
        said = reply.fields
        if reply.refused is not None:
            raise AuthenticationFailed(
                f"the service refused init for this shop_id with status {reply.refused}",
                status=reply.refused,
                endpoint=names.INIT.name,
                attempts=1,
            )
        self._facts["init"] = {"types": _types(said), "cookies": sorted(reply.cookies)}
        self._find("init_cookie", names.DID in reply.cookies)
        self._find("session_name", _which(name for name in _SESSION_NAMES if said.get(name)))
        self._did = str(said.get(names.DID) or "")
        if not self._did or not reply.seance:
            self._surprises.append("init: no did or no session id in the answer; report it")
        own = _new_id()
        reply = await self._init("init with a did of ours", did=own)
        if reply.refused is None:
            self._find("init_keeps_did", reply.fields.get(names.DID) == own)

    async def about_devices(self) -> None:
        """Read for a device that is new, and for one that is unknown."""
        self._look_at_public(await self._read("a new device's profile", did=self._did))
        reply = await self._read("unknown did", did=_new_id())
        self._find_status("device_unknown", reply, "created")
        for what, did in (("of a new device", self._did), ("of an unknown device", _new_id())):
            query = {**self._shop, names.DID: did}
            reply = await self._ask(f"last order {what}", names.LAST_ORDER.path, query)
            kind = _TYPES.get(type(reply.body))
            self._facts[f"last_order {what}"] = {"status": reply.status, "type": kind}
            if did == self._did:
                self._look_at_last_order(reply)
        session = dict.fromkeys(_SESSION_NAMES, _new_id())
        reply = await self._read("an unknown session id", did=self._did, **session)
        self._find_status("session_unknown", reply, "accepted")

    def _look_at_public(self, reply: _Reply) -> None:
        if not isinstance(reply.payload, dict) or reply.refused is not None:
            self._surprises.append("GET /profile: no profile for a device of init's; report it")
            return
        profile = reply.fields
        self._find("profile_answer", "bare" if reply.payload is reply.body else "payload")
        self._profiles["public"] = _types(profile)
        shown = [profile[name] for name in BLOCKS if name in profile]
        if not shown:
            self._find("missing_blocks", "absent")
            return
        kinds = [name for name, empty in _EMPTY.items() if all(one == empty for one in shown)]
        observed, note = (kinds[0], "") if kinds else (None, "they vary: see the types")
        self._find("missing_blocks", observed, note)

    def _look_at_last_order(self, reply: _Reply) -> None:
        found = None
        if isinstance(reply.body, list):
            found = "array"
        elif reply.refused is None and isinstance(reply.body, dict):
            wrappers = (names.PRODUCTS, names.DATA, names.PAYLOAD)
            found = next((name for name in wrappers if name in reply.body), None)
        self._find("last_order_answer", found)
        if found is None:
            self._surprises.append(
                "last_for_user: neither an array nor one in an object; report it"
            )

    async def about_customers(self) -> None:
        """Ask for a customer that there can't be, by both names, with and without the secret."""
        understood = dict.fromkeys((names.EXTERNAL_ID, names.ID), False)
        replies: dict[str, _Reply] = {}
        for secret in [{}, self._secret] if self._secret else [{}]:
            which = "with the secret" if secret else "without the secret"
            without = await self._read(f"no identifier, {which}", **secret)
            if not secret:
                self._find_status("device_missing", without)
            for name in understood:
                query = {name: f"{PROPERTY}-{_new_id()}", **secret}
                replies[name] = await self._read(f"{name}, {which}", **query)
                understood[name] |= replies[name].said != without.said
            if any(understood.values()) or not secret:
                only_id = understood[names.ID] and not understood[names.EXTERNAL_ID]
                reply = replies[names.ID if only_id else names.EXTERNAL_ID]
                self._find_status("customer_unknown" if secret else "secret_missing", reply)
        known = _which(name for name, is_understood in understood.items() if is_understood)
        note = "" if known else "the answers are the same as without an identifier"
        self._find("user_id_names", known, note)
        if not self._secret:
            self._find("customer_unknown", None, "needs the secret")
            self._find("customer_profile", None, "needs the secret")
            return
        reply = await self._read("the secret", did=self._did, **self._secret)
        self._facts["secret"] = "accepted" if reply.refused is None else "refused"
        if reply.refused is not None:
            self._secret = {}
            self._find("customer_profile", None, "the secret was refused")
            return
        is_full = self._look_at_customer("full", reply)
        self._find("kids_shown", "kids" in reply.fields if is_full else None)

    def _look_at_customer(self, what: str, reply: _Reply) -> bool:
        self._profiles[what] = _types(reply.fields)
        is_full = any(name in reply.fields for name in _NAMED)
        self._find("customer_profile", "full" if is_full else "public")
        return is_full

    async def about_refusals(self) -> None:
        """Climb the ladder of section 9."""
        did = {names.DID: self._did}
        wrong = secrets.token_hex(16)
        reply = await self._read("a wrong secret", **did, **{names.SHOP_SECRET: wrong})
        self._find_status("secret_wrong", reply)
        reply = await self._ask("a wrong method", names.PROFILE.path, body={})
        self._find_status("method_wrong", reply)
        for setting, what, shop in (
            ("shop_missing", "no shop_id", {}),
            ("shop_malformed", "a malformed shop_id", {names.SHOP_ID: "malformed"}),
            ("shop_unknown", "an unknown shop_id", {names.SHOP_ID: secrets.token_hex(15)}),
        ):
            reply = await self._ask(what, names.PROFILE.path, {**shop, **did})
            self._find_status(setting, reply)
        self._find_status("init_refused", await self._init("init of an unknown shop", **shop))
        reply = await self._init("a malformed did", did=_LONG_DID)
        self._find_status("device_malformed", reply, "accepted")
        query = [*self._shop.items(), *did.items(), *did.items()]
        reply = await self._ask("a parameter twice", names.PROFILE.path, query)
        self._find_status("parameter_twice", reply, "the last counts")

    async def about_writing(self) -> None:
        """Write to a new device and read it back; see ``WRITES``."""
        reply = await self._init("init of a device to write to")
        did, seance = str(reply.fields.get(names.DID) or ""), reply.seance
        if not did:
            return
        reply = await self._init("a second init", did=did, **dict.fromkeys(_SESSION_NAMES, seance))
        self._find("session_kept", reply.seance == seance if reply.refused is None else None)

        async def put(what: str, **fields: Json) -> _Reply:
            body = {**self._shop, names.DID: did, **fields}
            return await self._ask(what, names.PROFILE_SET.path, body=body)

        async def shown() -> dict[str, Json]:
            return (await self._read("what was written", did=did)).fields

        async def find(
            setting: str, what: str, effect: Callable[[dict[str, Json]], str], **fields: Json
        ) -> None:
            reply = await put(what, **fields)
            seen = effect(await shown()) if reply.refused is None else None
            self._find_status(setting, reply, seen)

        written: dict[str, Json] = {"first_name": "Probe", "location": "1", "gender": "f"}
        reply = await put("first name, location, gender", **written)
        before = (await shown()).get("gender")
        if reply.refused is not None or before not in ("f", "female"):
            self._surprises.append("profile/set: what was set does not come back; report it")
            return
        await find(
            "null", "null", lambda seen: "ignored" if seen.get("gender") else "clears", gender=None
        )
        await put("gender again", gender="f")
        await find("empty_text", "an empty string", _effect_of_empty_text, gender="")
        await find(
            "wrong_type",
            "a value of the wrong type",
            lambda seen: "stored" if seen.get("bought_something") == "perhaps" else "ignored",
            bought_something="perhaps",
        )
        what = "an undeclared custom property"
        await find("undeclared_property", what, _effect_of_undeclared, **{PROPERTY: "1"})
        await put("a child", kids=[{"gender": "f"}])
        await put("another child", kids=[{"gender": "m"}])
        await self._look_at_full(did)
        empty: dict[str, Json] = dict.fromkeys([*written, PROPERTY])
        await put("clearing what was written", kids=[], **empty)
        null = self._found["null"].observed
        if null != "clears":
            self._find("null", null, "so the device keeps what the probe wrote")

    async def _look_at_full(self, did: str) -> None:
        if not self._secret:
            self._find("lists", None, "needs the secret")
            return
        full = (await self._read("the full profile", did=did, **self._secret)).fields
        kids = full.get("kids")
        if isinstance(kids, list) and kids:
            self._find("lists", "merged" if len(kids) > 1 else "replaced")
        else:
            self._find("lists", None, "the full profile shows no kids")
        if "first_name" in full and (full["first_name"], full.get("location")) != ("Probe", "1"):
            self._surprises.append("profile/set: a name that was set does not come back; report it")

    async def about_a_customer(self, customer: Mapping[str, str]) -> None:
        """Look at the keys and types of a customer's profile."""
        if not self._secret:
            return
        reply = await self._read("the customer", **customer, **self._secret)
        if reply.refused is None:
            self._look_at_customer("customer", reply)
        else:
            self._facts["customer"] = f"refused with status {reply.refused}"


async def _tls_version(url: URL) -> str | None:
    if url.scheme != "https" or not url.host:
        return None
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(url.host, url.port, ssl=True)
    except (OSError, TimeoutError):
        return None  # the first question says so
    version: str = writer.get_extra_info("ssl_object").version()
    writer.close()
    return version


def _effect_of_empty_text(shown: dict[str, Json]) -> str:
    if shown.get("gender"):
        return "not given"
    return "stored" if shown.get("gender") == "" else "clears"


def _effect_of_undeclared(shown: dict[str, Json]) -> str:
    custom = shown.get(names.CUSTOM_PROPERTIES)
    return "stored" if isinstance(custom, dict) and PROPERTY in custom else "ignored"


def _which(names_found: Iterable[str]) -> str | None:
    match list(names_found):
        case []:
            return None
        case [only]:
            return only
        case _:
            return "both"


def _types(fields: Mapping[str, Json]) -> dict[str, str]:
    return {name: _TYPES.get(type(value), "another") for name, value in fields.items()}


def _new_id() -> str:
    return "".join(secrets.choice(_CHARACTERS) for _ in range(10))
