"""What is known of a field of a profile, in one place: emulator, mapping, CLI and docs read it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import attrs


class Kind(StrEnum):
    """What a field holds."""

    TEXT = "text"
    EMAIL = "email"
    PHONE = "phone"
    IDENTIFIER = "identifier"
    """A text that may be given as a number: ``"A-7"``, 100500."""
    GENDER = "gender"
    NUMBER = "number"
    FLAG = "flag"
    DAY = "day"
    OBJECTS = "objects"
    """A list of JSON objects, such as ``kids``."""


@attrs.frozen
class Field:
    """The facts of one field.

    :ivar rule: accepts a value, and returns it in the wire's form.
    :ivar kind: what the field holds.
    :ivar in_full_answer: whether the full profile has it (protocol, section 4.2).
    :ivar column_names: what columns of files that hold it are called, besides its own name: in
        small letters, without spaces and signs; the surest first.
    """

    rule: Callable[[str, object], Any]
    kind: Kind
    in_full_answer: bool = True
    column_names: tuple[str, ...] = ()
