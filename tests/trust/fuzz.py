"""Coverage-guided fuzzing with atheris, for as long as you like: not a part of the test run.

    python -m tests.trust.fuzz parser --seconds 600

Needs ``pip install atheris``. Starts from the inputs in ``tests/trust/inputs`` and from those of
the JSON test suite where the sample data is; keeps what reaches new code in a folder that
``--corpus`` names. An input that breaks a promise is written to ``--found``: move it into
``tests/trust/inputs``, where the normal test run reads it for ever.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.trust.found import FOUND, seeds

try:
    import atheris
except ImportError:
    sys.exit("atheris is not installed: pip install atheris")

with atheris.instrument_imports(include=["personaclick_async"]):
    from tests.trust.targets import TARGETS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, help="a folder to keep telling inputs in")
    parser.add_argument("--found", type=Path, default=FOUND, help="where to put what breaks")
    parser.add_argument("--longest", type=int, default=4096, help="bytes of an input")
    options = parser.parse_args()

    target = TARGETS[options.target]
    with tempfile.TemporaryDirectory() as temporary:
        corpus = options.corpus or Path(temporary)
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds(options.target)):
            (corpus / f"seed-{number}").write_bytes(seed)
        prefix = options.found / options.target
        prefix.mkdir(parents=True, exist_ok=True)
        flags = [
            f"-max_total_time={options.seconds}",
            f"-max_len={options.longest}",
            f"-artifact_prefix={prefix}{os.sep}",
            "-timeout=10",
            "-rss_limit_mb=2048",
        ]
        atheris.Setup([sys.argv[0], *flags, str(corpus)], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
