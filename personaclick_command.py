"""The command ``personaclick``: from its first moment a signal ends it without a traceback.

It lies beside the package, because importing anything of the package imports the client first,
and Ctrl-C in that fifth of a second would print a traceback of imports.
"""

from __future__ import annotations

import os
import signal
from types import FrameType


def main() -> None:
    """Run the command."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    from personaclick_async.cli import main as run  # noqa: PLC0415 - see the module's docstring

    run()


def _leave(number: int, _frame: FrameType | None) -> None:
    os.write(2, b"interrupted\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
