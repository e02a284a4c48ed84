"""Each call as a request, and how its answer is read; in brackets, the protocol's sections."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import partial
from typing import Final, Generic, NamedTuple, TypeVar

import attrs

from personaclick_async import codec, names
from personaclick_async.codec import Json
from personaclick_async.errors import ConfigurationError, ValidationError
from personaclick_async.models import rules
from personaclick_async.models.identity import Identity, InitAnswer
from personaclick_async.models.order import Order, Product
from personaclick_async.models.profile import FullProfile, Profile
from personaclick_async.models.reading import WrongShape, read_json, read_object, read_objects
from personaclick_async.models.update import ProfileUpdate, to_wire

T = TypeVar("T")
P = TypeVar("P", bound=Profile)

# What an answer that is no profile says of the call, at status 200.
_ABOUT_THE_CALL: Final = {names.STATUS, names.MESSAGE, "success", "error", "errors", "code"}
_SHORTEST_PROFILE_BYTES: Final = 128
_WESTERNMOST: Final = -12
_EASTERNMOST: Final = 14

_METHODS: Final = ("GET", "POST", "PUT", "DELETE")
_PATH: Final = re.compile(r"/?[\w-]+(?:/[\w-]+)*/?", re.ASCII)

JSON: Final = "application/json"
JSON_BODY: Final[Mapping[str, str]] = {"Content-Type": JSON}
"""The headers of a request that has a body."""

_NOTHING: Final[Mapping[str, str]] = {}

# Parameters whose values are not personal, so that an error text may repeat them.
_PUBLIC: Final = {names.STREAM, names.SEGMENT, names.TZ, names.API_VERSION, names.DATE_FROM}


@attrs.define(repr=False)
class Call(Generic[T]):
    """A request, and how to read the body of a successful answer."""

    endpoint: names.Endpoint
    read: Callable[[bytes], T]
    query: Mapping[str, str] = _NOTHING
    body: bytes | memoryview | None = None
    attempt_timeout: float | None = None  # seconds, in place of Timeouts.total

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that this request needs besides the client's own."""
        return _NOTHING if self.body is None else JSON_BODY

    def private_values(self) -> Iterator[str]:
        """Yield every text that the request carries and an error text must not repeat."""
        sent = codec.decode(self.body) if self.body else {}
        for name, value in (*self.query.items(), *sent.items()):
            if name not in _PUBLIC:
                yield from _texts(value)

    def __repr__(self) -> str:
        return f"<Call {self.endpoint.name}>"


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


@attrs.frozen(kw_only=True, repr=False)
class Shop:
    """The shop, and what it calls its own user ids in ``profile/set`` and queries (section 12)."""

    shop_id: str
    secret: str | None = None
    set_user_id_name: str = names.ID
    query_user_id_name: str = names.EXTERNAL_ID

    def require_secret(self, purpose: str) -> str:
        """Return the secret; if there is none, the error says what it is needed for."""
        if self.secret is None:
            raise ConfigurationError(f"shop_secret is needed to {purpose}; none was given")
        return self.secret


class RequestContext(NamedTuple):
    """The user of a request, their session, and labels for reports (sections 6.3 and 6.5)."""

    identity: Identity
    seance: str | None = None
    stream: str | None = None
    segment: names.Segment | None = None

    def __repr__(self) -> str:
        return f"<RequestContext by {self.identity.kind}>"


def init(
    shop: Shop,
    *,
    did: str | None = None,
    seance: str | None = None,
    stream: str | None = None,
    tz: float | None = None,
) -> Call[InitAnswer]:
    """Start or continue a session; the service makes a device id if none is sent (2.1)."""
    query = {names.SHOP_ID: shop.shop_id}
    if did is not None:
        query[names.DID] = did
    if tz is not None:
        if type(tz) not in (int, float) or not _WESTERNMOST <= tz <= _EASTERNMOST:
            raise rules.refuse(names.TZ, "hours from GMT, -12 to 14", tz)
        query[names.TZ] = f"{tz:g}"
    _add_labels(query, seance, stream)
    return Call(names.INIT, _read_init, query)


def any_request(
    shop: Shop, method: str, path: str, parameters: Mapping[str, Json], *, repeat: bool
) -> Call[Json]:
    """Call an endpoint that has no function here, with the shop's credentials (1)."""
    if method not in _METHODS:
        raise ValidationError("method", " or ".join(_METHODS), "another value")
    if type(path) is not str or not _PATH.fullmatch(path):
        raise rules.refuse("path", "a path such as /segments/add, without a query", path)
    if not isinstance(parameters, Mapping):
        raise rules.refuse("parameters", "a mapping of names to values", parameters)
    credentials = {names.SHOP_ID: shop.shop_id}
    if shop.secret is not None:
        credentials[names.SHOP_SECRET] = shop.secret
    for name in credentials.keys() & parameters.keys():
        raise ValidationError(name, "nothing: the client adds it", "a value")
    endpoint = names.Endpoint(path.strip("/"), method, is_idempotent=repeat)
    exact: dict[str, Json] = rules.custom_value("parameters", parameters)
    if method == "GET":
        query = {name: _as_text(name, value) for name, value in exact.items()}
        return Call(endpoint, read_json, {**credentials, **query})
    return Call(endpoint, read_json, body=codec.encode({**credentials, **exact}))


def _as_text(name: str, value: Json) -> str:
    if not isinstance(value, str | int | float):
        raise rules.refuse(name, "a text, a number or a boolean, in a query", value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_profile(shop: Shop, context: RequestContext) -> Call[Profile]:
    """Read the public profile, or the full one of a user named by an identifier (2.2)."""
    return read_profile_as(profile_reader(context.identity), shop, context)


def read_profile_as(read: Callable[[bytes], T], shop: Shop, context: RequestContext) -> Call[T]:
    """Do what :func:`read_profile` does; ``read`` makes the result of the body."""
    return Call(names.PROFILE, read, _query(shop, context))


def profile_reader(identity: Identity) -> Callable[[bytes], Profile]:
    """Return what makes a profile of the answer to :func:`read_profile` for this user."""
    return _read_public_profile if identity[0] == names.DID else _read_full_profile


def read_full_profile(shop: Shop, context: RequestContext) -> Call[FullProfile]:
    """Read the full profile, with the secret (2.2, 4.2)."""
    query = _query(shop, context)
    query[names.SHOP_SECRET] = shop.require_secret("read a full profile")
    return Call(names.PROFILE, _read_full_profile, query)


def set_profile(
    shop: Shop, context: RequestContext, update: ProfileUpdate, *, user_id_name: str | None = None
) -> Call[None]:
    """Update the profile of the device's owner, or of the named user (2.3)."""
    name = user_id_name or shop.set_user_id_name
    body: dict[str, Json] = {names.SHOP_ID: shop.shop_id, **to_wire(update, user_id_name=name)}
    _add_context(body, shop, context, name)
    return Call(names.PROFILE_SET, _read_done, body=codec.encode(body))


def set_named_profile(
    shop: Shop, wire: Mapping[str, Json], *, stream: str | None = None
) -> Call[None]:
    """Update the profile of the customer that the fields on the wire themselves name (2.3)."""
    body: dict[str, Json] = {
        names.SHOP_ID: shop.shop_id,
        names.SHOP_SECRET: shop.require_secret("update a profile by what is in it"),
        **wire,
    }
    if names.EXTERNAL_ID in body:
        body[shop.set_user_id_name] = body.pop(names.EXTERNAL_ID)
    _add_labels(body, None, stream)
    return Call(names.PROFILE_SET, _read_done, body=codec.encode(body))


def purge_profile(shop: Shop, context: RequestContext) -> Call[None]:
    """Remove personal data from a profile named by an identifier (2.4)."""
    if context.identity.is_device:
        rule = f"one of {', '.join(names.IDENTIFIERS)} to purge a profile"
        raise ValidationError("user", rule, "a device")
    body = {names.SHOP_ID: shop.shop_id}
    _add_context(body, shop, RequestContext(context.identity), shop.query_user_id_name)
    return Call(names.PROFILE_PURGE, _read_done, body=codec.encode(body))


def last_order(shop: Shop, context: RequestContext) -> Call[list[Product]]:
    """Read the products of the user's last order (2.6)."""
    kind, value = context.identity
    # These need no secret, and none is sent: it would stand in a URL for nothing.
    if kind in (names.EXTERNAL_ID, names.TELEGRAM_ID):
        name = shop.query_user_id_name if kind == names.EXTERNAL_ID else kind
        query = {names.SHOP_ID: shop.shop_id, name: value}
        _add_labels(query, context.seance, context.stream)
    else:
        query = _query(shop, context)
    if context.segment is not None:
        query[names.SEGMENT] = context.segment.value
    return Call(names.LAST_ORDER, _read_products, query)


def orders_by_user(
    shop: Shop, context: RequestContext, *, date_from: date | None = None
) -> Call[list[Order]]:
    """Read the user's orders since a day, oldest first (2.7)."""
    query = _query(shop, context)
    query[names.SHOP_SECRET] = shop.require_secret("read a user's orders")
    if date_from is not None:
        query[names.DATE_FROM] = date_from.isoformat()
    return Call(names.ORDERS_BY_USER, _read_orders, query)


def _query(shop: Shop, context: RequestContext) -> dict[str, str]:
    query = {names.SHOP_ID: shop.shop_id}
    _add_context(query, shop, context, shop.query_user_id_name)
    return query


def _add_context(
    parameters: dict[str, Json], shop: Shop, context: RequestContext, user_id_name: str
) -> None:
    (kind, value), seance, stream, _ = context
    if kind == names.DID:
        parameters[names.DID] = value
    else:
        name = user_id_name if kind == names.EXTERNAL_ID else kind
        if name in parameters and str(parameters[name]) != value:
            raise ValidationError(name, "the one that names the user, or none", "another value")
        parameters[name] = value
        parameters[names.SHOP_SECRET] = shop.require_secret(f"name a user by {kind}")
    if seance is not None or stream is not None:
        _add_labels(parameters, seance, stream)


def _add_labels(parameters: dict[str, Json], seance: str | None, stream: str | None) -> None:
    # Both words for the session, one value: pages of either age are served (section 10, 3).
    if seance is not None:
        parameters[names.SEANCE] = seance
        parameters[names.SID] = seance
    if stream is not None:
        parameters[names.STREAM] = stream


def _read_init(body: bytes) -> InitAnswer:
    answer = read_object(InitAnswer, body)
    try:
        rules.identifier(names.DID, answer.did)
    except ValidationError:
        raise WrongShape("the answer names no device") from None
    return answer


def _read_profile(kind: type[P], body: bytes) -> P:
    profile = read_object(kind, body)
    if len(body) < _SHORTEST_PROFILE_BYTES:
        read_profile_json(body)  # raises if it is no profile
    return profile


def read_profile_json(body: bytes) -> dict[str, Json]:
    """Return the answer to :func:`read_profile` as it came, if it is one."""
    said = read_json(body)
    if not isinstance(said, dict):
        raise WrongShape("an array or object is missing where one belongs")
    if said.keys() <= _ABOUT_THE_CALL:  # every field of a profile is optional
        raise WrongShape("the body has no field of a profile")
    return said


_read_public_profile: Final = partial(_read_profile, Profile)
_read_full_profile: Final = partial(_read_profile, FullProfile)
_read_products: Final = partial(read_objects, Product, wrappers=((names.PRODUCTS,), (names.DATA,)))
_read_orders: Final = partial(
    read_objects,
    Order,
    wrappers=((names.DATA, names.ORDERS), (names.PAYLOAD, names.ORDERS), (names.ORDERS,)),
)


def _read_done(body: bytes) -> None:
    if body == names.SUCCESS_BODY:
        return
    said = read_json(body)
    if not isinstance(said, dict) or said.get(names.STATUS) != names.STATUS_SUCCESS:
        raise WrongShape(f"the body does not say {names.STATUS_SUCCESS}")


def audience_envelope(shop: Shop, *, segment_id: int | None = None) -> tuple[bytes, bytes]:
    """Return what stands before and after the entries of an audience, between commas (2.9)."""
    secret = shop.require_secret("import an audience")
    segment = {} if segment_id is None else {names.SEGMENT_ID: segment_id}
    whole = codec.encode(
        {names.SHOP_ID: shop.shop_id, names.SHOP_SECRET: secret, **segment, names.AUDIENCE: []}
    )
    return whole[:-2], whole[-2:]


def import_audience(
    body: bytes | memoryview, *, attempt_timeout: float | None = None
) -> Call[None]:
    """Queue profiles for import; the body is an envelope with entries in it (2.9)."""
    return Call(names.IMPORT_AUDIENCE, _read_done, body=body, attempt_timeout=attempt_timeout)
