"""One unmistakable value for each kind of secret or personal thing, and a nose for them in texts.

A canary counts as found in each form in which it could leak: as it is, in other case, a half,
percent-encoded (also twice), escaped as in JSON, HTML or a repr, base64, UTF-16, a phone with
other punctuation, a day written in another way.

The shop's public key is no canary, and neither are names of fields, sizes and row numbers.
"""

from __future__ import annotations

import base64
import html
import re
import traceback
from collections.abc import Iterator
from functools import cache
from typing import Any, Final
from urllib.parse import unquote

from personaclick_async.models.update import ProfileUpdate, to_wire

CANARIES: Final = {
    "shop_secret": "5eCr3t/k3y+0f=Fink&Co",
    "email": "kanari.o'hara+news@vogelnest-17.example",
    "phone": "79624135807",
    "first_name": "Żółtodziób",
    "last_name": "Öglein'Quist-Häher",
    "middle_name": "Kanarievna",
    "birthday": "1987-03-29",
    "kid_birthday": "2015-11-23",
    "vehicle": "WVWZZZ1JZKANARY17",
    "location": "Zeisigstraße 9/11",
    "loyalty_id": "LOYAL-STIEGLITZ-5531",
    "loyalty_status": "Gimpelkönig",
    "telegram_id": "tg_girlitz_90210",
    "fb_id": "fb.gruenfink.3371",
    "vk_id": "vk_buchfink_8842",
    "external_id": "hänfling 84/7 %b",
    "did": "deviceKernbeisser8Qz",
    "seance": "seanceBirkenzeisig3",
    "custom": 'likes "seeds" & \\nuts\\ at dawn',
    "custom_nested": "<b>innermost-Dompfaff</b>",
    "custom_number": "84620197355",
}
"""By name. They hold what tends to escape escaping: quotes, slashes, percent signs, letters."""

_PERSONAL: Final = frozenset(CANARIES) - {"shop_secret"}

# Each half has to be as unmistakable as the whole; that of a number may stand in any log.
_SHORTEST_HALF: Final = 5
_DAYS: Final = frozenset({"birthday", "kid_birthday"})
WHOLE_ONLY: Final = _DAYS | {"phone", "custom_number"}
_BASE64_LEAST: Final = 8

_PUNCTUATED: Final = re.compile(r"(?<=\d)[ ().\-+/]{1,3}(?=\d)")
_ESCAPED: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_BYTES: Final = re.compile(r"(?:\\x[0-9a-fA-F]{2})+")
_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_TIMES_ENCODED: Final = 3

UPDATE: Final[dict[str, Any]] = {
    **{
        name: CANARIES[name]
        for name in (
            *("email", "phone", "first_name", "last_name", "middle_name", "birthday", "location"),
            *("loyalty_id", "loyalty_status", "telegram_id", "fb_id", "vk_id", "external_id"),
        )
    },
    "kids": [{"gender": "f", "birthday": CANARIES["kid_birthday"]}],
    "auto": [{"brand": "VW", "vds": CANARIES["vehicle"]}],
    "custom": {
        "habit": CANARIES["custom"],
        "nested": {"a": [{"b": CANARIES["custom_nested"]}]},
        "card": int(CANARIES["custom_number"]),
    },
}
"""What ``profile.set`` takes, with a canary in every place that takes one."""

BY_IDENTIFIER: Final = ("email", "phone", "external_id", "loyalty_id", "telegram_id")


def flat_row() -> dict[str, Any]:
    """Give the same as a row of a sync: flat, custom properties beside the fields."""
    row = dict(to_wire(ProfileUpdate(**UPDATE)))
    return {"external_id": row.pop("id"), **row}


def answered_profile() -> dict[str, Any]:
    """Give a full profile as the service would answer it, with a canary wherever one fits."""
    row = {name: value for name, value in UPDATE.items() if name not in {"custom", "auto"}}
    return {**row, "id": "1", "did": CANARIES["did"], "custom_properties": UPDATE["custom"]}


def found_in(output: object) -> list[str]:
    """Name the canaries in a text or in bytes of any encoding; never says what it found."""
    text = _text(output)
    views = set(_views(text))
    return [
        name for name in CANARIES if any(form in view for view in views for form in _forms(name))
    ]


def personal_in(output: object) -> list[str]:
    """Name those about a person, where a secret can't be."""
    return [name for name in found_in(output) if name in _PERSONAL]


def shown_by(error: BaseException) -> str:
    """Give all that an error shows to whoever prints, logs or walks it, with its relatives."""
    shown: list[str] = []
    for one in _relatives(error):
        shown += [str(one), repr(one), repr(one.args), ascii(vars(one)), f"{one!s:.500}"]
        shown += traceback.format_exception(one)
        shown += getattr(one, "__notes__", [])
    return "\n".join(shown)


def _relatives(error: BaseException) -> Iterator[BaseException]:
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]


def _text(output: object) -> str:
    if isinstance(output, bytes):
        wide = output.decode("utf-16-le", "replace") + output[1:].decode("utf-16-le", "replace")
        return "\n".join((output.decode("utf-8", "replace"), output.decode("latin-1"), wide))
    if not isinstance(output, str):
        raise TypeError("found_in looks through texts and bytes")
    return output


def _views(text: str) -> Iterator[str]:
    """Give a text with each kind of escape undone, as often as it may have been done."""
    yield _PUNCTUATED.sub("", text)
    for undo in (
        unquote,
        html.unescape,
        _unescaped,
        _of_bytes,
        lambda one: unquote(one.replace("+", " ")),
    ):
        seen = text
        yield seen.casefold()
        for _ in range(_TIMES_ENCODED):
            after = undo(seen)
            if after == seen:
                break
            seen = after
            yield seen.casefold()
    yield text  # base64 knows of case


def _of_bytes(text: str) -> str:
    def undo(found: re.Match[str]) -> str:
        return bytes.fromhex(found[0].replace("\\x", "")).decode("utf-8", "replace")

    return _BYTES.sub(undo, text)


def _unescaped(text: str) -> str:
    def undo(found: re.Match[str]) -> str:
        number = found[1] or found[2]
        return chr(int(number, 16)) if number else _CONTROLS.get(found[3], found[3])

    return _ESCAPED.sub(undo, text) if "\\" in text else text


@cache
def _forms(name: str) -> frozenset[str]:
    value = CANARIES[name]
    parts = {value}
    if name not in WHOLE_ONLY:
        middle = len(value) // 2
        parts |= {value[:middle], value[middle:]}
        assert all(len(part) >= _SHORTEST_HALF for part in parts), name
    if name == "email":
        parts |= set(value.split("@"))
    if name == "phone":
        parts.add(value[1:])  # without the country's digit
    forms = {part.casefold() for part in parts}
    # JSON and repr() write these differently; undoing all escapes takes away the backslashes.
    forms |= {_unescaped(form) for form in forms}
    if name in _DAYS:
        year, month, day = (int(part) for part in value.split("-"))
        forms |= {f"date({year}, {month}, {day})", f"{day:02}.{month:02}.{year}"}
        forms |= {f"{year}{month:02}{day:02}", f"{month:02}/{day:02}/{year}"}
    return frozenset(forms | set(_base64_of(value.encode())))


def _base64_of(value: bytes) -> Iterator[str]:
    """Give what is in any base64 of bytes that hold the value, wherever it begins in them."""
    for before in range(3):
        inner = base64.b64encode(bytes(before) + value)
        # The first and the last group depend on what stands around.
        kept = inner[4 if before else 0 : -4].decode()
        if len(kept) >= _BASE64_LEAST:
            yield kept
            yield kept.replace("+", "-").replace("/", "_")
