"""The command ``personaclick`` and its parts; what a sync does is in :mod:`.syncing`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from personaclick_async import codec
from personaclick_async._version import __version__
from personaclick_async.cli.options import Connection, Probing, Reading, Syncing, UserId, command
from personaclick_async.cli.outcome import EXIT_CODES, Exit, Output, table
from personaclick_async.cli.process import run_interruptibly
from personaclick_async.errors import ConfigurationError, PersonaClickError, ValidationError
from personaclick_async.models.identity import Identity
from personaclick_async.models.update import CLEAR, FIELDS, Kind, ProfileUpdate
from personaclick_async.names import ID

_CUSTOM: Final = "custom."
_WORDS: Final = {"true": True, "yes": True, "false": False, "no": False}
_KNOWN: Final = (*FIELDS, ID)
_USAGE_ERROR: Final[Any] = typer.BadParameter.__base__  # Typer exports only its subclasses
_VERDICTS: Final = {"agrees": "green", "differs": "yellow", "contradicted": "bold red"}

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


def run() -> None:
    """Run the command line; with ``--json``, what is wrong with it is JSON, too."""
    output = Output(as_json="--json" in sys.argv)
    try:
        sys.exit(app(prog_name="personaclick", standalone_mode=not output.as_json))
    except _USAGE_ERROR as error:
        output.complain("UsageError", error.format_message())
        sys.exit(Exit.USAGE)
    except typer.Abort:  # a question was not answered
        sys.exit(Exit.FAILED)


@app.command()
@command
def sync(*, given: Syncing, connection: Connection, output: Output) -> None:
    """Send every customer of a file, a query or a stream; resume after any interruption."""
    from personaclick_async.cli.syncing import run_sync  # noqa: PLC0415 - only this command

    run_sync(given, connection, output)


@app.callback(invoke_without_command=True)
def _options(
    *, version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False
) -> None:
    if version:
        typer.echo(f"personaclick-async {__version__}")
        raise typer.Exit


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
    expires = session.expires_at and session.expires_at.isoformat(timespec="seconds")
    output.show_fields({"did": session.did, "seance": session.seance, "expires_at": expires})


@profile.command("get")
@command
async def get_profile(
    *,
    user: UserId,
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
    *,
    fields: Annotated[
        list[str],
        typer.Argument(
            help="first_name=Ada, age=36, custom.colour=red; JSON after := "
            '(kids:=\'[{"gender":"f"}]\'); null clears.',
            metavar="FIELD=VALUE…",
        ),
    ],
    user: UserId,
    connection: Connection,
    output: Output,
) -> None:
    """Update the profile of a device, or of a customer (with the secret)."""
    async with connection.client() as client:
        answer = await user.of(client).profile.raw.set(_parse_fields(fields))
    output.show_fields(answer.json())


@orders.command("last")
@command
async def last_order(*, user: UserId, connection: Connection, output: Output) -> None:
    """Show the products of the last order."""
    async with connection.client() as client:
        bought = await user.of(client).orders.last_for_user()
    rows = []
    for product in bought:
        category = product.categories[-1].name if product.categories else ""
        price = product.price_full_formatted or product.price_formatted or ""
        rows.append((product.id, product.name, category, price))
    shown = table(rows, "id", "name", "category", "price") if bought else "no order yet"
    output.show([product.raw for product in bought], shown)


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
def mapping(*, reading: Reading, output: Output) -> None:
    """Propose a mapping for a source, as TOML: check it, and give it to sync --map."""
    from personaclick_async.cli.syncing import propose  # noqa: PLC0415 - only here

    propose(reading, output)


@app.command()
@command
def probe(*, given: Probing, connection: Connection, output: Output) -> None:
    """Ask a shop how the service behaves where no document says so.

    At most 60 requests, none repeated, none an import.

    The file has no values and no secret; personaclick-emulator --as FILE behaves as the shop did.
    """
    from personaclick_async import probe as probing  # noqa: PLC0415 - the emulator comes with it

    if given.write and not given.yes:
        typer.confirm(f"This writes {probing.WRITES}.\nGo on?", abort=True, err=True)
    config = connection.client().config
    customer = None
    if given.customer is not None:
        if config.shop_secret is None:
            raise ConfigurationError("--customer: shop_secret is needed")
        kind, separator, value = given.customer.partition("=")
        if not separator:
            raise ValidationError("customer", "email=…, phone=… or the like", "a text without =")
        customer = dict([Identity.of(**{kind: value})])
    asking = probing.probe(
        config.shop_id,
        shop_secret=config.shop_secret,
        api_url=config.api_url,
        write=given.write,
        customer=customer,
        pause=given.pause,
        progress=lambda what: output.note(f"asking about {what}"),
    )
    report = run_interruptibly(asking)
    found = report.to_json()
    rows = []
    for one in report.findings:
        observed = "" if one.observed is None else _word(one.observed)
        comment = f"({one.note})" if one.note else ""
        verdict = Text(one.verdict, _VERDICTS.get(one.verdict, "dim"))
        rows.append((one.point, _word(one.assumed), f"{observed} {comment}".strip(), verdict))
    shown = table(rows, "open point", "assumed", "observed", "")
    output.show(found, shown, "", f"{report.requests} requests")
    for contradiction in report.contradictions:
        output.complain("Contradicted", contradiction)
    try:
        given.path.write_text(json.dumps(found, indent=2) + "\n")
    except OSError as error:
        output.complain("OSError", f"{given.path}: {error.strerror}")
        raise typer.Exit(Exit.FAILED) from None
    output.note(f"written to {given.path}")
    if report.contradictions:
        raise typer.Exit(Exit.FAILED)


def _word(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


class UnknownField(PersonaClickError):
    """The command line names a field that there is not."""


def _parse_fields(arguments: Iterable[str]) -> ProfileUpdate:
    """Return an update of ``age=36``, ``kids:=[{"gender":"f"}]``, ``age:=null``, ``custom.x=y``."""
    fields: dict[str, Any] = {}
    custom: dict[str, Any] = {}
    for argument in arguments:
        given, separator, text = argument.partition("=")
        name = given.removesuffix(":")
        if not separator or not name:
            raise ValidationError("fields", "name=text or name:=json", "another form")
        if name in fields or name.removeprefix(_CUSTOM) in custom:
            raise ValidationError(name, "one value", "two")
        value = _plain(name, text) if name == given else _json(name, text)
        if name.startswith(_CUSTOM):
            custom[name.removeprefix(_CUSTOM)] = value
        elif name in _KNOWN:
            fields[name] = value
        else:
            near = get_close_matches(name, _KNOWN, n=1)
            hint = f'did you mean "{near[0]}"? ' if near else ""
            raise UnknownField(
                f'unknown field "{name}"; {hint}A custom property is {_CUSTOM}{name}=value'
            )
    return ProfileUpdate(**fields, custom=custom)


def _json(name: str, text: str) -> object:
    try:
        value = codec.decode(text.encode())
    except ValueError:
        raise ValidationError(name, "JSON after :=", f"{len(text)} characters of another") from None
    return CLEAR if value is None else value


def _plain(name: str, text: str) -> object:
    kind = FIELDS[name].kind if name in FIELDS else None
    if kind is Kind.FLAG:
        return _WORDS.get(text.lower(), text)
    if kind is Kind.NUMBER:
        with suppress(ValueError):
            return int(text) if text.lstrip("-").isdecimal() else float(text)
    return text
