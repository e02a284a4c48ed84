"""The command and those of its parts that are about one user, and the emulator."""

from __future__ import annotations

from typing import Annotated

import typer

from personaclick_async._version import __version__
from personaclick_async.cli.fields import parse_fields
from personaclick_async.cli.options import (
    Connection,
    Reading,
    Sending,
    Sharing,
    UserOptions,
    command,
)
from personaclick_async.cli.outcome import EXIT_CODES, Output, cell, table_of
from personaclick_async.cli.probe import probe

app = typer.Typer(
    name="personaclick",
    help="The PersonaClick customer data platform: profiles, orders, and syncs of customers.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
profile = typer.Typer(help="Read and write one user's profile.", no_args_is_help=True)
orders = typer.Typer(help="Read one user's orders.", no_args_is_help=True)
app.add_typer(profile, name="profile")
app.add_typer(orders, name="orders")
app.command("probe")(command(probe))


@app.command()
@command
def sync(
    reading: Reading, *, sending: Sending, sharing: Sharing, connection: Connection, output: Output
) -> None:
    """Send every customer of a file, a query or a stream; resume after any interruption."""
    from personaclick_async.cli.syncing import run_sync  # noqa: PLC0415 - only this command

    run_sync(reading, sending, sharing, connection, output)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callbacks are like this
    if wanted:
        typer.echo(f"personaclick-async {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version."),
    ] = False,
) -> None:
    pass


@app.command()
@command
async def init(
    *,
    did: Annotated[str | None, typer.Option("--did", help="Keep this device.")] = None,
    connection: Connection,
    output: Output,
) -> None:
    """Start a session: get a device id and a session id."""
    async with connection.client() as client:
        session = (await client.init(did=did)).session
    if session is None:
        output.show_fields({})
    else:
        expires = session.expires_at and session.expires_at.isoformat(timespec="seconds")
        output.show_fields({"did": session.did, "seance": session.seance, "expires_at": expires})


@profile.command("get")
@command
async def get_profile(
    *,
    user: UserOptions,
    full: Annotated[bool, typer.Option("--full", help="All of it, with the secret.")] = False,
    connection: Connection,
    output: Output,
) -> None:
    """Show the profile of a device, or of a customer (with the secret)."""
    async with connection.client() as client:
        calls = user.of(client).profile
        found = await calls.full() if full else await calls.get()
    output.show_fields(found.raw)


@profile.command("set")
@command
async def set_profile(
    fields: Annotated[
        list[str],
        typer.Argument(
            help="first_name=Ada, age=36, custom.colour=red; JSON after := "
            '(kids:=\'[{"gender":"f"}]\'); null clears.',
            metavar="FIELD=VALUE…",
        ),
    ],
    *,
    user: UserOptions,
    connection: Connection,
    output: Output,
) -> None:
    """Update the profile of a device, or of a customer (with the secret)."""
    async with connection.client() as client:
        answer = await user.of(client).profile.raw.set(parse_fields(fields))
    output.show_fields(answer.json())


@orders.command("last")
@command
async def last_order(*, user: UserOptions, connection: Connection, output: Output) -> None:
    """Show the products of the last order."""
    async with connection.client() as client:
        bought = await user.of(client).orders.last_for_user()
    table = table_of("id", "name", "category", "price")
    for product in bought:
        category = product.categories[-1].name if product.categories else ""
        price = product.price_full_formatted or product.price_formatted or ""
        table.add_row(*map(cell, (product.id, product.name, category, price)))
    output.show([product.raw for product in bought], table if bought else "no order yet")


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def emulator(context: typer.Context) -> None:
    """Run the service on this machine, to develop and test against."""
    from personaclick_async.emulator.__main__ import main  # noqa: PLC0415 - a server, rarely used

    main(context.args)


@app.command()
@command
def mapping(reading: Reading, *, output: Output) -> None:
    """Propose a mapping for a source, as TOML: check it, and give it to sync --map."""
    from personaclick_async.cli.syncing import propose  # noqa: PLC0415 - only here

    propose(reading, output)
