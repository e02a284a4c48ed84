"""Mappings: which column of a source becomes which field, and how; written as TOML."""

from personaclick_async.sync.mapping.compiled import CompiledMapping
from personaclick_async.sync.mapping.definition import FieldMapping
from personaclick_async.sync.mapping.kinds import Case, Kind
from personaclick_async.sync.mapping.origin import Origin

__all__ = ["Case", "CompiledMapping", "FieldMapping", "Kind", "Origin"]
