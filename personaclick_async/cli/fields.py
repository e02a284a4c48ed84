"""Profile fields from the command line: ``name=text`` and ``name:=json``."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final

from personaclick_async import codec
from personaclick_async.errors import PersonaClickError, ValidationError
from personaclick_async.models.fields import CLEAR, Kind
from personaclick_async.models.update import FIELDS, ProfileUpdate
from personaclick_async.names import ID

_CUSTOM: Final = "custom."
_WORDS: Final = {"true": True, "yes": True, "false": False, "no": False}
_KNOWN: Final = (*FIELDS, ID)


class UnknownField(PersonaClickError):
    """The command line names a field that there is not."""


def parse_fields(arguments: Iterable[str]) -> ProfileUpdate:
    """Return an update of ``first_name=Ada``, ``kids:=[{"gender": "f"}]``, ``custom.colour=red``.

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
        elif name in _KNOWN:
            fields[name] = value
        else:
            near = get_close_matches(name, _KNOWN, n=1)
            hint = f'did you mean "{near[0]}"? ' if near else ""
            raise UnknownField(
                f'unknown field "{name}"; {hint}A custom property is {_CUSTOM}{name}=value'
            )
    return ProfileUpdate(**fields, custom=custom)


def _json(name: str, text: str) -> object:
    try:
        value = codec.decode(text.encode())
    except ValueError:
        raise ValidationError(name, "JSON after :=", f"{len(text)} characters of another") from None
    return CLEAR if value is None else value


def _plain(name: str, text: str) -> object:
    kind = FIELDS[name].kind if name in FIELDS else None
    if kind is Kind.FLAG:
        return _WORDS.get(text.lower(), text)
    if kind is Kind.NUMBER:
        try:
            return int(text) if text.lstrip("-").isdecimal() else float(text)
        except ValueError:
            return text
    return text
