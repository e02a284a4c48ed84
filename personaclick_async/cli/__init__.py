"""The command line: ``personaclick``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command, or say how to install what it needs."""
    try:
        from personaclick_async.cli.app import app  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as missing:
        if missing.name not in ("typer", "rich"):
            raise
        sys.exit(
            f"personaclick: {missing.name} is not installed; "
            'install the extra: pip install "personaclick-async[cli]"'
        )
    app()
