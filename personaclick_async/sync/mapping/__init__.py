"""Mappings: which column of a source becomes which field, and how; written as TOML."""

from personaclick_async.models.update import Kind
from personaclick_async.sync.mapping.definition import (
    Change,
    Changes,
    CompiledMapping,
    FieldMapping,
)
from personaclick_async.sync.mapping.origin import Case, Invalid, Origin, Part

__all__ = ["Case", "Change", "Changes", "CompiledMapping", "FieldMapping", "Invalid", "Kind"]
__all__ += ["Origin", "Part"]
