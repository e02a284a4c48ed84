"""How a client is set up: frozen policies and the settings, checked when they are made."""

from __future__ import annotations

import math
import os
import re
import ssl
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import partial
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import aiohttp
import attrs
from attrs.validators import optional
from yarl import URL

from personaclick_async import names
from personaclick_async.errors import ConfigurationError, TimedOut

Seconds: TypeAlias = float
"""A duration in seconds; settings take a :class:`datetime.timedelta` as well."""

_URL: Final = re.compile(r"(?i)https?://[^\s\x00-\x1f?#]+")


def to_seconds(value: float | timedelta) -> Seconds:
    """Convert a duration, as an attrs field does."""
    # What is no number goes on to the validator, which knows the field's name.
    if isinstance(value, timedelta):
        return value.total_seconds()
    return float(value) if type(value) is int else value


# The type, not its name: attrs hands it on to classes of modules that do not know the name.
to_seconds.__annotations__["value"] = float | timedelta


def of_kind(
    kind: Any,  # noqa: ANN401 - what isinstance takes
    noun: str,
    rule: str = "",
    keeps: Callable[[Any], object] = lambda _: True,
) -> Any:  # noqa: ANN401 - attrs types the validators of fields of any class so
    """Return a validator of values of a kind that keep a rule; a bool is no int here."""

    def check(_: object, at: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ConfigurationError(f"{at.alias}: expected {noun}, got {type(value).__name__}")
        if not keeps(value):
            described = f"{len(value)} characters" if isinstance(value, str) else "another"
            got = value if isinstance(value, int | float) else described
            raise ConfigurationError(f"{at.alias}: expected {rule}, got {got}")

    return check


def number(
    *,
    at_least: float | None = None,
    at_most: float = math.inf,
    whole: bool = False,
    finite: bool = False,
) -> Any:  # noqa: ANN401
    """Return a validator of numbers from ``at_least`` to ``at_most``, or else above 0."""
    noun = "a whole number" if whole else "a number"
    rule = "more than 0" if at_least is None else f"{at_least} or more"
    rule = rule if at_most == math.inf else f"{at_least} to {at_most}"
    rule = f"{rule} and finite" if finite else rule

    def keeps(value: float) -> bool:
        # Written so that NaN fails too; and an event loop can't set a timer to infinity.
        is_enough = value > 0 if at_least is None else at_least <= value <= at_most
        return is_enough and not (finite and math.isinf(value))

    return of_kind(int if whole else int | float, noun, rule, keeps)


def text(pattern: str, rule: str) -> Any:  # noqa: ANN401
    """Return a validator of texts that match a pattern; the error states the rule."""
    return of_kind(str, rule, rule, partial(re.fullmatch, pattern))


_POSITIVE: Final = number()
_FINITE: Final = number(finite=True)
_NOT_NEGATIVE: Final = number(at_least=0)
_COUNT: Final = number(at_least=1, whole=True)
_RETRIES: Final = optional(number(at_least=0, whole=True))
_FUNCTION: Final = of_kind(Callable, "a function")
_NOW: Final = of_kind(
    Callable,
    "a function",
    "a function that returns a date-time with a time zone",
    lambda now: getattr(now(), "tzinfo", None) is not None,
)
_BOOL: Final = of_kind(bool, "a bool")
_SESSION: Final = optional(of_kind(aiohttp.ClientSession, "an aiohttp.ClientSession"))
_SSL_CONTEXT: Final = optional(of_kind(ssl.SSLContext, "an ssl.SSLContext"))
_SHOP_ID: Final = text(r"[0-9A-Fa-f]{30}", "30 hexadecimal characters")
_SECRET: Final = optional(text(r"[!-~]+", "visible ASCII characters"))
_USER_ID_NAME: Final = text("id|external_id", "'id' or 'external_id'")
_MOST: Final = names.STREAM_MAX_CHARACTERS
_STREAM: Final = optional(text(rf"[A-Za-z0-9_]{{1,{_MOST}}}", f"1 to {_MOST} letters, digits or _"))


@attrs.frozen(kw_only=True)
class Timeouts:
    """How long one attempt may take, in seconds.

    :ivar connect: to open a connection, TLS included.
    :ivar read: between two pieces of the answer.
    :ivar total: for all of it, from opening a connection to the last byte received.
    """

    connect: Seconds = attrs.field(default=5.0, converter=to_seconds, validator=_FINITE)
    read: Seconds = attrs.field(default=15.0, converter=to_seconds, validator=_FINITE)
    total: Seconds = attrs.field(default=30.0, converter=to_seconds, validator=_FINITE)


RETRIED_STATUSES: Final = frozenset(
    {408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529, 530}
)
"""Failures that pass: the service's own, and those of the proxies in front of it (520 and up)."""


def _statuses(value: Collection[int]) -> frozenset[int]:
    is_usable = isinstance(value, list | tuple | set | frozenset)
    if not is_usable or not all(type(one) is int for one in value):
        given = type(value).__name__
        raise ConfigurationError(f"statuses: expected HTTP statuses, as whole numbers, got {given}")
    return frozenset(value)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """When and how often a call is sent again.

    Waits grow by a factor of two from ``first_wait`` to ``longest_wait``, each cut by a random
    part of up to a half. A ``Retry-After`` of the service is waited out in full, whatever the
    status. A wait that would end after ``total`` is not begun: the call fails at once.

    :ivar attempts: how many times a request is sent at most; 1 means no retry.
    :ivar total: seconds from the first attempt in which a new one may begin.
    :ivar budget: retries allowed per call sent, on average over all calls of the client, so that
        an outage does not multiply traffic; a reserve of ten retries comes on top.
    :ivar statuses: of an answer, after which a call is sent again.
    """

    attempts: int = attrs.field(default=4, validator=_COUNT)
    first_wait: Seconds = attrs.field(default=0.25, converter=to_seconds, validator=_NOT_NEGATIVE)
    longest_wait: Seconds = attrs.field(default=20.0, converter=to_seconds, validator=_NOT_NEGATIVE)
    total: Seconds = attrs.field(default=90.0, converter=to_seconds, validator=_NOT_NEGATIVE)
    budget: float = attrs.field(default=0.2, validator=_NOT_NEGATIVE)
    statuses: frozenset[int] = attrs.field(default=RETRIED_STATUSES, converter=_statuses)


@attrs.frozen(kw_only=True)
class CachePolicy:
    """How profile reads are kept.

    :ivar ttl: for how long an answer is fresh, in seconds (the service names no figure).
    :ivar max_entries: how many users' profiles are kept; the least recently used go first.
    """

    ttl: Seconds = attrs.field(default=300.0, converter=to_seconds, validator=_POSITIVE)
    max_entries: int = attrs.field(default=10_000, validator=_COUNT)


@attrs.frozen
class RateLimit:
    """At most ``requests`` in any window of ``seconds``, strictly."""

    requests: int = attrs.field(validator=_COUNT)
    seconds: Seconds = attrs.field(converter=to_seconds, validator=_POSITIVE)


DOCUMENTED_LIMITS: Final[Mapping[names.Family, RateLimit]] = {
    names.Family.IMPORT: RateLimit(names.IMPORT_REQUESTS_PER_MINUTE, 60.0)
}
"""The limits that the service documents; for profiles and orders it documents none."""


def _are_limits(value: Mapping[Any, Any]) -> bool:
    kinds, limits = tuple(names.Family), value.values()
    return all(one in kinds for one in value) and all(isinstance(one, RateLimit) for one in limits)


_LIMITS_RULE: Final = "a mapping of Family to RateLimit"
_LIMITS: Final = of_kind(Mapping, _LIMITS_RULE, _LIMITS_RULE, _are_limits)


def _base_url(value: Any) -> str:  # noqa: ANN401 - anything may come
    try:
        parts = urlsplit(value if _URL.fullmatch(value) else "")
        usable = parts.hostname and parts.port != 0 and "@" not in parts.netloc
        # As a request does it: backslashes, and empty and very long labels, fail only here.
        str(URL(value).raw_host).encode("idna")
    except (ValueError, TypeError):
        usable = False
    if not usable:
        raise ConfigurationError(
            "api_url: expected http(s)://host[:port][/path], without user, query or fragment"
        )
    url = str(value)
    return url if url.endswith("/") else url + "/"


def _setting(default: object, check: Any, *, shown: bool = True) -> Any:  # noqa: ANN401
    return attrs.field(default=default, validator=check, repr=shown)


@attrs.frozen(kw_only=True)
class Config:
    """Everything that a client is told. :class:`PersonaClick` makes it from its arguments."""

    shop_id: str = attrs.field(validator=_SHOP_ID)
    shop_secret: str | None = _setting(None, _SECRET, shown=False)
    api_url: str = attrs.field(default=names.DEFAULT_API_URL, converter=_base_url)
    stream: str | None = _setting(None, _STREAM)
    timeouts: Timeouts = _setting(Timeouts(), of_kind(Timeouts, "Timeouts"))
    retry: RetryPolicy = _setting(RetryPolicy(), of_kind(RetryPolicy, "a RetryPolicy"))
    cache: CachePolicy | None = _setting(
        CachePolicy(), optional(of_kind(CachePolicy, "a CachePolicy"))
    )
    limits: Mapping[names.Family, RateLimit] = _setting(DOCUMENTED_LIMITS, _LIMITS)
    max_concurrency: int = _setting(100, _COUNT)
    max_answer_bytes: int = _setting(16 * 1024 * 1024, _COUNT)
    set_user_id_name: str = _setting(names.ID, _USER_ID_NAME)
    query_user_id_name: str = _setting(names.EXTERNAL_ID, _USER_ID_NAME)
    disabled: bool = _setting(False, _BOOL)
    session: aiohttp.ClientSession | None = _setting(None, _SESSION, shown=False)
    ssl_context: ssl.SSLContext | None = _setting(None, _SSL_CONTEXT, shown=False)
    trust_env: bool = _setting(False, _BOOL)
    clock: Callable[[], Seconds] = _setting(time.monotonic, _FUNCTION, shown=False)
    now: Callable[[], datetime] = _setting(partial(datetime.now, UTC), _NOW, shown=False)


class Unset(Enum):
    """Tells "not given" from None, which has a meaning of its own."""

    UNSET = "from the environment, or the default"


UNSET: Final = Unset.UNSET


@attrs.frozen(kw_only=True)
class CallOptions:
    """What ``with_options`` changes for the calls made through it.

    :ivar timeout: seconds that the whole call may take: every attempt and wait. ``Timeouts`` goes
        on to say how long each attempt may take.
    :ivar retries: how many times a request is sent again at most, in place of the policy's.
    :ivar stream: where the data comes from, in place of the client's.
    :ivar ends: when the timeout is over, by the monotonic clock; None before the call begins.
    """

    timeout: Seconds | None = attrs.field(
        default=None, converter=attrs.converters.optional(to_seconds), validator=optional(_FINITE)
    )
    retries: int | None = attrs.field(default=None, validator=_RETRIES)
    stream: str | None = attrs.field(default=None, validator=_STREAM)
    ends: Seconds | None = None

    def changed(self, **options: Any) -> CallOptions:  # noqa: ANN401
        """Return options with those changed that are not None."""
        given = {name: value for name, value in options.items() if value is not None}
        return attrs.evolve(self, **given)

    def begun(self) -> CallOptions:
        """Return the options of a call that begins now, or has begun: its timeout is counted."""
        if self.timeout is None or self.ends is not None:
            return self
        return attrs.evolve(self, ends=time.monotonic() + self.timeout)

    @property
    def left(self) -> Seconds:
        """Seconds until the timeout of a call that has begun."""
        return math.inf if self.ends is None else self.ends - time.monotonic()

    def late(self, waiting_for: str, *, endpoint: str, attempts: int = 0) -> TimedOut:
        """Return the error of a call whose timeout is over, or would be."""
        reason = f"not done within its {self.timeout:g} s, waited for {waiting_for}"
        return TimedOut(reason, endpoint=endpoint, attempts=attempts)


_FLAGS: Final = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(
    ("0", "false", "no", "off"), False
)
_NO_SHOP: Final = "0" * 30  # the shop id and the secret of a disabled client that was given none


def _timeouts(text: str) -> Timeouts:
    total, usual = float(text), Timeouts()
    return Timeouts(connect=min(usual.connect, total), read=min(usual.read, total), total=total)


_ENVIRONMENT: Final[Mapping[str, tuple[str, Callable[[str], object], str]]] = {
    "shop_id": ("PERSONACLICK_SHOP_ID", str, "text"),
    "shop_secret": ("PERSONACLICK_SHOP_SECRET", str, "text"),
    "api_url": ("PERSONACLICK_API_URL", str, "text"),
    "stream": ("PERSONACLICK_STREAM", str, "text"),
    "timeouts": ("PERSONACLICK_TIMEOUT_SECONDS", _timeouts, "a number, more than 0"),
    "retry": (
        "PERSONACLICK_RETRIES",
        lambda text: RetryPolicy(attempts=int(text) + 1),
        "a whole number, 0 or more",
    ),
    "cache": (
        "PERSONACLICK_CACHE_TTL_SECONDS",
        lambda text: CachePolicy(ttl=float(text)) if float(text) else None,
        "a number, 0 or more",
    ),
    "max_concurrency": ("PERSONACLICK_MAX_CONCURRENCY", int, "a whole number, 1 or more"),
    "disabled": ("PERSONACLICK_DISABLED", lambda text: _FLAGS[text.lower()], "1 or 0"),
}


def load_config(
    arguments: Mapping[str, object], environment: Mapping[str, str] | None = None
) -> Config:
    """Return the settings: arguments, else environment variables, else defaults.

    Errors name the argument and the variable.
    """
    variables = os.environ if environment is None else environment
    settings = {name: value for name, value in arguments.items() if not isinstance(value, Unset)}
    read: dict[str, str] = {}
    for name, (variable, convert, rule) in _ENVIRONMENT.items():
        if name in settings or not variables.get(variable):
            continue
        with suppress(ValueError, KeyError):
            settings[name] = convert(variables[variable])
            read[name] = variable
            continue
        # Outside suppress(), for the exception that it dropped holds the value.
        raise ConfigurationError(f"{variable}: expected {rule}")
    if settings.get("disabled") is True:
        settings = {"shop_id": _NO_SHOP, "shop_secret": _NO_SHOP, **settings}
    if "shop_id" not in settings:
        variable = _ENVIRONMENT["shop_id"][0]
        raise ConfigurationError(f"shop_id: pass it, or set {variable} in the environment")
    try:
        return Config(**settings)  # type: ignore[arg-type]  # each field checks its own value
    except ConfigurationError as error:
        source = read.get(str(error).partition(":")[0])
        if source is None:
            raise
        raise ConfigurationError(f"{error} (set by {source})") from None
