"""What is read from databases, with a real one: SQLite."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from personaclick_async import ConfigurationError
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.records import Rejected
from personaclick_async.sync.sources import SourceFailed, SqlSource
from tests.sync.sources.conftest import PEOPLE, faults, plain, wires

sqlalchemy = pytest.importorskip("sqlalchemy", reason="the extra sql is not installed")

QUERY = "SELECT id, email, name FROM people ORDER BY id"


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database with people in it, every tenth without an e-mail address."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE people (id INTEGER, email TEXT, name TEXT, bought INT)")
        connection.executemany(
            "INSERT INTO people VALUES (?, ?, ?, 1)",
            [(n, f"p{n}@shop.example" if n % 10 else "nobody", f"N{n}") for n in range(1, 2501)],
        )
        connection.commit()
    return f"sqlite:///{path}"


def test_rows_are_records(url: str) -> None:
    source = SqlSource(url, QUERY, PEOPLE)

    outcomes = list(source.outcomes())

    assert source.name == "sqlite shop.db"
    assert source.columns == ("id", "email", "name")
    assert [one.row for one in outcomes] == list(range(1, 2501))
    assert wires(outcomes[:1]) == [
        {"external_id": "1", "email": "p1@shop.example", "first_name": "N1"}
    ]
    assert faults(outcomes) == [(n, "email") for n in range(10, 2501, 10)]
    rejected = outcomes[9]
    assert isinstance(rejected, Rejected)
    assert rejected.source_row == {"id": 10, "email": "nobody", "name": "N10"}


def test_columns_can_be_named_as_the_fields_are(url: str) -> None:
    query = (
        "SELECT id AS external_id, bought AS bought_something, name AS first_name, NULL AS phone,"
        " 1.5 AS score FROM people WHERE id = :id"
    )

    assert wires(SqlSource(url, query, parameters={"id": 7}).outcomes()) == [
        {"external_id": "7", "bought_something": True, "first_name": "N7", "score": 1.5}
    ]


def test_an_engine_can_be_given_and_stays_usable(url: str) -> None:
    engine = sqlalchemy.create_engine(url)
    try:
        source = SqlSource(engine, QUERY, PEOPLE)
        assert len(list(source.outcomes())) == 2500
        assert len(list(source.outcomes())) == 2500
    finally:
        engine.dispose()


def test_rows_are_fetched_a_thousand_at_a_time(url: str) -> None:
    engine = sqlalchemy.create_engine(url)
    computed: list[int] = []

    def told(number: int) -> int:
        computed.append(number)
        return number

    with engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        raw.create_function("told", 1, told)
    try:
        outcomes = SqlSource(engine, "SELECT told(id) AS id, email, name FROM people").outcomes()
        next(outcomes)
        outcomes.close()
    finally:
        engine.dispose()

    assert 1000 <= len(computed) < 1100


@pytest.mark.parametrize("after_row", [0, 1, 999, 1000, 2499, 2500, 9999])
def test_resuming_gives_the_rest_of_a_full_read(url: str, after_row: int) -> None:
    source = SqlSource(url, QUERY, PEOPLE, version="1")
    whole = list(source.outcomes())

    resumed = list(source.outcomes(after_row=after_row))

    assert [plain(one) for one in resumed] == [plain(one) for one in whole[after_row:]]


def test_only_a_version_makes_it_resumable(url: str) -> None:
    assert SqlSource(url, QUERY, PEOPLE).fingerprint is None
    prints = {
        SqlSource(url, QUERY, PEOPLE, version="1").fingerprint,
        SqlSource(url, QUERY, PEOPLE, version="2").fingerprint,
        SqlSource(url, QUERY, version="1").fingerprint,
        SqlSource(url, QUERY + " DESC", PEOPLE, version="1").fingerprint,
        SqlSource(url, QUERY, PEOPLE, parameters={"a": 1}, version="1").fingerprint,
    }
    assert len(prints) == 5
    assert None not in prints


def test_a_version_needs_an_order(url: str) -> None:
    with pytest.raises(ConfigurationError, match="ORDER BY"):
        SqlSource(url, "SELECT * FROM people", PEOPLE, version="1")


def test_a_query_that_fails_says_why(url: str) -> None:
    with pytest.raises(SourceFailed, match="no such table: customers"):
        list(SqlSource(url, "SELECT * FROM customers", PEOPLE).outcomes())
    with pytest.raises(SourceFailed, match="syntax"):
        list(SqlSource(url, "SELEKT", PEOPLE).outcomes())


def test_a_statement_without_rows_is_refused(url: str) -> None:
    with pytest.raises(SourceFailed):
        list(SqlSource(url, "CREATE TABLE more (id INT)", PEOPLE).outcomes())


def test_a_row_that_fails_is_not_quoted(url: str) -> None:
    query = "SELECT id, email, CASE WHEN id > 5 THEN abs(-9223372036854775808) END name FROM people"

    with pytest.raises(SourceFailed) as raised:
        list(SqlSource(url, query, PEOPLE).outcomes())

    assert str(raised.value) == "sqlite shop.db: OperationalError while reading"
    assert raised.value.__suppress_context__


@pytest.mark.parametrize("url", ["nothing", "sqlite//canary:canary@host/db", ""])
def test_a_url_that_is_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="database") as raised:
        list(SqlSource(url, QUERY, PEOPLE).outcomes())
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("scheme", ["klingon", "postgresql+pg8000x", "oracle"])
def test_a_driver_that_is_not_installed_is_named(scheme: str) -> None:
    with pytest.raises(ConfigurationError, match="driver") as raised:
        list(SqlSource(f"{scheme}://canary:canary@localhost/shop", QUERY, PEOPLE).outcomes())
    assert "canary" not in str(raised.value)


def test_the_sample_gives_the_first_rows(url: str) -> None:
    sample = SqlSource(url, QUERY).sample(1)

    assert sample.columns == ("id", "email", "name")
    assert [list(row) for row in sample.rows] == [[1, "p1@shop.example", "N1"]]


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)

    with pytest.raises(ConfigurationError, match=r"personaclick-async\[sql\]"):
        SqlSource("sqlite://", QUERY)


def test_a_database_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "shpo.db"

    with pytest.raises(ConfigurationError, match=r"sqlite shpo\.db: expected a database file"):
        SqlSource(f"sqlite:///{path}", QUERY, PEOPLE)

    assert not path.exists()


@pytest.mark.parametrize(
    ("scheme", "package"), [("mysql", "mysqlclient"), ("postgresql+psycopg2", "psycopg2-binary")]
)
def test_a_driver_is_named_by_its_package(scheme: str, package: str) -> None:
    with pytest.raises(ConfigurationError, match=f"pip install {package}$"):
        list(SqlSource(f"{scheme}://canary:canary@localhost/shop", QUERY, PEOPLE).outcomes())


def test_a_server_that_is_down_is_named_with_its_port() -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    source = SqlSource("postgresql+psycopg://canary:canary@127.0.0.1:9/shop", QUERY, PEOPLE)

    with pytest.raises(SourceFailed) as failed:
        list(source.outcomes())

    assert str(failed.value) == "postgresql shop: the server at 127.0.0.1:9 does not answer"
    assert failed.value.__suppress_context__


def test_columns_of_one_name_can_be_told_apart(url: str) -> None:
    query = "SELECT id, name AS n, bought AS n FROM people WHERE id = 7"
    mapping = FieldMapping.parse('[fields]\nexternal_id = "id"\n[custom]\nbought = "n (2)"')

    assert wires(SqlSource(url, query, mapping).outcomes()) == [{"external_id": "7", "bought": 1}]
