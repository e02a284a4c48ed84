"""The command and those of its parts that are about one user, and the emulator."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Final, TypeVar

import typer

from personaclick_async._version import __version__
from personaclick_async.cli.fields import parse_fields
from personaclick_async.cli.options import (
    AsJson,
    Connection,
    Reading,
    Sending,
    Sharing,
    UserOptions,
    with_options,
)
from personaclick_async.cli.outcome import (
    EXIT_CODES,
    cell,
    console,
    fail,
    note,
    print_json,
    run,
    say,
    show_fields,
    table_of,
)
from personaclick_async.cli.probe import probe
from personaclick_async.client import PersonaClick
from personaclick_async.codec import Json
from personaclick_async.errors import PersonaClickError, ValidationError
from personaclick_async.models.order import Product

T = TypeVar("T")

_SAMPLE_ROWS: Final = 10_000

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
app.command("probe")(probe)


@app.command()
@with_options
def sync(
    reading: Reading,
    *,
    sending: Sending,
    sharing: Sharing,
    connection: Connection,
    as_json: AsJson = False,
) -> None:
    """Send every customer of a file, a query or a stream; resume after any interruption."""
    from personaclick_async.cli.syncing import run_sync  # noqa: PLC0415 - only this command

    run_sync(reading, sending, sharing, connection, as_json=as_json)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callbacks are like this
    if wanted:
        say(f"personaclick-async {__version__}")
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
@with_options
def init(
    *,
    did: Annotated[str | None, typer.Option("--did", help="Keep this device.")] = None,
    connection: Connection,
    as_json: AsJson = False,
) -> None:
    """Start a session: get a device id and a session id."""

    async def ask(client: PersonaClick) -> dict[str, Json]:
        session = (await client.init(did=did)).session
        if session is None:
            return {}
        return {
            "did": session.did,
            "seance": session.seance,
            "expires_at": session.expires_at and session.expires_at.isoformat(timespec="seconds"),
        }

    show_fields(_answer(connection, ask, as_json=as_json), as_json=as_json)


@profile.command("get")
@with_options
def get_profile(
    *,
    user: UserOptions,
    full: Annotated[bool, typer.Option("--full", help="All of it, with the secret.")] = False,
    connection: Connection,
    as_json: AsJson = False,
) -> None:
    """Show the profile of a device, or of a customer (with the secret)."""

    async def ask(client: PersonaClick) -> dict[str, Json]:
        calls = user.of(client).profile
        return (await calls.full() if full else await calls.get()).raw

    show_fields(_answer(connection, ask, as_json=as_json), as_json=as_json)


@profile.command("set")
@with_options
def set_profile(
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
    as_json: AsJson = False,
) -> None:
    """Update the profile of a device, or of a customer (with the secret)."""

    async def ask(client: PersonaClick) -> dict[str, Json]:
        update = parse_fields(fields)
        answer: dict[str, Json] = (await user.of(client).profile.raw.set(update)).json()
        return answer

    show_fields(_answer(connection, ask, as_json=as_json), as_json=as_json)


@orders.command("last")
@with_options
def last_order(*, user: UserOptions, connection: Connection, as_json: AsJson = False) -> None:
    """Show the products of the last order."""

    async def ask(client: PersonaClick) -> list[Product]:
        return await user.of(client).orders.last_for_user()

    bought = _answer(connection, ask, as_json=as_json)
    if as_json:
        print_json([product.raw for product in bought])
    elif not bought:
        say("no order yet")
    else:
        table = table_of("id", "name", "category", "price")
        for product in bought:
            category = product.categories[-1].name if product.categories else ""
            price = product.price_full_formatted or product.price_formatted or ""
            table.add_row(*map(cell, (product.id, product.name, category, price)))
        console.print(table)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def emulator(context: typer.Context) -> None:
    """Run the service on this machine, to develop and test against."""
    from personaclick_async.emulator.__main__ import main  # noqa: PLC0415 - a server, rarely used

    main(context.args)


@app.command()
@with_options
def mapping(reading: Reading, *, as_json: AsJson = False) -> None:
    """Propose a mapping for a source, as TOML: check it, and give it to sync --map."""
    from personaclick_async.sync.proposal import propose_mapping  # noqa: PLC0415 - only here

    try:
        source = reading.open()
        sample = source.sample(_SAMPLE_ROWS)
        if not sample.rows:
            raise ValidationError(source.name, "rows of data", "none")
        proposal = propose_mapping(sample, country=reading.country)
    except PersonaClickError as error:
        fail(error, as_json=as_json)
    if as_json:
        print_json({"mapping": proposal, "notices": list(source.notices)})
    else:
        for notice in source.notices:
            note(notice)
        sys.stdout.write(proposal)


def _answer(
    connection: Connection, ask: Callable[[PersonaClick], Awaitable[T]], *, as_json: bool
) -> T:
    async def work() -> T:
        async with connection.client() as client:
            return await ask(client)

    return run(work(), as_json=as_json)
