"""The command line: ``personaclick``."""

from __future__ import annotations

import os
import signal
import sys

from personaclick_async.cli.process import Interrupted, on_signals, prepare_streams, stop


def main() -> None:
    """Run the command, or say how to install what it needs."""
    prepare_streams()
    on_signals(stop)
    try:
        from personaclick_async.cli.app import run  # noqa: PLC0415 - an extra

        run()
    except Interrupted as interrupted:
        if interrupted.untold:
            sys.stderr.write(f"{interrupted.untold}\n")
        sys.stdout.flush()
        # At once: a thread may be waiting for input that never comes.
        os._exit(int(interrupted.code or 0))
    except ModuleNotFoundError as missing:
        if missing.name not in ("typer", "rich"):
            raise
        sys.exit(
            f"personaclick: {missing.name} is not installed; "
            'install the extra: pip install "personaclick-async[cli]"'
        )
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "new thread" not in str(error):
            raise
        sys.exit(
            "personaclick: this process may not have more memory (ulimit -v) or threads "
            "(ulimit -u): raise the limit, then run the same command again"
        )
    finally:
        sys.stdout.flush()
        on_signals(signal.SIG_DFL)
