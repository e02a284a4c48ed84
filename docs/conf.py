"""How the documentation is built: ``python -m sphinx -W -b html docs docs/_build/html``."""

# ruff: noqa: INP001

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

from personaclick_async import __version__  # noqa: E402 - found by the path above

project = "personaclick-async"
author = "the personaclick-async developers"
version = release = __version__
project_copyright = author

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "api",
    "command",
    "fields",
    "generated",
    "protocol",
]
exclude_patterns = ["_build", "_ext", "_generated", "_pictures"]

# Prose

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
copybutton_exclude = ".linenos, .gp, .go"

# The reference

add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 110
toc_object_entries_show_parents = "hide"

nitpicky = True
nitpick_ignore_regex = [
    # The standard library and the libraries that we build on; their pages are not asked for.
    (r"py:.*", r"(?!personaclick_async)[\w.]+\.[\w.]+"),
    (r"py:.*", r"date|timedelta|Decimal|Client|DataFrame|Engine|Sent|Clear|CustomValue|Named"),
    # Types of modules that are private: their names stand in signatures and say enough there.
    (r"py:.*", r"personaclick_async\.(\w+\.)+\w+"),
    # Sphinx does not take these apart.
    (r"py:.*", r"collections\.abc\.\w+\[.*"),
]

# The looks

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "personaclick-async"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {
        "color-brand-primary": "#1d4ed8",
        "color-brand-content": "#1d4ed8",
        "color-brand-visited": "#1d4ed8",
    },
    "dark_css_variables": {
        "color-brand-primary": "#93b4ff",
        "color-brand-content": "#93b4ff",
        "color-brand-visited": "#93b4ff",
    },
}
