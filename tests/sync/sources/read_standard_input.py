"""Reads standard input as a source, in a process of its own, and says what it found."""

from __future__ import annotations

import json
import sys

from personaclick_async.sync.sources import open_source
from tests.sync.sources.conftest import PEOPLE, wires


def main() -> None:
    source = open_source("-", PEOPLE)
    json.dump({"fingerprint": source.fingerprint, "wires": wires(source.outcomes())}, sys.stdout)


if __name__ == "__main__":
    main()
