"""Ask a real shop what no document says (protocol, section 12), and write down what it did.

What is written holds statuses, types, names of keys and headers: no values, and no secret.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import string
import time
from collections.abc import Callable, Mapping
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
_NAMED: Final = ("first_name", "last_name", names.EMAIL, names.PHONE)
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
        if self.advice:
            return "contradicted"
        if self.observed is None:
            return "not found out" if POINTS[self.setting].asked else "not asked"
        return "agrees" if self.observed == self.assumed else "differs"

    @property
    def advice(self) -> str:
        """What to do where an assumption of the SDK is contradicted; else empty."""
        if self.observed is None:
            return ""
        return POINTS[self.setting].contradicts.get(self.observed, "")


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
                {
                    "point": one.words,
                    "setting": one.setting,
                    "assumed": one.assumed,
                    "observed": one.observed,
                    "verdict": one.verdict,
                    "note": one.note,
                }
                for one in self.findings
            ],
            "contradictions": self.contradictions,
            "facts": self.facts,
        }


@attrs.frozen
class _Reply:
    """An answer, as far as a probe looks at it."""

    status: int
    headers: Mapping[str, str]
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
        is_wrapped = (
            isinstance(self.body, dict) and self.body.get(names.STATUS) == names.STATUS_SUCCESS
        )
        return self.body.get(names.PAYLOAD, self.body) if is_wrapped else self.body

    @property
    def fields(self) -> dict[str, Json]:
        """The payload if it is an object, else nothing."""
        return self.payload if isinstance(self.payload, dict) else {}


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
            url=URL(api_url),
            shop={names.SHOP_ID: shop_id},
            secret={names.SHOP_SECRET: shop_secret} if shop_secret else {},
            pause=pause,
            progress=progress or (lambda _: None),
            reused=reused,
        )
        await asking.about_the_connection()
        await asking.about_init()
        await asking.about_devices()
        await asking.about_customers()
        await asking.about_refusals()
        if write:
            await asking.about_writing()
        if customer:
            await asking.about_a_customer(customer)
        return asking.report()


@attrs.define(kw_only=True)
class _Probe:
    """The questions, and what has been found out so far."""

    _http: aiohttp.ClientSession
    _url: URL
    _shop: dict[str, str]
    _secret: dict[str, str]
    _pause: float
    _progress: Callable[[str], object]
    _reused: list[None]
    _requests: int = 0
    _did: str = ""
    _headers: set[str] = attrs.field(factory=set)
    _compression: str | None = None
    _found: dict[str, Finding] = attrs.field(factory=dict)
    _facts: dict[str, Json] = attrs.field(factory=dict)
    _surprises: list[str] = attrs.field(factory=list)

    def report(self) -> ProbeReport:
        """Return what was found out."""
        self._find("compression", self._compression is not None)
        self._find("keep_alive", bool(self._reused))
        limits = sorted(name for name in self._headers if _LIMIT_HEADER.search(name))
        self._find("limit_headers", bool(limits), ", ".join(limits))
        self._facts["headers"] = sorted(self._headers)
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
        method: str,
        path: str,
        query: Mapping[str, str] | list[tuple[str, str]] | None = None,
        body: Mapping[str, Json] | None = None,
    ) -> _Reply:
        if self._requests >= MOST_REQUESTS:
            raise AssertionError("the probe asks too much")
        if self._requests:
            await asyncio.sleep(self._pause)
        self._progress(what)
        self._requests += 1
        try:
            async with self._http.request(
                method, path.lstrip("/"), params=query, json=body, allow_redirects=False
            ) as response:
                raw = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = f"no answer ({type(error).__name__})"
        else:
            self._headers.update(str(name) for name in response.headers)
            self._compression = response.headers.get("Content-Encoding", self._compression)
            try:
                said = codec.decode(raw)
            except ValueError:
                said = None
            cookies = tuple(response.cookies)
            return _Reply(response.status, response.headers, cookies, said, not raw)
        raise ConnectionFailed(reason, endpoint=f"the probe's question about {what}", attempts=1)

    async def _read(self, what: str, /, **query: str) -> _Reply:
        return await self._ask(what, "GET", names.PROFILE.path, {**self._shop, **query})

    # The questions, in order

    async def about_the_connection(self) -> None:
        """Ask for an address that there can't be: TLS, time, and what an error looks like."""
        self._facts["connection"] = {"tls": await self._tls_version()}
        started = time.monotonic()
        reply = await self._ask("an unknown address", "GET", f"/{PROPERTY}")
        self._facts["connection"]["milliseconds"] = round((time.monotonic() - started) * 1000)
        self._find_status("path_unknown", reply)
        if reply.refused is not None:
            envelope = reply.envelope
            self._find("envelope", envelope, "" if envelope else "an envelope that is not known")
            self._find("errors_at_200", reply.status in _OK)

    async def _tls_version(self) -> str | None:
        if self._url.scheme != "https" or not self._url.host:
            return None
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(self._url.host, self._url.port, ssl=True)
        except (OSError, TimeoutError) as error:
            reason = f"could not connect to {self._url.host}:{self._url.port}"
            kind = type(error).__name__
        else:
            version: str = writer.get_extra_info("ssl_object").version()
            writer.close()
            return version
        raise ConnectionFailed(f"{reason} ({kind})", endpoint="probe", attempts=1)

    async def about_init(self) -> None:
        """Start a session, and one for a device of our own."""
        reply = await self._ask("init", "GET", names.INIT.path, self._shop)
        said = reply.fields
        if reply.refused is not None:
            raise AuthenticationFailed(
                f"the service refused init for this shop_id with status {reply.refused}",
                status=reply.refused,
                endpoint=names.INIT.name,
                attempts=1,
                answer=None,
            )
        self._facts["init"] = {"types": _types(said), "cookies": sorted(reply.cookies)}
        self._find("init_cookie", names.DID in reply.cookies)
        seances = [name for name in (names.SEANCE, names.SID) if said.get(name)]
        self._find("session_name", "both" if len(seances) > 1 else seances[0] if seances else None)
        self._did = str(said.get(names.DID) or "")
        if not self._did or not seances:
            self._surprises.append("init: no did or no session id in the answer; report it")
        own = _new_id()
        query = {**self._shop, names.DID: own}
        reply = await self._ask("init with a did of ours", "GET", names.INIT.path, query)
        if reply.refused is None:
            self._find("init_keeps_did", reply.fields.get(names.DID) == own)

    async def about_devices(self) -> None:
        """Read for a device that is new, and for one that is unknown."""
        reply = await self._read("a new device's profile", did=self._did)
        self._look_at_public(reply)
        self._find_status(
            "device_unknown", await self._read("unknown did", did=_new_id()), "created"
        )
        for what, did in (("of a new device", self._did), ("of an unknown device", _new_id())):
            query = {**self._shop, names.DID: did}
            reply = await self._ask(f"last order {what}", "GET", names.LAST_ORDER.path, query)
            self._facts[f"last_order {what}"] = {
                "status": reply.status,
                "type": _TYPES.get(type(reply.body)),
            }
            if did == self._did:
                self._look_at_last_order(reply)
        query = {names.SID: _new_id(), names.SEANCE: _new_id()}
        query[names.SEANCE] = query[names.SID]
        reply = await self._read("an unknown session id", did=self._did, **query)
        self._find_status("session_unknown", reply, "accepted")

    def _look_at_public(self, reply: _Reply) -> None:
        if not isinstance(reply.payload, dict) or reply.refused is not None:
            self._surprises.append("GET /profile: no profile for a device of init's; report it")
            return
        profile = reply.fields
        self._find("profile_answer", "bare" if reply.payload is reply.body else "payload")
        self._facts["profile"] = {"public": _types(profile)}
        shown = [profile[name] for name in BLOCKS if name in profile]
        kinds = [
            name for name, empty in _EMPTY.items() if shown and all(one == empty for one in shown)
        ]
        self._find(
            "missing_blocks",
            kinds[0] if kinds else None if shown else "absent",
            "" if kinds or not shown else "they vary: see the types",
        )

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
        understood: dict[str, bool] = {names.EXTERNAL_ID: False, names.ID: False}
        for secret in ({}, self._secret):
            if not secret and secret is self._secret:
                continue
            which = "with" if secret else "without"
            without = await self._read(f"no identifier, {which} the secret", **secret)
            if not secret:
                self._find_status("device_missing", without)
            replies = {}
            for name in understood:
                query = {name: f"{PROPERTY}-{_new_id()}"}
                what = f"{name}, {which} the secret"
                replies[name] = await self._read(what, **query, **secret)
                understood[name] |= replies[name].said != without.said
            name = names.EXTERNAL_ID if understood[names.EXTERNAL_ID] else names.ID
            if any(understood.values()):
                setting = "customer_unknown" if secret else "secret_missing"
                self._find_status(setting, replies[name])
            elif not secret:
                self._find_status("secret_missing", replies[names.EXTERNAL_ID])
        known = [name for name, is_known in understood.items() if is_known]
        note = "" if known else "the answers are the same as without an identifier"
        self._find("user_id_names", "both" if len(known) > 1 else known[0] if known else None, note)
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
        self._facts["profile"] = {**self._facts.get("profile", {}), "full": _types(reply.fields)}
        is_full = any(name in reply.fields for name in _NAMED)
        self._find("customer_profile", "full" if is_full else "public")
        self._find("kids_shown", "kids" in reply.fields if is_full else None)

    async def about_refusals(self) -> None:
        """Climb the ladder of section 9."""
        did = {names.DID: self._did}
        wrong_secret = {names.SHOP_SECRET: secrets.token_hex(16)}
        self._find_status("secret_wrong", await self._read("a wrong secret", **did, **wrong_secret))
        reply = await self._ask("a wrong method", "POST", names.PROFILE.path, body={})
        self._find_status("method_wrong", reply)
        for setting, what, shop in (
            ("shop_missing", "no shop_id", {}),
            ("shop_malformed", "a malformed shop_id", {names.SHOP_ID: "malformed"}),
            ("shop_unknown", "an unknown shop_id", {names.SHOP_ID: secrets.token_hex(15)}),
        ):
            reply = await self._ask(what, "GET", names.PROFILE.path, {**shop, **did})
            self._find_status(setting, reply)
        reply = await self._ask("init of an unknown shop", "GET", names.INIT.path, shop)
        self._find_status("init_refused", reply)
        long = {**self._shop, names.DID: _LONG_DID}
        reply = await self._ask("a malformed did", "GET", names.INIT.path, long)
        self._find_status("device_malformed", reply, "accepted")
        query = [*self._shop.items(), *did.items(), *did.items()]
        reply = await self._ask("a parameter twice", "GET", names.PROFILE.path, query)
        self._find_status("parameter_twice", reply, "the last counts")

    async def about_writing(self) -> None:
        """Write to a new device and read it back; see ``WRITES``."""
        reply = await self._ask("init of a device to write to", "GET", names.INIT.path, self._shop)
        did = str(reply.fields.get(names.DID) or "")
        seance = str(reply.fields.get(names.SEANCE) or reply.fields.get(names.SID) or "")
        if not did:
            return
        same = {**self._shop, names.DID: did, names.SEANCE: seance, names.SID: seance}
        reply = await self._ask("a second init", "GET", names.INIT.path, same)
        again = reply.fields.get(names.SEANCE) or reply.fields.get(names.SID)
        self._find("session_kept", again == seance if reply.refused is None else None)

        async def put(what: str, **fields: Json) -> _Reply:
            body = {**self._shop, names.DID: did, **fields}
            return await self._ask(what, "POST", names.PROFILE_SET.path, body=body)

        async def shown() -> dict[str, Json]:
            return (await self._read("what was written", did=did)).fields

        reply = await put(
            "first name, location, gender", first_name="Probe", location="1", gender="f"
        )
        before = await shown()
        if reply.refused is not None or before.get("gender") not in ("f", "female"):
            self._surprises.append("profile/set: what was set does not come back; report it")
            return
        reply = await put("null", gender=None)
        word = "ignored" if reply.refused is None and (await shown()).get("gender") else "clears"
        self._find_status("null", reply, word)
        await put("gender again", gender="f")
        reply = await put("an empty string", gender="")
        if reply.refused is None:
            value = (await shown()).get("gender")
            word = "not given" if value else "stored" if value == "" else "clears"
        self._find_status("empty_text", reply, word)
        reply = await put("a value of the wrong type", bought_something="perhaps")
        if reply.refused is None:
            word = "stored" if (await shown()).get("bought_something") == "perhaps" else "ignored"
        self._find_status("wrong_type", reply, word)
        reply = await put("an undeclared custom property", **{PROPERTY: "1"})
        if reply.refused is None:
            custom = (await shown()).get(names.CUSTOM_PROPERTIES)
            word = "stored" if isinstance(custom, dict) and PROPERTY in custom else "ignored"
        self._find_status("undeclared_property", reply, word)
        await put("a child", kids=[{"gender": "f"}])
        await put("another child", kids=[{"gender": "m"}])
        await self._look_at_full(did)
        empty: dict[str, Json] = dict.fromkeys(("first_name", "location", "gender", PROPERTY))
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
        names_shown = full.get("first_name"), full.get("location")
        if "first_name" in full and names_shown != ("Probe", "1"):
            self._surprises.append("profile/set: a name that was set does not come back; report it")

    async def about_a_customer(self, customer: Mapping[str, str]) -> None:
        """Look at the keys and types of a customer's profile."""
        if not self._secret:
            return
        reply = await self._read("the customer", **customer, **self._secret)
        if reply.refused is None:
            self._facts["profile"] = {
                **self._facts.get("profile", {}),
                "customer": _types(reply.fields),
            }
            is_full = any(name in reply.fields for name in _NAMED)
            self._find("customer_profile", "full" if is_full else "public")
        else:
            self._facts["customer"] = f"refused with status {reply.refused}"


def _types(fields: Mapping[str, Json]) -> dict[str, str]:
    return {name: _TYPES.get(type(value), "another") for name, value in fields.items()}


def _new_id() -> str:
    return "".join(secrets.choice(_CHARACTERS) for _ in range(10))
