"""Mappings: what they say, what they make of a row, and that the models would say the same."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personaclick_async import ConfigurationError, ProfileUpdate
from personaclick_async.models.update import FIELDS, to_wire
from personaclick_async.names import IDENTIFIERS
from personaclick_async.sync.mapping import Changes, FieldMapping, Kind, Origin
from personaclick_async.sync.mapping.convert import Converter
from personaclick_async.sync.records import Outcome, Record, Rejected


def _map(toml: str, row: Mapping[str, Any], *, top: str = "") -> Outcome:
    """Map one row; an external id is there so that each is about somebody."""
    text = f'{top}\n[fields]\nexternal_id = "key"\n{toml}'
    mapping = FieldMapping.parse(text)
    header = ["key", *row]
    return mapping.compile(header).row(1, ["k1", *row.values()])


def _value(toml: str, value: object, *, top: str = "") -> Any:
    """Map a row of one column, c, to a field or property; None if it says nothing."""
    outcome = _map(toml, {"c": value}, top=top)
    assert isinstance(outcome, Record), outcome
    rest = {name: one for name, one in outcome.wire.items() if name != "external_id"}
    assert len(rest) <= 1
    return next(iter(rest.values()), None)


def _fault(toml: str, value: object, *, top: str = "") -> Rejected:
    outcome = _map(toml, {"c": value}, top=f'invalid = "reject"\n{top}')
    assert isinstance(outcome, Rejected), outcome
    return outcome


CASES = [
    ('first_name = "c"', " Ada ", "Ada"),
    ('first_name = "c"', "  ", None),
    ('first_name = { column = "c", case = "lower" }', "ADA", "ada"),
    ('first_name = { column = "c", case = "upper" }', "straße", "STRASSE"),
    ('first_name = { column = "c", case = "title" }', "ADA O'NEIL", "Ada O'Neil"),
    ('last_name = { column = "c", case = "name" }', "MCDONALD-SMITH", "McDonald-Smith"),
    ('last_name = { column = "c", case = "name" }', "MC", "Mc"),
    ('last_name = { column = "c", case = "name" }', "HIILL IV III", "Hiill IV III"),
    ('last_name = { column = "c", case = "name" }', "İSMAİL IŞIK", "İsmail Işık"),  # noqa: RUF001
    ('last_name = { column = "c", case = "turkish" }', "ILICALI-YILMAZ", "Ilıcalı-Yılmaz"),  # noqa: RUF001
    ('email = { column = "c", case = "lower" }', "İNFO@SHOP.EXAMPLE", "info@shop.example"),
    ('gender = "c"', "female", "f"),
    ('gender = { column = "c", values = { M = "m", F = "f" } }', "M", "m"),
    ('gender = { column = "c", values = { "1" = "m", "2" = "f" } }', 2, "f"),
    ('gender = { column = "c", absent = ["NA", "-"] }', "NA", None),
    ('gender = { column = "c", absent = "x", values = { X = "f", x = "m" } }', "x", "m"),
    ('birthday = "c"', "1985-12-10", "1985-12-10"),
    ('birthday = { column = "c", format = "%m/%d/%Y" }', "04/08/1966", "1966-04-08"),
    ('birthday = { column = "c", format = "%m/%d/%Y" }', "5/14/1965", "1965-05-14"),
    ('birthday = { column = "c", format = "%d.%m.%Y" }', "1.2.1965", "1965-02-01"),
    ('birthday = { column = "c", format = ["%Y-%m-%d", "%d %b %Y"] }', "3 Feb 1999", "1999-02-03"),
    ('birthday = { column = "c", format = "%Y%m%d" }', "19990203", "1999-02-03"),
    ('birthday = { column = "c", format = "%Y-%m-%d %H:%M" }', "1999-02-03 04:05", "1999-02-03"),
    ('birthday = "c"', date(1999, 2, 3), "1999-02-03"),
    ('birthday = "c"', datetime(1999, 2, 3, 4, 5, tzinfo=UTC), "1999-02-03"),
    ('age = "c"', "36", 36),
    ('age = "c"', "36.5", 36.5),
    ('age = "c"', Decimal("36.5"), 36.5),
    ('age = "c"', 36, 36),
    ('bought_something = "c"', "Yes", True),
    ('bought_something = "c"', "0", False),
    ('bought_something = "c"', 1, True),
    ('bought_something = "c"', False, False),
    ('bought_something = { column = "c", values = { ja = true } }', "ja", True),
    ('kids = "c"', '[{"gender": "f", "birthday": "2020-01-02"}]', None),
    ('kids = "c"', "null", None),
    ('phone = "c"', "+7 (999) 123-45-67", "+79991234567"),
    ('phone = "c"', 79991234567, "+79991234567"),
    ('phone = "c"', "p:+447911123456", "+447911123456"),
    ('last_name = "c"', "O&#39;Neill", "O'Neill"),
    ('last_name = { column = "c", case = "name" }', "ANDR&eacute;", "André"),
    ('last_name = { column = "c", part = "last" }', "Ada&nbsp;Lovelace", "Lovelace"),
    ('loyalty_id = "c"', "1001,0", "1001"),
    ('loyalty_id = "c"', "1.000", "1.000"),
    ('first_name = "c"', '=""', None),
    ('loyalty_id = "c"', "'\u200b", None),
    ('phone = "c"', 79991234567.0, "+79991234567"),
    ('phone = "c"', "8613800138000", "+8613800138000"),
    ('phone = "c"', "5511912345678", "+5511912345678"),
    ('loyalty_id = "c"', UUID(int=7), str(UUID(int=7))),
    ('location = { value = "L1" }', "", "L1"),
    ('[custom]\nx = "c"', "1", "1"),
    ('[custom]\nx = "c"', 1.5, 1.5),
    ('[custom]\nx = { column = "c", type = "string" }', 7, "7"),
    ('[custom]\nx = { column = "c", type = "integer" }', "$90,000 ", 90000),
    ('[custom]\nx = { column = "c", type = "integer" }', "-1 234 567", -1234567),
    ('[custom]\nx = { column = "c", type = "integer" }', "12,34,567", 1234567),
    ('[custom]\nx = { column = "c", type = "integer" }', "3.0", 3),
    ('[custom]\nx = { column = "c", type = "integer" }', 3.0, 3),
    ('[custom]\nx = { column = "c", type = "float" }', "3", 3.0),
    ('[custom]\nx = { column = "c", type = "float" }', "-$1,234.50", -1234.5),
    ('[custom]\nx = { column = "c", type = "float" }', "€ -5", -5.0),
    ('[custom]\nx = { column = "c", type = "float" }', "-$1,250", -1250.0),
    ('[custom]\nx = { column = "c", type = "float", decimal = "," }', "1.250", 1250.0),
    ('[custom]\nx = { column = "c", type = "integer" }', "1,250", 1250),
    ('[custom]\nx = { column = "c", type = "string" }', '"<b>&lt;"', '"<b>&lt;"'),
    ('[custom]\nx = { column = "c", type = "json" }', '"a"', "a"),
    ('[custom]\nx = { column = "c", type = "float" }', "1.5e3", 1500.0),
    ('[custom]\nx = { column = "c", type = "float", decimal = "," }', "1.234,5 €", 1234.5),
    ('[custom]\nx = { column = "c", type = "boolean" }', "N", False),
    ('[custom]\nx = { column = "c", type = "date" }', "2026-08-01", "2026-08-01"),
    ('[custom]\nx = { column = "c", type = "date" }', date(2026, 8, 1), "2026-08-01"),
    ('[custom]\nx = { column = "c", type = "identifier" }', '"007"', "007"),
    (
        '[custom]\nx = { column = "c", type = "datetime" }',
        "2026-08-01T12:30Z",
        "2026-08-01 12:30:00",
    ),
    ('[custom]\nx = { column = "c", type = "datetime" }', date(2026, 8, 1), "2026-08-01 00:00:00"),
    ('[custom]\nx = { column = "c", type = "list", split = "|" }', "a| b ||c", ["a", "b", "c"]),
    ('[custom]\nx = { column = "c", type = "list", split = "|" }', " | ", None),
    ('[custom]\nx = { column = "c", type = "list" }', "a", ["a"]),
    ('[custom]\nx = { column = "c", type = "list" }', ["a", 1], ["a", 1]),
    ('[custom]\nx = { column = "c", type = "list" }', 5, [5]),
    ('[custom]\nx = { column = "c", type = "json" }', '{"a": [1, null]}', {"a": [1, None]}),
    ('[custom]\nx = { column = "c", type = "json" }', {"a": 1}, {"a": 1}),
    ('[custom]\nx = { column = "c", values = { Y = 1 } }', "Y", 1),
    ('[custom]\nx = { column = "c", values = { true = "on" } }', True, "on"),
    ('[custom]\nx = { value = [1, "a"] }', "", [1, "a"]),
    ("[custom]\nx = { value = 2026-08-01 }", "", "2026-08-01"),
]


@pytest.mark.parametrize(("toml", "value", "expected"), CASES)
def test_a_column_becomes_a_field(toml: str, value: object, expected: object) -> None:
    found = _value(toml, value)

    if toml.startswith("kids") and value != "null":
        expected = [{"gender": "f", "birthday": "2020-01-02"}]
    assert found == expected
    assert type(found) is type(expected)


FAULTS = [
    ('email = "c"', "nobody", "email", "an e-mail address"),
    ('email = "c"', "NoEmail@noemail.example", "email", "stands for none"),
    ('email = "c"', "not-provided@shop.example", "email", "stands for none"),
    ('loyalty_id = "c"', "(2 rows)", "loyalty_id", "an identifier"),
    ('loyalty_id = "c"', "C", "loyalty_id", "not the name of its column"),
    ('first_name = "c"', "JosÃ©", "first_name", "decoded wrongly before"),
    ('age = "c"', "0", "age", "above 0"),
    ('age = "c"', 999, "age", "above 0"),
    ('phone = "c"', "15012345678", "phone", "an international number"),
    ('phone = "c"', "51991234567", "phone", "an international number"),
    ('loyalty_id = "c"', "---+---", "loyalty_id", "an identifier"),
    ('gender = { column = "c", values = { M = "m" } }', "X", "gender", "Gender"),
    ('birthday = "c"', "1/2/1999", "birthday", "YYYY-MM-DD"),
    ('birthday = { column = "c", format = "%m/%d/%Y" }', "13/14/1965", "birthday", "%m/%d/%Y"),
    ('birthday = { column = "c", format = "%m/%d/%Y" }', "2/30/1965", "birthday", "%m/%d/%Y"),
    (
        'birthday = { column = "c", format = "%Y-%m-%d %I %p" }',
        "1990-01-02 13 AM",
        "birthday",
        "%I",
    ),
    ('birthday = { column = "c", format = "unix" }', "none", "birthday", "a date as unix"),
    ('birthday = { column = "c", format = "excel" }', "0", "birthday", "a date as excel"),
    ('age = "c"', "old", "age", "a number such as"),
    ('age = "c"', "-1", "age", "0 or more"),
    ('age = "c"', "1e999", "age", "finite"),
    ('bought_something = "c"', "perhaps", "bought_something", "true or false"),
    ('bought_something = "c"', 2, "bought_something", "a bool"),
    ('kids = "c"', "[", "kids", "JSON"),
    ('kids = "c"', "[5]", "kids[0]", "Kid"),
    ('phone = "c"', 79991234567.5, "phone", "a phone number"),
    ('first_name = "c"', "A\ud800", "first_name", "UTF-8"),
    ('first_name = "c"', ["A"], "first_name", "str"),
    ('first_name = "c"', True, "first_name", "str"),
    ('loyalty_id = "c"', Decimal("1e999999999"), "loyalty_id", "a non-blank str"),
    ('[custom]\nx = { column = "c", type = "integer" }', "1,5", "custom.x", "a number such as"),
    ('[custom]\nx = { column = "c", type = "integer" }', "1.5", "custom.x", "a whole number"),
    ('[custom]\nx = { column = "c", type = "integer" }', "1.000", "custom.x", "decimal"),
    ('[custom]\nx = { column = "c", type = "integer" }', "٣", "custom.x", "a number such as"),
    ('[custom]\nx = { column = "c", type = "integer" }', "9" * 30, "custom.x", "64 bits"),
    ('[custom]\nx = { column = "c", type = "integer" }', "9" * 5000, "custom.x", "a number such"),
    ('[custom]\nx = { column = "c", type = "integer" }', "--5", "custom.x", "a number such as"),
    ('[custom]\nx = { column = "c", type = "integer" }', float("inf"), "custom.x", "finite"),
    ('[custom]\nx = { column = "c", type = "float" }', True, "custom.x", "a finite number"),
    ('[custom]\nx = { column = "c", type = "float" }', 10**400, "custom.x", "64 bits"),
    ('[custom]\nx = { column = "c", type = "datetime" }', "noon", "custom.x", "a date, year first"),
    ('[custom]\nx = { column = "c", type = "date" }', 5, "custom.x", "a date"),
    ('[custom]\nx = { column = "c", type = "json" }', "{", "custom.x", "JSON"),
    ('[custom]\nx = { column = "c", type = "json" }', '"\ud800"', "custom.x", "JSON"),
    ('[custom]\nx = "c"', b"x", "custom.x", "text"),
]


@pytest.mark.parametrize(("toml", "value", "field", "rule"), FAULTS)
def test_a_value_that_does_not_fit_is_rejected_by_its_field(
    toml: str, value: object, field: str, rule: str
) -> None:
    rejected = _fault(toml, value)

    assert rejected.field == field
    assert rule in rejected.rule
    assert rejected.source_row == {"key": "k1", "c": value}


def test_a_fault_tells_the_size_of_what_stood_in_the_cell() -> None:
    assert _fault('phone = "c"', "(202) 555-0100 x5").given == "str of 17 characters"


READ = [
    ("phone", "+49 (0)30 123456", "+4930123456"),
    ("phone", "0049 30 123456", "+4930123456"),
    ("phone", "+49 030 123456", "+4930123456"),
    ("phone", "+1 202 555-0100 ext. 5", "+12025550100"),
    ("phone", "+7 (495) 123-45-67 доб. 12", "+74951234567"),
    ("phone", "79161234567.0", "+79161234567"),
    ("phone", "'+17755550100", "+17755550100"),
    ("phone", "tel:+1-202-555-0100", "+12025550100"),
    (
        "phone",
        "\uff0b\uff14\uff19 \uff13\uff10 \uff11\uff12\uff13\uff14\uff15\uff16",
        "+4930123456",
    ),
    ("phone", "+44\u201320\u20117946\u00a00958\u200b", "+442079460958"),
    ("email", "ada@shop.example\u200b", "ada@shop.example"),
    ("email", "\u202aada@shop.exam\u00adple\ufeff", "ada@shop.example"),
    ("email", "'ada@shop.example", "ada@shop.example"),
    ("email", "Ada Lovelace <ada@Shop.example>", "ada@shop.example"),
    ("email", "mailto:ada@shop.example?subject=x", "ada@shop.example"),
    ("loyalty_id", "1001.0", "1001"),
    ("loyalty_id", '="00123"', "00123"),
    ("loyalty_id", "'7210001", "7210001"),
    ("loyalty_id", "A\u200b7", "A7"),
    ("loyalty_id", "007", "007"),
    ("loyalty_id", "#1", "#1"),
    ("location", "Arts &centre", "Arts &centre"),
    ("loyalty_id", "1E4", "1E4"),
    ("loyalty_id", 1001.0, "1001"),
    ("loyalty_id", Decimal("1001.0"), "1001"),
    ("birthday", "1990-3-1", "1990-03-01"),
    ("birthday", "1990-03-11T00:00:00.000", "1990-03-11"),
    ("birthday", "1990/03/11", "1990-03-11"),
    ("birthday", "1990-03-11T23:00:00+03:00", "1990-03-11"),
    ("birthday", "1990年3月1日", "1990-03-01"),
    ("first_name", "'t Hooft", "'t Hooft"),
    ("first_name", '"Ada"', "Ada"),
    ("first_name", "'Ada '", "Ada"),
    ("first_name", "\u201eAda\u201c", "Ada"),
    ("first_name", 'Ada "The Countess"', 'Ada "The Countess"'),
    ("first_name", "M&uuml;ller, J&ouml;rg", "Müller, Jörg"),
    ("loyalty_id", '"123"', "123"),
    ("loyalty_id", '"NULL"', None),
    ("phone", '"+4930123456"', "+4930123456"),
    ("email", '"ada@shop.example"', "ada@shop.example"),
    ("first_name", "\ufeffAda", "Ada"),
    ("first_name", float("nan"), None),
    ("first_name", Decimal("nan"), None),
    ("first_name", type("NAType", (), {})(), None),
]


@pytest.mark.parametrize(("field", "cell", "sent"), READ)
def test_cells_are_read_as_the_file_means_them(field: str, cell: object, sent: str | None) -> None:
    assert _value(f'{field} = "c"', cell) == sent


REFUSED = [
    *(
        ("loyalty_id", word, "stands for none")
        for word in ("None", "nan", "N/A", "\\N", "undefined", "0", "-1", "-", "unknown", "(none)")
    ),
    *(("loyalty_id", word, "erases") for word in ("null", "NULL", "Null")),
    *(("loyalty_id", word, "spreadsheet's error") for word in ("#N/A", "#REF!", "#WERT!", "####")),
    ("loyalty_id", "1.23457E+11", "digits are lost"),
    ("loyalty_id", 0, "stands for none"),
    ("loyalty_id", 1e20, "all digits"),
    ("loyalty_id", "a\0b", "without control"),
    *(("first_name", word, "") for word in ("null", "NULL", "#REF!", "\\N", "nan")),
    *(
        ("first_name", text, "HTML")
        for text in ("<b>Ada</b>", "Ada<br>", "&lt;b&gt;Ada", "&amp;lt;")
    ),
    ("first_name", "Jos\ufffd", "decoded wrongly before"),
    ("location", "null", "erases"),
    ("first_name", "<null>", "a word for none"),
    ("email", "=ada@shop.example", "an e-mail address"),
    ("email", "\u201cada\u201d@shop.example", "an e-mail address"),
    ("email", "ada@shop.example%20", "an e-mail address"),
    ("email", "ada@shop.example; eve@shop.example", "an e-mail address"),
    ("phone", "044 123 45 67/68", "one phone number"),
    ("phone", "+41 44 668 18 00; +41 44 668 18 01", "one phone number"),
    ("phone", "8 916 123 45 67", "international"),
    ("phone", "84951234567", "international"),
    ("phone", "16022345678", "international"),
    ("phone", "+44 0000 000000", "a placeholder"),
    ("phone", "819-555-0175", "international"),
    ("phone", "555-0100 ext. 5", "international"),
    ("phone", "+056176755658", "of its country"),
    ("phone", "1.23457E+11", "digits are lost"),
    ("phone", "+49 30 12345\u00b9", "5 to 15 digits"),
    ("age", "3\u00b2", "a number such as"),
    *(("phone", text, "not a date") for text in ("1990-03-11", "192.168.10.10", "0000000000")),
    *(("birthday", f"{year}-05-05", "120 years") for year in ("9999", "1900", "2533", "1368")),
    ("birthday", "1990-03-11T22:00:00Z", "evening"),
    *(("birthday", f"1990-03-11{hour}", "afternoon") for hour in ("T15:00Z", " 23:00")),
    ("birthday", datetime(1990, 3, 11, 15, tzinfo=ZoneInfo("UTC")), "afternoon"),
    ("birthday", "1/2/1990", "year first"),
    ("birthday", datetime(1990, 3, 11, 22, tzinfo=UTC), "evening"),
    ("loyalty_bonuses", "1.250", "decimal"),
    ("loyalty_bonuses", "1,250", "decimal"),
    *(("loyalty_bonuses", text, "decimal") for text in ("1.250 €", "€ -1,250", "$1.250", "+1.250")),
]


@pytest.mark.parametrize(("field", "cell", "rule"), REFUSED)
def test_what_cannot_be_read_with_certainty_is_left_out_and_said(
    field: str, cell: object, rule: str
) -> None:
    outcome = _map(f'{field} = "c"', {"c": cell})

    assert isinstance(outcome, Record)
    assert outcome.wire == {"external_id": "k1"}
    assert outcome.omitted is not None
    [fault] = outcome.omitted.faults
    assert fault.field == field
    assert rule in fault.rule
    assert outcome.omitted.source_row == {"key": "k1", "c": cell}


@pytest.mark.parametrize(
    ("country", "cell", "sent"),
    [
        ("CH", "044 668 18 00", "+41446681800"),
        ("CH", "044/668 18 00", "+41446681800"),
        ("RU", "8 916 123-45-67", "+79161234567"),
        ("RU", "79161234567", "+79161234567"),
        ("US", "(202) 555-0100 x5", "+12025550100"),
        ("none", "819-555-0175", "8195550175"),
    ],
)
def test_with_a_country_national_numbers_become_international(
    country: str, cell: str, sent: str
) -> None:
    assert _value('phone = "c"', cell, top=f'country = "{country}"') == sent
    with pytest.raises(ConfigurationError, match="country"):
        FieldMapping.parse('country = "XX"\n[fields]\nphone = "c"')


def test_a_national_number_with_more_digits_than_any_is_refused() -> None:
    rejected = _fault('phone = "c"', "030123456789012", top='country = "DE"')

    assert "5 to 15 digits" in rejected.rule


def test_international_numbers_are_what_the_library_says_they_are() -> None:
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number(region)
        assert example is not None
        whole = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        for text in (whole, f"{whole}5", whole[:-1], f"{whole[:-2]}99"):
            assert _phone(text) == _phone_of_the_library(text)
        bare = _phone(whole.removeprefix("+"))
        assert bare in (None, _phone_of_the_library(whole))


def _phone(text: str) -> object:
    outcome = _map('phone = "c"', {"c": text})
    assert isinstance(outcome, Record)
    return outcome.wire.get("phone")


def _phone_of_the_library(text: str) -> str | None:
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return None
    reason = phonenumbers.is_possible_number_with_reason(number)
    if reason != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@pytest.mark.parametrize(
    ("format_", "cell", "sent"),
    [
        ("%m/%d/%y", "3/28/68", "1968-03-28"),
        ("%d-%b-%y", "11-Mar-90", "1990-03-11"),
        ("%d. %B %Y", "11. März 1990", "1990-03-11"),
        ("%d.%m.%Y %H:%M", "1.3.1990 00:00", "1990-03-01"),
        ("%m/%d/%Y %I:%M %p", "3/4/1990 12:30 PM", "1990-03-04"),
        ("excel", "32874", "1990-01-01"),
        ("unix", "636163200", "1990-02-28"),
        ("unix ms", "-1000000000", "1969-12-20"),
    ],
)
def test_dates_are_read_in_the_formats_of_the_world(format_: str, cell: str, sent: str) -> None:
    toml = f'birthday = {{ column = "c", format = "{format_}" }}'
    assert _value(toml, cell) == sent


def test_a_row_keeps_its_last_identifier_and_says_all_its_faults() -> None:
    map_row = FieldMapping.parse('[fields]\nid = "a"\nemail = "b"\nphone = "c"').compile("abc").row

    both = map_row(1, ["null", "ada@shop.example", "x"])
    none = map_row(2, ["null", "x", "y"])

    assert isinstance(both, Record)
    assert both.omitted is not None
    assert [fault.field for fault in both.omitted.faults] == ["external_id", "phone"]
    assert isinstance(none, Rejected)
    assert [fault.field for fault in none.faults] == ["external_id", "email", "phone"]


def test_what_is_changed_is_counted_by_field() -> None:
    changes = Changes()
    mapping = attrs.evolve(FieldMapping.parse('[fields]\nid = "a"'), changes=changes)

    compiled = mapping.compile(["a"])
    for _ in range(2):  # as a shard does, to see by what to divide people
        compiled.rows(1, [["1.0", '="2"', "3", "4.0", "5.0"]])
    for row in range(1, 5):  # the last one is another shard's
        changes.count(row)

    assert {key: (one.count, one.first_rows) for key, one in changes.found.items()} == {
        ("external_id", ".0 removed"): (2, [1, 4]),
        ("external_id", '="…" unwrapped'): (1, [2]),
    }


def test_a_whole_name_is_split() -> None:
    toml = 'first_name = { column = "c", part = "first" }\n'
    toml += 'last_name = { column = "c", part = "last" }'
    for cell, first, last in (
        ("Ada Lovelace", "Ada", "Lovelace"),
        ("Lovelace, Ada", "Ada", "Lovelace"),
        ("Vincent van Gogh", "Vincent", "van Gogh"),
        ("Ada", "Ada", None),
    ):
        outcome = _map(toml, {"c": cell})
        assert isinstance(outcome, Record)
        assert (outcome.wire["first_name"], outcome.wire.get("last_name")) == (first, last)


def test_columns_are_joined_and_empty_ones_left_out() -> None:
    toml = 'location = { columns = ["city", "state"], join = ", ", case = "upper", absent = "-" }'

    both = _map(toml, {"city": "Oslo ", "state": "x"})
    one = _map(toml, {"city": "Oslo", "state": " "})
    dash = _map(toml, {"city": "-", "state": "Oslo"})
    none = _map(toml, {"city": "", "state": ""})
    typed = _map(toml, {"city": None, "state": 7})
    wrong = _map(toml, {"city": 1.5, "state": 7}, top='invalid = "reject"')

    found = [
        o.wire.get("location") for o in (both, one, dash, none, typed) if isinstance(o, Record)
    ]
    assert found == ["OSLO, X", "OSLO", "OSLO", None, "7"]
    assert isinstance(wrong, Rejected)
    assert (wrong.field, wrong.rule) == ("location", "texts to join")


def test_absent_markers_hold_for_all_fields_or_for_one() -> None:
    toml = 'first_name = { column = "a", absent = "x" }\nlast_name = "b"\nmiddle_name = "c"'

    outcome = _map(toml, {"a": "x", "b": "x", "c": "NULL"}, top='absent = ["NULL"]')

    assert isinstance(outcome, Record)
    assert outcome.wire == {"external_id": "k1", "last_name": "x"}


def test_required_fields_are_required() -> None:
    rejected = _fault('email = "c"', "", top='required = ["email"]')

    assert (rejected.field, rejected.given) == ("email", "nothing")


def test_a_row_about_nobody_is_rejected() -> None:
    map_row = FieldMapping.parse('[fields]\nemail = "e"\nfirst_name = "n"').compile(["n", "e"]).row

    rejected = map_row(9, ["Ada", ""])

    assert isinstance(rejected, Rejected)
    assert (rejected.row, rejected.field) == (9, "user")
    assert "Ada" not in repr(rejected)


def test_id_is_another_name_of_external_id() -> None:
    mapping = FieldMapping.parse('required = "id"\n[fields]\nid = "key"')

    outcome = mapping.compile(["key"]).row(1, ["7"])

    assert isinstance(outcome, Record)
    assert outcome.wire == {"external_id": "7"}
    assert outcome.identifiers == (("external_id", "7"),)


def test_every_standard_field_can_be_mapped() -> None:
    lines = [f'{name} = "{name}"' for name in FIELDS]
    mapping = FieldMapping.parse("[fields]\n" + "\n".join(lines))

    assert mapping.columns == tuple(FIELDS)
    assert mapping == FieldMapping.by_name(FIELDS)


def test_an_origin_in_python_is_what_toml_makes_of_it() -> None:
    origin = Origin(kind=Kind.EMAIL, columns="Mail", absent=[" NA "], case="lower")
    toml = '[fields]\nemail = { column = "Mail", absent = "na", case = "lower" }'

    assert FieldMapping(fields={"email": origin}) == FieldMapping.parse(toml)


ERRORS = [
    ("email = \n", "line 1"),
    ("\x00", "line 1"),
    ("a = " + "[" * 5000 + "]" * 5000, "too deeply"),
    ("", "at least one of email"),
    ('[fields]\nfirst_name = "a"', "at least one of email"),
    ('email = "a"', "email: unknown key .*; expected one of absent, country, custom, fields"),
    ('[field]\nemail = "a"', r'unknown key "field"; did you mean "fields"\?'),
    ('fields = "a"', "fields: expected a table"),
    ('[fields]\nemial = "a"', r'unknown field "emial"; did you mean "email"\?'),
    ('[fields]\nemail = "a"\ncolour = "b"', r"unknown field .colour.; .*\[custom\]"),
    ("[fields]\nemail = 5", "fields.email: expected a column's name, or a table"),
    ('[fields]\nemail = ""', "fields.email: expected a column's name, or a table"),
    ("[fields]\nemail = {}", "fields.email: expected one of column, columns and value"),
    ('[fields]\nemail = { column = "a", value = "b" }', "one of column, columns and value"),
    ('[fields]\nemail = { value = "a@b.example" }', "email.value: expected a column"),
    ('[fields]\nemail = { column = "a", type = "string" }', "fields.email.type"),
    ('[fields]\nemail = { colunm = "a" }', "fields.email: expected one of column"),
    ('[fields]\nemail = { column = "a", formt = "b" }', r'email.formt: .*did you mean "format"'),
    ("[fields]\nemail = { columns = [] }", "email.columns: expected at least one"),
    ("[fields]\nemail = { columns = 5 }", "email.columns: expected at least one"),
    ("[fields]\nemail = { column = 5 }", "email.column: expected a text"),
    ('[fields]\nemail = { columns = "a", join = 5 }', "email.join"),
    ('[fields]\nemail = { column = "a", join = "-" }', "email.join: expected this with several"),
    ('[fields]\nemail = { column = "a", format = "%Y" }', "email.format: expected this with dates"),
    ('[fields]\nemail = { column = "a", case = "camel" }', "email.case: expected one of lower"),
    ('[fields]\nemail = { column = "a", absent = 5 }', "email.absent: expected a text or a list"),
    ('[fields]\nemail = { column = "a", split = "," }', "email.split: expected this with type"),
    ('[fields]\nid = "a"\nexternal_id = "b"', "external_id: expected one of id and external_id"),
    ('[fields]\nid = "a"\nbirthday = { column = "b", format = "%d" }', "birthday.format"),
    ('[fields]\nid = "a"\nbirthday = { column = "b", format = "%Q" }', "birthday.format"),
    ('[fields]\nid = "a"\nage = { column = "b", decimal = ";" }', "age.decimal"),
    ('[fields]\nid = "a"\nage = { column = "b", case = "lower" }', "age.case"),
    ('[fields]\nid = "a"\nage = { value = "old" }', "fields.age.value: expected a finite number"),
    ('[fields]\nid = "a"\ngender = { column = "b", values = { M = "x" } }', "gender.values.M"),
    ('[fields]\nid = "a"\ngender = { column = "b", values = { M = "" } }', "gender.values.M"),
    ('[fields]\nid = "a"\n[custom]\n"a b" = "c"', "custom.a b: expected names of Latin"),
    ('[fields]\nid = "a"\n[custom]\nemail = "c"', "custom.email: expected a name that is not"),
    (
        '[fields]\nid = "a"\n[custom]\nx = { column = "c", type = "text" }',
        "custom.x.type: expected",
    ),
    ('[fields]\nid = "a"\n[custom]\nx = { value = "", type = "string" }', "custom.x.type"),
    ('required = ["email"]\n[fields]\nid = "a"', r"required: expected .*\(email is not\)"),
]


@pytest.mark.parametrize(("toml", "message"), ERRORS)
def test_a_mapping_that_is_none_is_refused_by_its_key(toml: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as raised:
        FieldMapping.parse(toml, name="crm.toml")
    assert str(raised.value).startswith("crm.toml: ")


def test_a_mapping_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "crm.toml"
    with pytest.raises(ConfigurationError, match="zero: expected a mapping, got more than 1 MiB"):
        FieldMapping.load("/dev/zero")
    with pytest.raises(ConfigurationError, match=r"crm\.toml: can't be read"):
        FieldMapping.load(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match=r"crm\.toml: expected TOML in UTF-8"):
        FieldMapping.load(path)
    path.write_text('[fields]\nemail = "Mail"', encoding="utf-8-sig")
    assert FieldMapping.load(path).columns == ("Mail",)


def test_a_column_that_is_not_there_is_named() -> None:
    mapping = FieldMapping.parse('[fields]\nemail = "EmailAddress"')

    with pytest.raises(ConfigurationError, match=r"'EmailAddress' \(for email\).*'Email Address'"):
        mapping.compile(["Id", "Email Address"])
    with pytest.raises(ConfigurationError, match=r"\(columns: 'Id', 'Name'\)"):
        mapping.compile(["Id", "Name"])
    with pytest.raises(ConfigurationError, match="there are 2 others"):
        mapping.compile(["ada@shop.example", "Ada"])


@pytest.mark.parametrize("columns", [["id", "external_id"], ["email", "first name"], ["name"]])
def test_columns_can_only_be_called_as_fields_if_they_are(columns: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="mapping: expected"):
        FieldMapping.by_name(columns)


SAME = [
    '[fields]\nemail = "a"\nid = "b"',
    '# A comment\n[fields]\nexternal_id = { column = "b" }\nemail = { columns = ["a"] }\n[custom]',
    'country = "CH"\n[fields]\nemail = "a"\nid = "b"',
    'absent = ""\n[fields]\nemail = "a"\nid = { column = "b", values = {} }',
]
DIFFERENT = [
    SAME[0],
    '[fields]\nemail = "b"\nid = "a"',
    '[fields]\nemail = "a"',
    '[fields]\nemail = "a"\nloyalty_id = "b"',
    'invalid = "reject"\n' + SAME[0],
    'absent = "-"\n' + SAME[0],
    'required = "email"\n' + SAME[0],
    SAME[0] + '\n[custom]\nx = "c"',
    SAME[0] + '\n[custom]\nx = { column = "c", type = "string" }',
    SAME[0] + '\n[custom]\nx = { column = "c", values = { a = 1 } }',
    SAME[0] + '\n[custom]\nx = { column = "c", values = { a = true } }',
    SAME[0] + "\n[custom]\nx = { value = 2026-08-01 }",
]


def test_the_fingerprint_says_whether_two_mappings_mean_the_same() -> None:
    assert len({FieldMapping.parse(text).fingerprint for text in SAME}) == 1
    assert len({FieldMapping.parse(text).fingerprint for text in DIFFERENT}) == len(DIFFERENT)


ORIGINS = {
    "email": '"c0"',
    "phone": '"c1"',
    "external_id": '"c2"',
    "loyalty_id": '{ column = "c3", case = "upper" }',
    "first_name": '{ column = "c4", case = "name" }',
    "gender": '{ column = "c5", values = { M = "m", F = "f" }, absent = ["NA"] }',
    "birthday": '{ column = "c6", format = ["%m/%d/%Y", "%Y-%m-%d"] }',
    "age": '"c7"',
    "bought_something": '"c8"',
    "kids": '"c9"',
    "location": '{ columns = ["c4", "c5"], join = "/" }',
    "middle_name": '{ value = "von" }',
}
CUSTOM = {
    "x_any": '"c4"',
    "x_integer": '{ column = "c7", type = "integer" }',
    "x_float": '{ column = "c7", type = "float", decimal = "," }',
    "x_list": '{ column = "c4", type = "list", split = "," }',
    "x_json": '{ column = "c9", type = "json" }',
    "x_date": '{ column = "c6", type = "date" }',
    "x_datetime": '{ column = "c6", type = "datetime", format = "%m/%d/%Y" }',
    "x_boolean": '{ column = "c8", type = "boolean" }',
    "x_string": '{ column = "c2", type = "string" }',
}
HEADER = [f"c{number}" for number in range(10)]
TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        [
            *("", " ", "a@b.example", "A@Б.example", "+7 (999) 123-45-67", "12345", "M", "NA"),
            *("4/08/1966", "1966-04-08", "2/30/1999", "$90,000 ", "1.234,5", "1e5", "1e999", "-3"),
            *("yes", "1", "0", "null", "[]", '[{"gender": "f"}]', '[{"gender": "x"}]'),
            *('{"a": NaN}', "MCDONALD, o'neil", "\ud800", "٣", "a,b,,c", "x" * 300, "male"),
        ]
    ),
)
ANYTHING = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.dates(),
    st.datetimes(),
    st.binary(max_size=3),
    st.uuids(),
    st.lists(st.integers() | st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@st.composite
def _mappings(draw: st.DrawFn) -> FieldMapping:
    fields = draw(st.sets(st.sampled_from(sorted(ORIGINS)))) | {
        draw(st.sampled_from(IDENTIFIERS[:4]))
    }
    custom = draw(st.sets(st.sampled_from(sorted(CUSTOM))))
    lines = ["[fields]", *(f"{name} = {ORIGINS[name]}" for name in sorted(fields)), "[custom]"]
    return FieldMapping.parse("\n".join([*lines, *(f"{name} = {CUSTOM[name]}" for name in custom)]))


@settings(deadline=None, max_examples=1000)
@given(mapping=_mappings(), row=st.lists(TEXTS, min_size=10, max_size=10))
def test_what_is_sent_is_what_the_models_accept(mapping: FieldMapping, row: list[str]) -> None:
    _check_against_the_models(mapping, row)


@settings(deadline=None, max_examples=1000)
@given(
    mapping=_mappings(),
    row=st.lists(ANYTHING, min_size=10, max_size=10),
    joined=st.lists(TEXTS, min_size=2, max_size=2),
)
def test_what_is_sent_of_typed_rows_is_what_the_models_accept(
    mapping: FieldMapping, row: list[Any], joined: list[str]
) -> None:
    row[4:6] = joined
    _check_against_the_models(mapping, row)


def _check_against_the_models(mapping: FieldMapping, row: list[Any]) -> None:
    map_row = mapping.compile(HEADER).row
    for number in (1, 2):  # the second time, what is remembered comes back
        outcome = map_row(number, row)
        if isinstance(outcome, Rejected):
            assert outcome.faults
            assert list(outcome.source_row) == HEADER
            continue
        wire = dict(outcome.wire)
        assert to_wire(ProfileUpdate.from_flat(wire), user_id_name="external_id") == wire
        assert outcome.identifiers
        assert "null" not in map(str, wire.values())
        left_out = {fault.field for fault in outcome.omitted.faults} if outcome.omitted else set()
        assert left_out.isdisjoint(wire)


GOOD: dict[int, list[Any]] = {
    0: ["ada@shop.example", " bob@shop.example", "\u00e9ve@shop.example"],
    1: ["+79990001122", "79990001122 ", "7 (999) 000-11-22"],
    2: ["7", "C-7", " 8 ", 9, 10],
    3: ["l7", "L8"],
}


@st.composite
def _rows(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> list[list[Any]]:
    """Draw rows of which many columns hold nothing but what is accepted."""
    good = draw(st.sets(st.sampled_from(sorted(GOOD))))
    row = st.tuples(
        *(st.sampled_from(GOOD[index]) if index in good else values for index in range(10))
    )
    return draw(st.lists(row.map(list), min_size=1, max_size=6))


@settings(deadline=None, max_examples=500)
@given(mapping=_mappings(), rows=_rows(TEXTS), required=st.booleans())
def test_rows_of_text_are_mapped_together_as_each_by_itself(
    mapping: FieldMapping, rows: list[list[str]], required: bool
) -> None:
    _check_together(mapping, rows, required=required)


@settings(deadline=None, max_examples=300)
@given(mapping=_mappings(), rows=_rows(ANYTHING | TEXTS), required=st.booleans())
def test_rows_of_anything_are_mapped_together_as_each_by_itself(
    mapping: FieldMapping, rows: list[list[Any]], required: bool
) -> None:
    _check_together(mapping, rows, required=required)


def _check_together(mapping: FieldMapping, rows: list[list[Any]], *, required: bool) -> None:
    if required:
        mapping = attrs.evolve(mapping, required=(*mapping.fields,)[:2])
    one_by_one = mapping.compile(HEADER)
    together = mapping.compile(HEADER)
    expected = [one_by_one.row(number, row) for number, row in enumerate(rows, 5)]
    for _ in range(2):  # the second time, what is remembered comes back
        found = together.rows(5, list(zip(*rows, strict=True)))
        assert list(map(_shown, found)) == list(map(_shown, expected))


ADDRESSES = st.from_regex(
    r"[a-z0-9.+-]{1,5}@[a-z0-9-]{1,4}\.[a-z0-9-]{1,3}(\.[a-z]{1,3})?", fullmatch=True
)
NUMBERS = st.from_regex(r"[0-9]{1,7}", fullmatch=True)
TWO_LINES = st.sampled_from(["a1@b.co\nc1@d.co", "7\n8", "7\n", "a1@b.co\n", "c" * 65 + "@d.co"])
WORDS = st.sampled_from(
    ["none", "null@null.co", "9999999", "unknown@x.co", "a1@b.co", "7", "8", ""]
)


@settings(deadline=None, max_examples=1000)
@given(
    field=st.sampled_from(["email", "external_id"]),
    cells=st.lists(ADDRESSES | WORDS) | st.lists(NUMBERS | WORDS) | st.lists(TWO_LINES | WORDS),
)
def test_a_column_is_what_each_of_its_cells_is_by_itself(field: str, cells: list[str]) -> None:
    toml = f'[fields]\n{field} = {{ column = "c", absent = ["8", "a1@b.co"] }}'
    converter = Converter(field, FieldMapping.parse(toml).fields[field])

    assert converter.column(cells) == [converter.attempt(cell) for cell in cells]


def _shown(outcome: Outcome) -> object:
    # As texts: one drawn value need not be equal to itself, and the order of fields counts.
    if isinstance(outcome, Record):
        return outcome.row, repr(list(outcome.wire.items()))
    return repr(attrs.astuple(outcome, recurse=False))


TYPES = ["string", "identifier", "integer", "float", "boolean", "date", "datetime", "list", "json"]


def test_every_kind_can_be_asked_for() -> None:
    for kind in Kind:
        text = f'[fields]\nid = "a"\n[custom]\nx = {{ column = "b", type = "{kind}" }}'
        if kind not in TYPES:
            with pytest.raises(ConfigurationError):
                FieldMapping.parse(text)
        else:
            assert FieldMapping.parse(text).fields["x"].kind is kind
