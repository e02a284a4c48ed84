"""A mapping proposed from a header and the first rows."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personaclick_async import ConfigurationError
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.proposal import propose_mapping
from personaclick_async.sync.records import Record
from personaclick_async.sync.sources import CsvSource, IterableSource, Sample
from tests.sync.sources.conftest import EXAMPLES, wires

SAMPLE = EXAMPLES / "sample/adventureworks-packt/AdventureWorks_Customers.csv"


def _propose(**columns: list[object]) -> str:
    return propose_mapping(Sample(tuple(columns), list(zip(*columns.values(), strict=True))))


def test_it_can_be_used_as_it_is() -> None:
    proposed = propose_mapping(CsvSource(SAMPLE).sample())

    read = wires(CsvSource(SAMPLE, FieldMapping.parse(proposed)).outcomes())

    assert len(read) == 40
    assert set(read[0]) == {
        "email",
        "external_id",
        "first_name",
        "last_name",
        "gender",
        "birthday",
    }
    assert "MARCO" not in proposed


def test_with_its_comments_taken_away_it_sends_all_columns() -> None:
    proposed = propose_mapping(CsvSource(SAMPLE).sample())
    head, custom = proposed.split("[custom]\n")

    mapping = FieldMapping.parse(f"{head}[custom]\n{custom.replace('# ', '')}")

    ours = FieldMapping.load(EXAMPLES / "mappings/adventureworks.toml")
    assert set(mapping.fields) == set(ours.fields)
    assert len(wires(CsvSource(SAMPLE, mapping).outcomes())) == 40


def test_the_real_customers_can_be_sent_with_it(data: Path) -> None:
    path = data / "adventureworks-packt/AdventureWorks_Customers.csv"
    proposed = propose_mapping(CsvSource(path).sample())

    outcomes = CsvSource(path, FieldMapping.parse(proposed)).outcomes()

    assert sum(isinstance(one, Record) for one in outcomes) == 18_148


@pytest.mark.parametrize(
    ("column", "field"),
    [
        ("email", "email"),
        ("EmailAddress", "email"),
        ("e-mail", "email"),
        ("E-Mail Address", "email"),
        ("Phone", "phone"),
        ("MobilePhone", "phone"),
        ("phone_number", "phone"),
        ("CustomerKey", "external_id"),
        ("customer_id", "external_id"),
        ("ID", "external_id"),
        ("FirstName", "first_name"),
        ("first name", "first_name"),
        ("surname", "last_name"),
        ("Фамилия", "last_name"),
        ("BirthDate", "birthday"),
        ("date_of_birth", "birthday"),
        ("DOB", "birthday"),
        ("Sex", "gender"),
        ("loyalty card number", "loyalty_id"),
        ("Příjmení", "last_name"),
        ("Дата народження", "birthday"),
        ("Email (home)", "email"),
        ("Мобильный телефон", "phone"),
        ("_id.$oid", "external_id"),
        ("Mailing City", "location"),
    ],
)
def test_columns_are_known_in_many_spellings(column: str, field: str) -> None:
    assert tomllib.loads(propose_mapping(Sample((column,), [[""]])))["fields"] == {field: column}


@pytest.mark.parametrize(
    ("texts", "line"),
    [
        (["1990-02-01"], 'birthday = "dob"'),
        (["04/08/1966", "5/14/1965"], 'birthday = { column = "dob", format = "%m/%d/%Y" }'),
        (["31/12/1966", "1/2/1965"], 'birthday = { column = "dob", format = "%d/%m/%Y" }'),
        (["1.2.1965"], 'birthday = { column = "dob", format = "%d.%m.%Y" }'),
        (["19650201"], 'birthday = { column = "dob", format = "%Y%m%d" }'),
        (["3 Feb 1999"], 'birthday = { column = "dob", format = "%d %b %Y" }'),
        (["1990-02-01 00:00:00"], 'birthday = "dob"'),
        (["1990-03-11T00:00:00.000", "1990-3-1", "1990年3月1日"], 'birthday = "dob"'),
        (["11-Mar-90", "3-Mai-91"], 'birthday = { column = "dob", format = "%d-%b-%y" }'),
        (["3/28/68"], 'birthday = { column = "dob", format = "%m/%d/%y" }'),
        (["3/28/1968 12:00 AM"], 'birthday = { column = "dob", format = "%m/%d/%Y %I:%M %p" }'),
        (["32874", "25569"], 'birthday = { column = "dob", format = "excel" }'),
        (["636163200"], 'birthday = { column = "dob", format = "unix" }'),
        (["636163200000"], 'birthday = { column = "dob", format = "unix ms" }'),
        (["1990/02/01", "NULL", "unknown"], 'birthday = { column = "dob", absent = ["unknown"] }'),
        (["1/2/1965"], '"%m/%d/%Y" }  # %m/%d/%Y or %d/%m/%Y? The sample fits both'),
        (["1.2.65", "0.0.00", "", "3.2.66"], '"dob", format = "%d.%m.%y" }  # 1 of 3'),
        (["10121985", "25031990"], 'birthday = { column = "dob", format = "%d%m%Y" }'),
        (["10121985"], '# birthday = { column = "dob", format = "%d%m%Y" }  # %d%m%Y or'),
        (["long ago"], '# birthday = "dob"  # say how: format = "%m/%d/%Y" or another'),
    ],
)
def test_the_format_of_dates_is_found(texts: list[object], line: str) -> None:
    assert line in _propose(dob=texts)


@pytest.mark.parametrize(
    ("texts", "line"),
    [
        (["m", "f"], 'gender = "sex"'),
        (["M", "NA"], 'values = { M = "m", F = "f" }, absent = ["NA"]'),
        (
            ["Male", "Female", "Unknown"],
            'values = { Male = "m", Female = "f" }, absent = ["Unknown"]',
        ),
        (["FEMALE"], 'values = { MALE = "m", FEMALE = "f" }'),
        (["Ж", "М"], 'values = { "М" = "m", "Ж" = "f" }'),  # noqa: RUF001 - they are Cyrillic
        (["muž"], 'values = { "muž" = "m", "žena" = "f" }'),
        (["private remark"], 'gender = "sex"'),
    ],
)
def test_the_words_for_genders_are_found(texts: list[object], line: str) -> None:
    proposed = _propose(sex=texts)
    assert line in proposed
    assert "private" not in proposed


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (["1", "2", ""], '# annual_income = { column = "AnnualIncome", type = "integer" }'),
        (["$90,000 "], 'type = "integer"'),
        (["1.5", "2"], 'type = "float"'),
        (["Y", "N"], 'type = "boolean"'),
        (["[1]", '{"a": 1}'], 'type = "json"'),
        (["1/31/2026", "-"], 'type = "date", format = "%m/%d/%Y", absent = ["-"]'),
        (["2026-08-01T12:30:00Z"], 'type = "datetime" }'),
        (["007"], '# annual_income = "AnnualIncome"'),
        (["a", "b"], '# annual_income = "AnnualIncome"'),
        (["NA"], '# annual_income = "AnnualIncome"'),
        (["9" * 30], '# annual_income = "AnnualIncome"'),
        ([True, None], 'type = "boolean"'),
        ([1, 2], 'type = "integer"'),
        ([1, 2.5], 'type = "float"'),
        ([["a"]], 'type = "list"'),
        ([{"a": 1}], 'type = "json"'),
        ([None], '# annual_income = "AnnualIncome"'),
    ],
)
def test_other_columns_are_proposed_as_comments_with_their_type(
    values: list[object], line: str
) -> None:
    proposed = _propose(AnnualIncome=values, id=["1"] * len(values))

    assert line in proposed
    assert tomllib.loads(proposed)["custom"] == {}


def test_names_of_properties_are_such_as_can_be_used() -> None:
    names = ["HTTPCode", "Ünï côde", "Имя питомца", "did", "a b", "a-b", "2024", "AnnualIncome2"]
    columns = ["email", *names]
    proposed = propose_mapping(Sample(tuple(columns), [[""] * len(columns)]))
    lines = [line.removeprefix("# ") for line in proposed.split("[custom]\n")[1].splitlines()]

    custom = tomllib.loads("\n".join(lines))

    assert list(custom) == [
        "http_code",
        "uni_code",
        "column_3",
        "did_property",
        "a_b",
        "a_b_6",
        "column_7",
        "annual_income2",
    ]
    assert list(custom.values()) == names


def test_places_make_a_location() -> None:
    proposed = _propose(Country=["x"], City=["x"], id=["1"])
    assert 'location = { columns = ["City", "Country"], join = ", " }' in proposed


def test_of_two_columns_the_surer_one_is_taken() -> None:
    proposed = _propose(Email=["a@b.example"], email_2=["c@b.example"], Mail=["d@b.example"])
    assert 'email = "Email"' in proposed
    assert "# mail = " in proposed


@pytest.mark.parametrize(
    ("columns", "own"),
    [
        ({"Id": ["1", "2"], "AccountId": ["7", "7"], "FirstName": ["A", "B"]}, "Id"),
        ({"id": ["1", "2"], "user_id": ["7", "8"]}, "id"),
        ({"user_id": ["7", "7"], "kunden_id": ["1", "2"]}, "kunden_id"),
        ({"ID": ["7", "7"], "CustomerNo": ["1", "2"]}, "CustomerNo"),
        ({"Id": ["", ""], "CustomerNo": ["1", "1"]}, "CustomerNo"),
    ],
)
def test_the_id_is_the_rows_own_and_tells_rows_apart(
    columns: dict[str, list[object]], own: str
) -> None:
    assert f'external_id = "{own}"' in _propose(**columns)


@pytest.mark.parametrize(
    ("names", "first", "last"),
    [
        (["Ada Lovelace", "Grace Hopper"], "first_name = {", "last_name = {"),
        (["Lovelace, Ada"], "first_name = {", "last_name = {"),
        (["José", "Ada"], 'first_name = "name"  # 2 of 2', "# last_name = {"),
        (["山田 太郎"], "# first_name = {", "# last_name = {"),
        (["Иванова Анна", "Гоголь Яна", "Чехов Лев"], "# first_name = {", "# last_name = {"),
        (
            ["Анна Иванова", "Марина Чехова", "Лев Чехов", "Яна Ж"],
            "first_name = {",
            "last_name = {",
        ),
    ],
)
def test_a_whole_name_is_split_where_that_is_certain(
    names: list[object], first: str, last: str
) -> None:
    lines = _propose(name=names, id=[str(n) for n in range(1, len(names) + 1)]).splitlines()

    assert any(line.startswith(first) for line in lines)
    assert any(line.startswith(last) for line in lines)


@pytest.mark.parametrize(
    ("column", "names", "line"),
    [
        ("surname", ["ADA", "K."], 'case = "name" }  # VAN DYK -> Van Dyk'),
        ("surname", ["İSMAİL", "JON"], 'case = "turkish" }  # YILDIZ -> Yıldız'),  # noqa: RUF001
        ("soyad", ["IŞIK", "YILMAZ"], 'case = "turkish" }  # YILDIZ -> Yıldız'),  # noqa: RUF001
        ("soyad", ["ISIK", "YILMAZ"], 'last_name = "soyad"'),
        ("Ad Soyad", ["AYŞE YILMAZ"], 'part = "last", case = "turkish"'),
        ("Фамилия", ["ИВАНОВ"], 'case = "name" }  # VAN DYK -> Van Dyk'),
        ("surname", ["ΓΙΑΝΝΗΣ"], 'last_name = "surname"'),
        ("email", ["ADA@SHOP.EXAMPLE"], 'email = { column = "email", case = "lower" }'),
    ],
)
def test_names_in_capitals_are_changed_where_their_small_letters_are_known(
    column: str, names: list[object], line: str
) -> None:
    columns: dict[str, list[object]] = {column: names, "id": [*"12"][: len(names)]}
    assert line in _propose(**columns)


def test_a_middle_name_alone_is_no_whole_name() -> None:
    assert 'middle_name = "patronymic"' in _propose(id=["1", "2"], patronymic=["Ivanovich", "Lee"])


def test_a_line_that_refuses_much_of_the_sample_is_a_comment_with_the_reason() -> None:
    good = [f"+49 30 12345{n}" for n in range(6)]
    some = _propose(id=[*"1234567"], phone=[*good, "12"])
    national = _propose(id=[*"12"], phone=["044 668 18 00", "044 668 18 01"])

    assert 'phone = "phone"  # 1 of 7 values would be left out: expected ' in some
    assert '\n# phone = "phone"  # 2 of 2 values would be left out: expected an inter' in national


def test_with_a_country_national_numbers_are_read() -> None:
    sample = Sample(("id", "phone"), [["1", "044 668 18 00"]])

    proposed = propose_mapping(sample, country="CH")

    record = FieldMapping.parse(proposed).compile(sample.columns).row(1, sample.rows[0])
    assert isinstance(record, Record)
    assert record.wire == {"external_id": "1", "phone": "+41446681800"}


def test_words_of_other_languages_are_written_out() -> None:
    assert 'values = { "Männlich" = "m", Weiblich = "f" }' in _propose(Geschlecht=["Weiblich"])
    assert 'values = { M = "m", W = "f" }' in _propose(Geschlecht=["W", "M"])
    assert 'values = { M = "m", k = "f" }' in _propose(sex=["k", "M"])
    assert 'values = { Erkek = "m", "Kadın" = "f" }' in _propose(Cinsiyet=["Kadın"])  # noqa: RUF001
    assert "# gender = " in _propose(sexo=["H", "M"])
    assert "# gender = " in _propose(sexo=["M"])
    flags = _propose(bought_something=["да", "нет"])
    assert '"да" = true, "нет" = false' in flags
    assert 'type = "boolean"' not in _propose(id=["1", "2"], Country=["NO", "SE"])


def test_codes_and_doubtful_numbers_are_no_numbers() -> None:
    proposed = _propose(
        id=["1", "2"],
        zip=["8005", "9000"],
        sku=["1", "2"],
        ref=["007", "1E4"],
        x=["1.250", "2.500"],
    )
    assert '# zip = "zip"' in proposed
    assert '# sku = "sku"' in proposed
    assert '# ref = "ref"' in proposed
    assert 'Add decimal = "," or "."' in proposed
    assert 'type = "float", decimal = ","' in _propose(id=["1", "2"], x=["1.250", "2,5"])


def test_without_an_identifier_it_says_so() -> None:
    proposed = _propose(FirstName=["ADA"])
    assert "No column looks like one of email" in proposed
    assert tomllib.loads(proposed)["fields"] == {
        "first_name": {"column": "FirstName", "case": "name"}
    }


def test_a_row_of_data_is_not_taken_for_a_header() -> None:
    for row in (("7", "canary@shop.example"), ("7", "04/08/1966"), ("canary", "London")):
        with pytest.raises(ConfigurationError, match=r"header|none of their names") as raised:
            propose_mapping(Sample(row, []))
        assert "canary" not in str(raised.value)


def test_rows_that_do_not_fit_their_header_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="do not fit the header") as raised:
        _propose(id=["1"], email=["Ada"], city=["ada@shop.example"])
    assert "ada@" not in str(raised.value)


def test_columns_of_a_reject_file_are_passed_over() -> None:
    proposed = _propose(_row=["1"], _field=["x"], _reason=["x"], _sent=[""], email=["x"])
    assert "_row" not in proposed


@settings(deadline=None)
@given(
    records=st.lists(
        st.dictionaries(
            st.text(st.characters(), max_size=8),
            st.none() | st.text(max_size=8) | st.integers() | st.dates(),
        ),
        max_size=3,
    )
)
def test_whatever_the_columns_it_parses(records: list[dict[str, object]]) -> None:
    try:
        proposed = propose_mapping(IterableSource(records).sample())
    except ConfigurationError:
        return
    tomllib.loads(proposed)
    if "[custom]\n" in proposed:
        head, custom = proposed.split("[custom]\n")
        lines = [line.removeprefix("# ") for line in custom.splitlines()]
        tomllib.loads("\n".join([head, "[custom]", *lines]))
