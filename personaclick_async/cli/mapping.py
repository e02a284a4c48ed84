"""The command ``mapping``: a proposal of which column becomes which field."""

from __future__ import annotations

import sys
from typing import Final

from personaclick_async.cli.options import AsJson, with_options
from personaclick_async.cli.outcome import fail, note, print_json
from personaclick_async.cli.reading import Reading
from personaclick_async.errors import PersonaClickError, ValidationError

_SAMPLE_ROWS: Final = 10_000


@with_options
def mapping(reading: Reading, *, as_json: AsJson = False) -> None:
    """Propose a mapping for a source, as TOML: check it, and give it to sync --map."""
    from personaclick_async.cli.syncing import stop_code  # noqa: PLC0415 - only here
    from personaclick_async.sync.proposal import propose_mapping  # noqa: PLC0415 - only here

    try:
        source = reading.open()
        sample = source.sample(_SAMPLE_ROWS)
        if not sample.rows:
            raise ValidationError(source.name, "rows of data", "none")
        proposal = propose_mapping(sample, country=reading.country)
    except PersonaClickError as error:
        fail(error, as_json=as_json, code=stop_code(error))
    if as_json:
        print_json({"mapping": proposal, "notices": list(source.notices)})
    else:
        for notice in source.notices:
            note(notice)
        sys.stdout.write(proposal)
