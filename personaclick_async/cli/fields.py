"""Profile fields from the command line: ``name=text`` and ``name:=json``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from personaclick_async import codec
from personaclick_async.errors import ValidationError
from personaclick_async.models.update import CLEAR, ProfileUpdate

_CUSTOM = "custom."
_NUMBERS = {"age", "loyalty_bonuses", "loyalty_bonuses_to_next_level"}
_BOOLEANS = {"bought_something"}
_WORDS = {"true": True, "yes": True, "false": False, "no": False}


def parse_fields(arguments: Iterable[str]) -> ProfileUpdate:
    """Make an update of ``first_name=Ada``, ``kids:=[{"gender": "f"}]``, ``custom.colour=red``.

    ``name:=null`` clears a field.

    :raises ValidationError: an argument has neither form, or a value breaks its field's rule.
    """
    fields: dict[str, Any] = {}
    custom: dict[str, Any] = {}
    for argument in arguments:
        name, separator, text = argument.partition("=")
        if not separator or not name:
            raise ValidationError("fields", "name=text or name:=json", "an argument without =")
        if name.endswith(":"):
            name, value = name[:-1], _json(name[:-1], text)
        else:
            value = _plain(name, text)
        if name.startswith(_CUSTOM):
            custom[name.removeprefix(_CUSTOM)] = value
        else:
            fields[name] = value
    return ProfileUpdate(**fields, custom=custom)


def _json(name: str, text: str) -> object:
    try:
        value = codec.decode(text.encode())
    except ValueError:
        raise ValidationError(name, "JSON after :=", f"{len(text)} characters of another") from None
    return CLEAR if value is None else value


def _plain(name: str, text: str) -> object:
    if name in _BOOLEANS:
        return _WORDS.get(text.lower(), text)
    if name in _NUMBERS:
        try:
            return int(text) if text.lstrip("-").isdecimal() else float(text)
        except ValueError:
            return text
    return text
