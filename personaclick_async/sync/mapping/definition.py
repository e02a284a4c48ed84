"""A mapping as a whole: every field with its origin, and what holds for all of them."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Final

import attrs

from personaclick_async import codec
from personaclick_async.errors import ConfigurationError, ValidationError
from personaclick_async.models.update import RESERVED_NAMES, custom_name
from personaclick_async.names import EXTERNAL_ID, ID, IDENTIFIERS
from personaclick_async.sync.mapping.changes import Changes
from personaclick_async.sync.mapping.compiled import CompiledMapping
from personaclick_async.sync.mapping.origin import STANDARD_KINDS, Kind, Origin
from personaclick_async.sync.mapping.phones import check_country
from personaclick_async.sync.mapping.toml import read_toml

# Part of every fingerprint: to be raised when the same mapping comes to mean something else.
_MEANING: Final = "mapping 2"
_MOST_LISTED: Final = 30
_MOST_BYTES: Final = 1024 * 1024
# An address, a phone number, a date.
_DATA: Final = re.compile(r"@|[0-9]{5}|[0-9][-/.][0-9]+[-/.][0-9]")


@attrs.frozen(kw_only=True)
class FieldMapping:
    """Which column of a source becomes which field, and how.

    :ivar fields: the origin of each field, by name: standard fields and custom properties.
    :ivar required: the fields without which a row is rejected.
    :ivar changes: counts what the mapping changes in the rows; no part of what it means.
    """

    fields: Mapping[str, Origin] = attrs.field(hash=False)
    required: tuple[str, ...] = ()
    changes: Changes | None = attrs.field(default=None, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not any(name in self.fields for name in IDENTIFIERS):
            raise ConfigurationError(
                f"mapping: expected a column for at least one of {', '.join(IDENTIFIERS)}"
            )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> FieldMapping:
        """Read a mapping from a TOML file.

        :raises ConfigurationError: there is no such file, or it is not a mapping; names the key.
        """
        name = Path(path).name
        try:
            with Path(path).open("rb") as file:  # perhaps a device, which never ends
                content = file.read(_MOST_BYTES + 1)
            if len(content) > _MOST_BYTES:
                raise ConfigurationError(f"{name}: expected a mapping, got more than 1 MiB")
            text = content.decode("utf-8-sig")
        except OSError as error:
            raise ConfigurationError(f"{name}: can't be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{name}: expected TOML in UTF-8") from None
        return cls.parse(text, name=name)

    @classmethod
    def parse(cls, text: str, *, name: str = "mapping") -> FieldMapping:
        """Read a mapping from TOML.

        :param name: what errors call it.
        :raises ConfigurationError: it is not a mapping; names the key.
        """
        fields, required = read_toml(text, name)
        try:
            return cls(fields=fields, required=required)
        except ConfigurationError as error:
            raise ConfigurationError(f"{name}: {error}") from None

    @classmethod
    def by_name(cls, columns: Iterable[str]) -> FieldMapping:
        """Map columns that are called as the fields are; all others are custom properties.

        :raises ConfigurationError: a column's name is not one that a custom property can have.
        """
        fields: dict[str, Origin] = {}
        for column in columns:
            name = EXTERNAL_ID if column == ID else column
            if name in fields:
                raise ConfigurationError(f"mapping: expected one column for {name}, found two")
            if name not in STANDARD_KINDS:
                try:
                    custom_name(name)
                except ValidationError:
                    if name in RESERVED_NAMES:
                        raise ConfigurationError(
                            f"column {name!r}: expected another name, as this one is reserved; "
                            "a mapping can give it one"
                        ) from None
                    # The column is not named: in a file without a header it is somebody's data.
                    raise ConfigurationError(
                        "mapping: expected a mapping, or columns named as the fields are"
                        f" (letters, digits and _); column {len(fields) + 1} is not"
                    ) from None
            kind = STANDARD_KINDS.get(name, Kind.ANY)
            fields[name] = Origin(kind=kind, columns=(column,))
        return cls(fields=fields)

    def with_country(self, country: str) -> FieldMapping:
        """Return the mapping with a country for the phone numbers of which it says none.

        :param country: two capital letters, such as ``CH``.
        :raises ConfigurationError: there is no such country, or the extra ``phones`` is missing.
        """
        check_country(country)
        fields = {
            name: attrs.evolve(origin, country=country)
            if origin.kind is Kind.PHONE and origin.country is None
            else origin
            for name, origin in self.fields.items()
        }
        return attrs.evolve(self, fields=fields)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the mapping reads, once."""
        return tuple(
            dict.fromkeys(one for origin in self.fields.values() for one in origin.columns)
        )

    @property
    def fingerprint(self) -> str:
        """A hash that changes when the mapping comes to mean something else.

        The order of its lines, its comments and its spelling do not count.
        """
        fields = {name: _canonical(origin) for name, origin in sorted(self.fields.items())}
        whole = codec.encode([_MEANING, fields, sorted(self.required)])
        return hashlib.sha256(whole).hexdigest()

    def compile(
        self, header: Sequence[str], *, columns: Sequence[str] | None = None
    ) -> CompiledMapping:
        """Make what turns rows under this header into outcomes.

        :param header: the columns' names.
        :param columns: the names to use in rejected rows, if some of the header's are the same.
        :raises ConfigurationError: a column of the mapping is not there, or twice.
        """
        counted = Counter(header)
        for name, origin in self.fields.items():
            for column in origin.columns:
                if counted[column] != 1:
                    raise ConfigurationError(_no_column(name, column, header))
        return CompiledMapping(
            self.fields,
            required=self.required,
            header=header,
            columns=header if columns is None else columns,
            changes=self.changes,
        )


def _canonical(origin: Origin) -> dict[str, object]:
    plain = attrs.asdict(origin, recurse=False)
    plain["absent"] = sorted(origin.absent)
    plain["values"] = sorted(origin.values.items())
    return plain


def _no_column(name: str, column: str, header: Sequence[str]) -> str:
    if column in header:
        return f"column {column!r} (for {name}): expected once, found {header.count(column)} times"
    if looks_like_data(header):
        return f"column {column!r} (for {name}): not in the source; there are {len(header)} others"
    close = get_close_matches(column, header, n=1)
    nearest = f"; did you mean {close[0]!r}?" if close else ""
    listed = ", ".join(map(repr, header[:_MOST_LISTED]))
    more = ", …" if len(header) > _MOST_LISTED else ""
    return f"column {column!r} (for {name}): not in the source{nearest} (columns: {listed}{more})"


def looks_like_data(header: Iterable[str]) -> bool:
    """Return whether names of columns are somebody's data, so that they must not be shown."""
    return any(_DATA.search(name) or not name.isprintable() for name in header)
