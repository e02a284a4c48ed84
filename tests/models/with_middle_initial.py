"""Look for a field that the model alone declares, wherever a user would."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from sphinx.cmd.build import main as build
from typer.testing import CliRunner

from personaclick_async import PersonaClick, ProfileUpdate
from personaclick_async.cli.app import app
from personaclick_async.emulator import Emulator

FIELD = "middle_initial"


async def through_the_client(emulator: Emulator) -> None:
    async with PersonaClick(
        emulator.shop_id, shop_secret=emulator.shop_secret, api_url=emulator.url
    ) as client:
        await client.user(external_id="7").profile.raw.set(ProfileUpdate.of({FIELD: "K"}))
        assert emulator.profile(external_id="7")[FIELD] == "K"
        full = await client.user(external_id="7").profile.full()
        assert full.extra[FIELD] == "K"


def through_the_command(emulator: Emulator, here: Path) -> None:
    keys = {
        "PERSONACLICK_SHOP_ID": emulator.shop_id,
        "PERSONACLICK_SHOP_SECRET": emulator.shop_secret,
        "PERSONACLICK_API_URL": emulator.url,
    }
    table = here / "customers.csv"
    table.write_text("id,MI\n7,K\n")
    proposed = CliRunner().invoke(app, ["mapping", str(table)], env=keys).stdout
    assert f'{FIELD} = "MI"' in proposed
    CliRunner().invoke(app, ["profile", "set", "--external-id", "8", f"{FIELD}=Q"], env=keys)
    assert emulator.profile(external_id="8")[FIELD] == "Q"


def in_the_reference(here: Path, extensions: str) -> None:
    (here / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {extensions!r})\nextensions = ['fields']\n"
    )
    (here / "index.rst").write_text("Fields\n======\n\n.. profile-fields::\n")
    build(["-q", "-b", "text", str(here), str(here / "out")])
    assert FIELD in (here / "out" / "index.txt").read_text()


def main(here: Path, extensions: str) -> None:
    with Emulator() as emulator:
        asyncio.run(through_the_client(emulator))
        through_the_command(emulator, here)
    in_the_reference(here, extensions)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
