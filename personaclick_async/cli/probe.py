"""``personaclick probe``: ask a real shop what no document says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from personaclick_async.cli.options import AsJson, Connection, with_options
from personaclick_async.cli.outcome import Exit, cell, complain, console, note, print_json, run, say
from personaclick_async.errors import ConfigurationError, ValidationError
from personaclick_async.models.identity import Identity

if TYPE_CHECKING:
    from personaclick_async.emulator.settings import Value
    from personaclick_async.probe import ProbeReport

_STYLES: Final = {"agrees": "green", "differs": "yellow", "contradicted": "bold red"}


@with_options
def probe(
    *,
    connection: Connection,
    write: Annotated[
        bool, typer.Option("--write", help="Write to a device made for the purpose, too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking first.")] = False,
    customer: Annotated[
        str | None,
        typer.Option(
            "--customer",
            metavar="KIND=VALUE",
            help="A customer whose profile's keys and types may be looked at: email=… or the like.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where to write what was found.")
    ] = Path("probe.json"),
    pause: Annotated[
        float, typer.Option("--pause", min=0, help="Seconds between two requests.")
    ] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Ask a shop how the service behaves where no document says so.

    At most 60 requests, none repeated, none an import. The file has no values and no secret;
    personaclick-emulator --as FILE behaves as the shop did.
    """
    # The emulator comes with it, which other commands do without.
    from personaclick_async.probe import WRITES  # noqa: PLC0415
    from personaclick_async.probe import probe as ask  # noqa: PLC0415

    if write and not yes:
        note(f"This writes {WRITES}.")
        typer.confirm("Go on?", abort=True, err=True)

    async def work() -> ProbeReport:
        async with connection.client() as client:
            config = client.config
        if customer is not None and config.shop_secret is None:
            raise ConfigurationError("--customer: shop_secret is needed")
        return await ask(
            config.shop_id,
            shop_secret=config.shop_secret,
            api_url=config.api_url,
            write=write,
            customer=None if customer is None else _identifier(customer),
            pause=pause,
            progress=lambda what: note(f"asking about {what}"),
        )

    report = run(work(), as_json=as_json)
    found = report.to_json()
    try:
        output.write_text(json.dumps(found, indent=2) + "\n")
    except OSError as error:
        complain("OSError", f"{output}: {error.strerror}", as_json=as_json)
        raise typer.Exit(Exit.FAILED) from None
    if as_json:
        print_json(found)
    else:
        _show(report, output)
    if report.contradictions:
        raise typer.Exit(Exit.FAILED)


def _identifier(text: str) -> dict[str, str]:
    kind, separator, value = text.partition("=")
    if not separator:
        raise ValidationError("customer", "email=…, phone=… or the like", "a text without =")
    identity = Identity.of(**{kind: value})
    return {identity.kind: identity.value}


def _show(report: ProbeReport, output: Path) -> None:
    table = Table("open point", "assumed", "observed", "", box=None, pad_edge=False)
    for one in report.findings:
        observed = "" if one.observed is None else _word(one.observed)
        comment = f"({one.note})" if one.note else ""
        verdict = cell(one.verdict)
        verdict.stylize(_STYLES.get(one.verdict, "dim"))
        cells = (one.words, _word(one.assumed), f"{observed} {comment}".strip())
        table.add_row(*map(cell, cells), verdict)
    console.print(table)
    say("")
    say(f"{report.requests} requests; written to {output}")
    for contradiction in report.contradictions:
        complain("Contradicted", contradiction, as_json=False)


def _word(value: Value) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
