"""Tables of the command's options: ``.. command-options:: sync`` writes one from the command."""

# ruff: noqa: INP001

from __future__ import annotations

import re
from typing import Any

import typer
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from personaclick_async.cli.app import app as personaclick


class CommandOptions(SphinxDirective):
    """A table of a command's options: those of one panel of its help."""

    required_arguments = 1
    final_argument_whitespace = True
    option_spec = {"panel": directives.unchanged}  # noqa: RUF012 - as Sphinx declares it

    def run(self) -> list[nodes.Node]:
        """Write the table."""
        found: Any = typer.main.get_command(personaclick)
        for word in self.arguments[0].split():
            found = found.commands[word]
        lines = [".. list-table::", "   :header-rows: 1", "", "   * - option", "     - for"]
        for one in found.params:
            if one.rich_help_panel != self.options.get("panel") or one.param_type_name != "option":
                continue
            names = ", ".join(f"``{name}``" for name in [*one.opts, *one.secondary_opts])
            lines += [f"   * - {names}", f"     - {_described(one)}"]
        return self.parse_text_to_nodes(StringList([*lines, ""], source=__file__))


def _described(option: Any) -> str:  # noqa: ANN401 - Typer does not export its class
    # An option's name in the text as code, whose hyphens are not made a dash.
    text = re.sub(r"--[a-z-]+", r"``\g<0>``", option.help)
    if option.envvar:
        text += f" Environment: ``{option.envvar}``."
    if not option.is_flag and option.default is not None:
        text += f" Default: ``{option.default}``."
    return text


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register with Sphinx."""
    app.add_directive("command-options", CommandOptions)
    return {"parallel_read_safe": True}
