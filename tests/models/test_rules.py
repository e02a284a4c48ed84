"""Which values are accepted for identifiers, dates and properties, and which never are."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from personaclick_async import ProfileUpdate, ValidationError
from personaclick_async.models import rules
from personaclick_async.models.update import FIELDS

LABEL_63 = "a" * 63


def is_accepted(rule: rules.Rule[object], value: object) -> bool:
    try:
        rule("field", value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    "address",
    [
        "ada@shop.example",
        "a@b.co",
        "ada.king@shop.example",
        "ada+news@shop.example",
        "123@shop.example",
        "ada@123.example",
        "ada@mail-1.shop.example",
        "ada@c--n.example",
        "ada@shop.co-uk",
        "o'neil@shop.example",
        "!#$%&*+/=?^_`{|}~@shop.example",
        f"{'a' * 64}@shop.example",
        f"ada@{LABEL_63}.example",
        f"ada@{LABEL_63}.{LABEL_63}.{LABEL_63}.{'a' * 50}",
        "ada@xn--hxajbheg2az3al.xn--jxalpdlp",
        "björn@größe.example",
        "имя@пример.example",
        "用户@例子.中国",
        "ada@हिन्दी.भारत",
    ],
)
def test_an_address_of_this_form_is_accepted(address: str) -> None:
    assert rules.email("email", address) == address


@pytest.mark.parametrize(
    "address",
    [
        *("", "ada", "@", "ada@", "@shop.example", "ada@shop", "a@b@shop.example"),
        *(".ada@shop.example", "ada.@shop.example", "ada..king@shop.example"),
        *("ada@.shop.example", "ada@shop.example.", "ada@shop..example", "ada@shop.example-"),
        *("ada@-iana.org", "ada@iana-.com", "ada@shop.-example"),
        *(
            "ada@255.255.255.255",
            "ada@shop.123",
            "ada@shop.com1",
            "ada@[127.0.0.1]",
            "ada@[IPv6:::1]",
        ),
        f"ada@{'a' * 64}.example",
        f"{'a' * 65}@shop.example",
        f"ada@{LABEL_63}.{LABEL_63}.{LABEL_63}.{LABEL_63}",
        *('"ada"@shop.example', '"ada king"@shop.example', 'ada."king"@shop.example'),
        *("ada(comment)@shop.example", "(comment)ada@shop.example", "ada@(comment)shop.example"),
        *("ada king@shop.example", " ada@shop.example", "ada@shop.example "),
        *("ada@shop.example\n", "ada@shop.example\r\n", "ada\t@shop.example", "ada\\@shop.example"),
        *("ada@shop.example!", "ada@shop.example*", "ada@shop.example&", "ada@shop.example%20"),
        *("ada@shop_1.example", "ada@shop.example,", "ada@shop.example;b@shop.example"),
        *("Ada <ada@shop.example>", "<ada@shop.example>", "mailto:ada@shop.example"),
        *("'ada@shop.example", "'ada@shop.example'", "=ada@shop.example"),
        *("“ada”@shop.example", "ada@shop.example”", "ada@shop.example\N{BULLET}"),
        *("ada@shop.example\ufffd", "jos\ufffd@shop.example", "ada@sh\ufffdp.example"),
        *("ada@shop.example\u200b", "\u202aada@shop.example", "\ufeffada@shop.example"),
        *("a\u00adda@shop.example", "ada@shop\u00a0.example"),
        *("ada@shop.example\x00", "ada\x1f@shop.example", "ada@shop.example\x85", "\ud800@b.co"),
    ],
)
def test_an_address_of_this_form_is_refused(address: str) -> None:
    assert not is_accepted(rules.email, address)


def test_one_address_in_two_spellings_is_one() -> None:
    composed, decomposed = "jos\xe9@GR\xd6SSE.example", "jose\u0301@gro\u0308sse.Example"

    assert rules.email("email", composed) == rules.email("email", decomposed)
    assert rules.email("email", "ada@ＳＨＯＰ．example") == "ada@shop.example"  # noqa: RUF001


@pytest.mark.parametrize("rule", [rules.identifier, rules.user_id])
@pytest.mark.parametrize(
    "value",
    [
        *("C-7\x00", "C\x1b7", "C-7\n", "C-7\x85"),
        *("C-7\u200b", "\u202aC-7", "\ufeffC-7", "C\u00ad7", "C-7\u2060", "C\ufffd7"),
        *(" C-7", "C-7 ", "C\u00a07", "\u3000", "\ud800"),
    ],
)
def test_an_identifier_has_nothing_that_is_not_seen(rule: rules.Rule[object], value: str) -> None:
    assert not is_accepted(rule, value)


@pytest.mark.parametrize("name", [name for name in FIELDS if name.endswith("_id")])
def test_invisible_characters_are_named_as_the_reason(name: str) -> None:
    if FIELDS[name].rule is rules.text:
        return
    with pytest.raises(ValidationError, match=f"^{name}: expected text without control, invis"):
        ProfileUpdate.of({name: "C-7\u200b"})


def test_an_identifier_may_have_letters_and_spaces_of_any_script() -> None:
    for value in ("C 7", "№7", "顧客7", "A-7/b", "null"):
        assert rules.identifier("id", value) == value


@pytest.mark.parametrize(
    "value",
    [
        *("1990-03-11", "11.03.1990", "3-28-68", "28.3.1968", "1968.3.28", "11 03 1990"),
        *("192.168.100.200", "10.0.0.255", "0000000000", "+000000", "9999999999"),
        *("+49 (0)30 123456", "044 123 45 67/68", "555-0100 ext. 5", "555-0100x5"),
        *("1.23457E+11", "79161234567.0e1", "#REF!", "='7210001", "'7210001"),
        *("++79990001122", "7999+0001122", "1234", "1" * 5 + "2" * 11, "+"),
        *("٧٩٩٩٠٠٠١١٢٢", "7999\u200b0001122", "7999000\x001122", "\uff17999000"),
    ],
)
def test_what_is_no_phone_is_refused(value: str) -> None:
    assert not is_accepted(rules.phone, value)


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("+7 (999) 000-11-22", "+79990001122"),
        ("22.33.44.55.66", "2233445566"),
        ("31 12 55 66", "31125566"),
        ("(030) 123456", "030123456"),
        ("8 916 123 45 67", "89161234567"),
        ("1-800-555-0199", "18005550199"),
        ("19900311", "19900311"),
    ],
)
def test_a_phone_loses_its_separators(value: str, sent: str) -> None:
    assert rules.phone("phone", value) == sent


def test_a_birthday_is_of_the_last_120_years() -> None:
    today = datetime.now(UTC).date()

    for day in (today, today - timedelta(days=365 * 120)):
        assert rules.birthday("birthday", day) == day.isoformat()
    for day in (today + timedelta(days=2), today - timedelta(days=366 * 122), date.max, date.min):
        for value in (day, day.isoformat()):
            with pytest.raises(ValidationError, match="expected a day of the last 120 years"):
                rules.birthday("birthday", value)
    with pytest.raises(ValidationError, match=r"^kids\[0\].birthday: expected a day of the last"):
        ProfileUpdate(kids=[{"birthday": "2533-01-01"}])


@pytest.mark.parametrize("value", [pd.NaT, pd.NA, np.datetime64("NaT"), float("nan"), np.nan])
def test_a_missing_value_of_pandas_is_never_sent(value: Any) -> None:
    for fields in ({"custom": {"seen": value}}, {"custom": {"seen": [value]}}):
        with pytest.raises(ValidationError, match=r"^custom\.seen"):
            ProfileUpdate.of(fields)
    for name in FIELDS:
        with pytest.raises(ValidationError):
            ProfileUpdate.of({name: value})


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (np.int64(7), 7),
        (np.uint8(7), 7),
        (np.float64(7.5), 7.5),
        (np.float32(7.5), 7.5),
        (np.bool_(True), True),
        (np.str_("gold"), "gold"),
        (pd.Timestamp("2021-12-31 23:55"), "2021-12-31 23:55:00"),
        ([np.int64(7)], [7]),
    ],
)
def test_a_scalar_of_numpy_is_sent_as_what_it_is(value: Any, sent: object) -> None:
    update = ProfileUpdate(custom={"seen": value})

    assert update.custom == {"seen": sent}
    assert type(update.custom["seen"]) is type(sent)


def test_scalars_of_numpy_are_values_of_fields_too() -> None:
    fields = {"external_id": np.int64(7), "age": np.float64(31), "bought_something": np.bool_(1)}

    assert ProfileUpdate.of(fields).mentioned == {
        "external_id": 7,
        "age": 31.0,
        "bought_something": True,
    }


def test_an_array_is_no_scalar() -> None:
    values: list[Any] = [np.array([1, 2]), np.datetime64("2021-01-01"), np.complex64(1)]
    for value in values:
        with pytest.raises(ValidationError):
            ProfileUpdate(custom={"seen": value})
    with pytest.raises(ValidationError, match="kids: expected a list, got ndarray"):
        ProfileUpdate.of({"kids": np.array(None)})  # which says that it can be iterated over


@given(value=st.text() | st.integers() | st.floats() | st.dates() | st.decimals())
@example(Decimal("1e400"))
@pytest.mark.parametrize("name", FIELDS)
def test_what_a_rule_returns_it_accepts_unchanged(name: str, value: object) -> None:
    rule = FIELDS[name].rule
    try:
        sent = rule(name, value)
    except ValidationError:
        return
    assert rule(name, sent) == sent
