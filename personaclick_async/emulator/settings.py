"""What an emulator is told: its shop and limits, and what it does where no document says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import attrs

from personaclick_async import codec, names
from personaclick_async.errors import ConfigurationError

Value: TypeAlias = str | int | bool

DEFAULT_SHOP_ID: Final = "e0" * 15
DEFAULT_SECRET: Final = "5e" * 16

STATUSES: Final = range(200, 600)
_POINT: Final = "point"


def expect(holds: object, complaint: str) -> None:
    """Raise ConfigurationError with a complaint if something does not hold."""
    if not holds:
        raise ConfigurationError(complaint)


@attrs.frozen(kw_only=True)
class EmulatorSettings:
    """The shop, its limits and the server. How the service behaves is :class:`Behaviour`'s.

    An emulator that other machines may reach answers to any name, if no ``host_names`` are given.
    """

    shop_id: str = DEFAULT_SHOP_ID  # the shop's public key, 30 hexadecimal characters
    shop_secret: str = attrs.field(default=DEFAULT_SECRET, repr=False)  # its secret key
    currency: str = "$"  # the symbol in formatted prices
    active: bool = True  # False answers 403 to everything, as for a shop that has not paid
    import_limit: int | None = names.IMPORT_REQUESTS_PER_MINUTE  # per window; None for no limit
    import_window: float = 60.0  # that window in seconds
    max_import_bytes: int = names.IMPORT_MAX_BODY_BYTES  # how large an import's body may be
    cors: bool = False  # whether pages of other sites may call the service from a browser
    host_names: tuple[str, ...] = ()  # answered to besides this machine's, such as a container's
    seed: int = 0  # makes the chances of faults repeatable
    recorded: int = 200_000  # how many of the latest requests are kept for inspection

    def __attrs_post_init__(self) -> None:
        is_shop_id = re.fullmatch("[0-9a-f]{30}", self.shop_id)
        expect(is_shop_id, "shop_id: expected 30 hexadecimal characters in lower case")
        expect(self.shop_secret, "shop_secret: expected a non-empty text")
        are_several = not isinstance(self.host_names, str)
        expect(are_several, 'host_names: expected several, such as ("emulator",)')
        for name in ("import_limit", "import_window", "max_import_bytes", "recorded"):
            size = getattr(self, name)
            expect(size is None or size > 0, f"{name}: expected more than 0")


class Point(NamedTuple):
    """An open point of the protocol's section 12."""

    words: str  # as the table has them
    choices: tuple[Value, ...]  # the default first; of a number, any status will do
    asked: bool  # whether the probe can find it out


def _open(words: str, *choices: Value, asked: bool = True) -> Any:  # noqa: ANN401 - of any type
    point = Point(words, choices, asked)
    return attrs.field(default=choices[0], validator=_check, metadata={_POINT: point})


_unasked: Final = partial(_open, asked=False)


def _check(_: object, at: attrs.Attribute[Value], value: Value) -> None:
    choices = at.metadata[_POINT].choices
    words = [choice for choice in choices if type(choice) is not int]
    takes_status = len(words) < len(choices)
    # True is not 1 here.
    is_right = takes_status and value in STATUSES if type(value) is int else value in words
    expected = ["a status"] * takes_status + [str(word) for word in words]
    expect(is_right, f"{at.name}: expected {' or '.join(expected)}")


@attrs.frozen(kw_only=True)
class Behaviour:
    """What the emulator does where the sources are silent. The defaults are section 12's.

    A status where a word could stand means that the request is refused with it.
    """

    # Errors
    envelope: str = _open(
        "errors: their envelope", "payload", "message", "bare message", "numeric status", "empty"
    )
    errors_at_200: bool = _open("200 with an error in the body", False, True)
    path_unknown: int = _open("an unknown address", 404, 400, 403)
    method_wrong: int = _open("a wrong method", 405, 400, 404)
    parameter_twice: int | str = _open("the same parameter twice", 400, 422, "the last counts")
    # Credentials
    shop_missing: int = _open("bad credentials: no shop_id", 401, 400, 403, 422)
    shop_malformed: int = _open("bad credentials: a malformed shop_id", 422, 400, 401, 404)
    shop_unknown: int = _open("bad credentials: an unknown shop_id", 404, 400, 401, 403)
    secret_wrong: int = _open("bad credentials: a wrong shop_secret", 401, 400, 403, 404)
    secret_missing: int = _open("a customer without the secret", 403, 400, 401, 422)
    init_refused: int = _open("bad credentials: init", 403, 400, 401, 404)
    import_refused: int = _unasked("bad credentials: imports", 400, 401, 403)
    # Devices and sessions
    device_missing: int = _open("no did", 401, 400, 422)
    device_malformed: int | str = _open("a malformed did", 422, 400, 404, "accepted")
    device_unknown: int | str = _open("unknown did", "created", 404, 400, 422)
    init_keeps_did: bool = _open("unknown did: init adopts one that the client sends", True, False)
    init_cookie: bool = _open("init sets a did cookie", True, False)
    session_name: str = _open("session names: in the answer to init", "seance", "sid", "both")
    session_kept: bool = _open("session names: a second init keeps the session", True, False)
    session_unknown: int | str = _open("an unknown session id", "accepted", 422, 404)
    # Customers
    user_id_names: str = _open("name of the shop's own user id", "both", "external_id", "id")
    customer_unknown: int = _open("an unknown customer", 404, 400, 422)
    customer_profile: str = _open("GET /profile with the secret", "full", "public")
    identifier_conflict: int | str = _unasked("identifier conflict", "the primary wins", 409, 422)
    phones: str = _unasked("punctuation in phone numbers", "compared by digits", "compared as text")
    # What profile/set does
    null: int | str = _open("null in profile/set", "clears", "ignored", 422)
    empty_text: int | str = _open("empty text in profile/set", "not given", "clears", "stored", 422)
    wrong_type: int | str = _open("wrong type in profile/set", 422, 400, "ignored", "stored")
    lists: str = _open("kids, auto on a second call", "replaced", "merged")
    undeclared_property: int | str = _open("custom property not declared", "stored", "ignored", 422)
    # How answers look
    profile_answer: str = _open("a profile in the answer", "bare", "payload")
    missing_blocks: str = _open("blocks without data", "null", "absent", "object", "array")
    kids_shown: bool = _open("the full profile has kids", False, True)
    last_order_answer: str = _open("last_for_user", "array", "products", "data", "payload")
    # Limits, imports and the connection
    over_limit: int = _unasked("rate limits: over it", 429, 403, 503)
    retry_after: str = _unasked("rate limits: Retry-After", "seconds", "date", "absent")
    limit_headers: bool = _open("rate limits: announced in headers", False, True)
    oversize: int = _unasked("an import over the limit of bytes", 413, 400)
    imports_applied: str = _unasked("import processing", "in the background", "before the answer")
    compression: bool = _open("answers are compressed if asked for", False, True)
    keep_alive: bool = _open("connections are kept alive", True, False)

    def __attrs_post_init__(self) -> None:
        is_plain = not self.errors_at_200 or self.envelope not in ("bare message", "empty")
        expect(is_plain, "errors_at_200: expected an envelope that can be told from a success")

    @classmethod
    def of(cls, found: Mapping[str, Value]) -> Behaviour:
        """Make a behaviour of values by name; what is not named is as section 12 has it.

        :raises ConfigurationError: a name or a value is not one of the settings'.
        """
        unknown = sorted(found.keys() - POINTS.keys())
        expect(not unknown, f"behaviour: no such setting: {', '.join(unknown)}")
        return cls(**found)  # type: ignore[arg-type]  # the validators check them

    @classmethod
    def load(cls, path: Path | str) -> Behaviour:
        """Read the file that ``personaclick probe`` wrote.

        :raises ConfigurationError: it is not such a file.
        :raises OSError: it can't be read.
        """
        with Path(path).open("rb") as file:
            written = file.read(1024 * 1024)
        try:
            found = {**codec.decode(written)["behaviour"]}
        except (ValueError, TypeError, KeyError):
            raise ConfigurationError(f"{path}: expected a file of personaclick probe") from None
        return cls.of(found)


POINTS: Final[dict[str, Point]] = {at.name: at.metadata[_POINT] for at in attrs.fields(Behaviour)}
"""The open point of each setting of :class:`Behaviour`, by name."""
