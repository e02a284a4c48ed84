"""A disabled client checks calls and sends nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from personaclick_async import (
    ClientClosed,
    ConfigurationError,
    PersonaClick,
    ValidationError,
)
from personaclick_async.emulator import Emulator
from personaclick_async.facade import create_personaclick
from personaclick_async.sync import SyncOptions


async def test_calls_are_checked_and_go_nowhere(emulator: Emulator) -> None:
    async with PersonaClick(emulator.shop_id, api_url=emulator.url, disabled=True) as client:
        user = await client.init()
        await user.profile.set(first_name="Ada")
        with pytest.raises(ValidationError, match="email"):
            await user.profile.set(email="nonsense")
        profile = await user.profile.get(force=True)
        assert (profile.first_name, profile.custom_properties) == (None, {})
        assert await user.orders.last_for_user() == []
        customer = client.user(email="ada@shop.example")
        assert (await customer.profile.full()).first_name is None
        assert await customer.orders.by_user() == []
        await customer.profile.purge()
        assert (await client.init(did="device0001")).did == "device0001"
        report = await client.sync_all([{"email": "ada@shop.example"}, {"email": "nonsense"}])
        assert (report.sent, report.rejected) == (1, 1)
    with pytest.raises(ClientClosed):
        await user.profile.get(force=True)

    assert emulator.requests == []


@pytest.mark.parametrize(
    ("value", "disabled"), [("1", True), ("true", True), ("YES", True), ("0", False), ("", False)]
)
def test_the_environment_says_so(
    monkeypatch: pytest.MonkeyPatch, value: str, disabled: bool
) -> None:
    monkeypatch.setenv("PERSONACLICK_DISABLED", value)
    monkeypatch.setenv("PERSONACLICK_SHOP_ID", "ab" * 15)
    assert PersonaClick().config.disabled is disabled


def test_it_needs_no_shop_and_says_that_it_is_disabled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PERSONACLICK_DISABLED", "1")
    personaclick = create_personaclick()
    personaclick("init", None)
    assert personaclick("profile", "set", {"first_name": "Ada"}).result(10) == {"status": "success"}
    assert personaclick("profile", "get").result(10) == {"custom_properties": {}}
    assert personaclick("orders", "last_for_user").result(10) == []
    assert personaclick.close()
    [record] = caplog.records
    assert "disabled" in record.getMessage()


def test_what_is_neither_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSONACLICK_DISABLED", "maybe")
    with pytest.raises(ConfigurationError, match="PERSONACLICK_DISABLED"):
        PersonaClick("ab" * 15)


async def test_a_journal_never_says_that_rows_were_sent(tmp_path: Path) -> None:
    client = PersonaClick(disabled=True)
    with pytest.raises(ConfigurationError, match="journal"):
        client.sync([{"email": "ada@shop.example"}], options=SyncOptions(journal=tmp_path / "j"))
