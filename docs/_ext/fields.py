"""The table of a profile's fields: ``.. profile-fields::`` writes it from the model's own facts."""

# ruff: noqa: INP001

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from personaclick_async.models.update import FIELDS


class ProfileFields(SphinxDirective):
    """A table of fields, those of one rule together, with what the rule says it accepts."""

    def run(self) -> list[nodes.Node]:
        """Write the table."""
        by_rule: dict[Callable[..., Any], list[str]] = {}
        for name, field in FIELDS.items():
            by_rule.setdefault(field.rule, []).append(name)
        lines = [".. list-table::", "   :header-rows: 1", "", "   * - field", "     - takes"]
        for rule, names in by_rule.items():
            listed = ", ".join(f"``{name}``" for name in names)
            lines += [f"   * - {listed}", f"     - {_accepted(rule)}"]
        return self.parse_text_to_nodes(StringList([*lines, ""], source=__file__))


def _accepted(rule: Callable[..., Any]) -> str:
    first = (rule.__doc__ or "").partition("\n\n")[0]
    return " ".join(first.split()).removeprefix("Accept ").removesuffix(".")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register with Sphinx."""
    app.add_directive("profile-fields", ProfileFields)
    return {"parallel_read_safe": True}
