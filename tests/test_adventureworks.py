"""The example reader gives the shop's data in the service's shapes, oddities and all."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from examples.adventureworks import (
    Customer,
    Order,
    Product,
    customers,
    last_orders,
    orders,
    products,
)
from personaclick_async.models.update import ProfileUpdate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "examples" / "sample"
REAL = Path(os.environ.get("PERSONACLICK_DATA", ROOT.parent / "shared" / "data"))
PHONES = "adventureworks-microsoft/oltp-PersonPhone.csv"

real_data = pytest.mark.skipif(
    not (REAL / "adventureworks-packt").is_dir(),
    reason=f"the AdventureWorks data is not at {REAL}; set PERSONACLICK_DATA to its folder",
)
either = pytest.mark.parametrize(
    "folder",
    [pytest.param(SAMPLE, id="sample"), pytest.param(REAL, id="real", marks=real_data)],
)


@cache
def customers_of(folder: Path) -> dict[str, Customer]:
    return {customer["external_id"]: customer for customer in customers(folder)}


@cache
def products_of(folder: Path) -> dict[str, Product]:
    return {product["id"]: product for product in products(folder)}


@cache
def orders_of(folder: Path) -> dict[str, Order]:
    return {order["id"]: order for order in orders(folder)}


def midnight(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


def leaves(value: object) -> Iterator[object]:
    match value:
        case dict():
            for item in value.values():
                yield from leaves(item)
        case list():
            for item in value:
                yield from leaves(item)
        case _:
            yield value


class TestEitherFolder:
    @either
    def test_every_customer_is_a_valid_profile_update(self, folder: Path) -> None:
        for customer in customers_of(folder).values():
            assert ProfileUpdate(**customer)

    @either
    def test_what_the_files_lack_is_left_out(self, folder: Path) -> None:
        for record in (
            *customers_of(folder).values(),
            *products_of(folder).values(),
            *orders_of(folder).values(),
        ):
            assert not {"", "NA"}.intersection(
                leaf for leaf in leaves(record) if isinstance(leaf, str)
            )

    @either
    def test_ids_are_unique(self, folder: Path) -> None:
        for read in (customers, products, orders):
            records = list(read(folder))
            assert len({r.get("id", r.get("external_id")) for r in records}) == len(records)

    @either
    def test_orders_name_known_customers_and_products(self, folder: Path) -> None:
        people, catalogue = customers_of(folder), products_of(folder)
        for order in orders_of(folder).values():
            assert order["external_id"] in people
            for item in order["items"]:
                assert item["price"] == catalogue[item["id"]]["price_full"]

    @either
    def test_an_order_has_a_product_once(self, folder: Path) -> None:
        for order in orders_of(folder).values():
            assert max(Counter(item["id"] for item in order["items"]).values()) == 1

    @either
    def test_value_is_the_sum_of_the_lines_to_the_cent(self, folder: Path) -> None:
        for order in orders_of(folder).values():
            lines = sum(item["price"] * item["quantity"] for item in order["items"])
            assert order["value"]["total"] == order["value"]["products"]
            assert order["value"]["total"] == pytest.approx(lines, abs=0.005001)

    @either
    def test_orders_come_oldest_first(self, folder: Path) -> None:
        dates = [order["date"] for order in orders_of(folder).values()]
        assert dates == sorted(dates)
        assert {seconds % 86_400 for seconds in dates} == {0}

    @either
    def test_last_orders_are_the_last_in_of_the_newest_date(self, folder: Path) -> None:
        newest: dict[str, Order] = {}
        for order in orders_of(folder).values():
            known = newest.get(order["external_id"])
            if known is None or order["date"] >= known["date"]:
                newest[order["external_id"]] = order
        assert last_orders(folder) == {
            customer: [item["id"] for item in order["items"]] for customer, order in newest.items()
        }

    @either
    def test_an_old_price_is_above_the_price(self, folder: Path) -> None:
        reduced = [
            product for product in products_of(folder).values() if "oldprice_full" in product
        ]
        assert reduced
        for product in reduced:
            assert product["oldprice_full"] > product["price_full"]
            assert product["oldprice"] == round(product["oldprice_full"])

    @either
    def test_emails_agree_in_both_sources(self, folder: Path) -> None:
        microsoft = folder / "adventureworks-microsoft"
        people = (microsoft / "oltp-Customer.csv").read_text("utf-8").splitlines()
        emails = (microsoft / "oltp-EmailAddress.csv").read_text("utf-8").splitlines()
        of_person = {person: email for person, _, email, *_ in (row.split("+|") for row in emails)}
        for customer, person, *_ in (row.split("\t") for row in people):
            if customer in customers_of(folder):
                assert of_person[person] == customers_of(folder)[customer]["email"]


class TestSample:
    def test_size(self) -> None:
        found = orders_of(SAMPLE).values()
        assert len(customers_of(SAMPLE)) == 40
        assert len(products_of(SAMPLE)) == 30
        assert sum(len(order["items"]) for order in found) == 120

    def test_a_customer(self) -> None:
        assert next(customers(SAMPLE)) == {
            "external_id": "31001",
            "email": "ansel45@example.org",
            "phone": "303-555-0141",
            "first_name": "Ansel",
            "last_name": "Brackwater",
            "gender": "m",
            "birthday": date(1971, 4, 8),
            "location": "Paris, Seine (Paris), France",
            "custom": {
                "prefix": "Mr.",
                "marital_status": "M",
                "annual_income": 150000,
                "total_children": 0,
                "education_level": "Graduate Degree",
                "occupation": "Skilled Manual",
                "home_owner": "Y",
            },
        }

    @pytest.mark.parametrize(
        ("customer", "first_name", "last_name"),
        [
            ("31003", "Tobias", "McAllister"),
            ("31004", "Imani", "Okonjo-Reed"),
            ("31005", "Björn", "Åkerhielm"),
            ("31007", "María José", "Peñafiel"),
            ("31008", "Cormac", "O'Driscoll"),
            ("31015", "K.", "Varghese"),
        ],
    )
    def test_names_are_in_title_case(self, customer: str, first_name: str, last_name: str) -> None:
        found = customers_of(SAMPLE)[customer]
        assert (found["first_name"], found["last_name"]) == (first_name, last_name)

    def test_dates_are_month_day_year_padded_or_not(self) -> None:
        found = customers_of(SAMPLE)
        assert found["31001"]["birthday"] == date(1971, 4, 8)  # 04/08/1971
        assert found["31002"]["birthday"] == date(1964, 5, 14)  # 5/14/1964

    def test_no_gender_and_no_prefix_where_the_file_says_na(self) -> None:
        unknown = [
            customer for customer in customers_of(SAMPLE).values() if "gender" not in customer
        ]
        assert [customer["external_id"] for customer in unknown] == ["31006", "31024"]
        assert not any("prefix" in customer["custom"] for customer in unknown)

    def test_phones_are_shared_or_missing(self) -> None:
        phones = Counter(customer.get("phone") for customer in customers_of(SAMPLE).values())
        assert phones["206-555-0131"] == 3
        assert phones[None] == 1

    def test_location_is_the_home_and_not_where_to_ship_to(self) -> None:
        assert customers_of(SAMPLE)["31004"]["location"] == "Portland, Oregon, United States"

    def test_a_product(self) -> None:
        assert products_of(SAMPLE)["725"] == {
            "id": "725",
            "name": "Fisher, Grey, S",
            "description": "Heavy rib jumper of undyed wool, made to last.",
            "model": "Fisher",
            "vendor_code": "JU-F1GR-S",
            "url": "https://shop.example/products/725",
            "image_url": "https://shop.example/images/725.jpg",
            "price": 84,
            "price_full": 84.2273,
            "oldprice": 90,
            "oldprice_full": 89.99,
            "category_ids": ["3", "3-5"],
            "categories": [
                {
                    "id": "3",
                    "name": "Knitwear",
                    "parent": None,
                    "url": "https://shop.example/categories/3",
                },
                {
                    "id": "3-5",
                    "name": "Jumpers",
                    "parent": "3",
                    "url": "https://shop.example/categories/3-5",
                },
            ],
            "fashion_colors": [{"color": "Grey", "picture": "https://shop.example/images/725.jpg"}],
            "params": [{"key": "size", "values": ["S"]}, {"key": "style", "values": ["U"]}],
        }

    def test_a_product_without_colour_size_and_old_price(self) -> None:
        candle = products_of(SAMPLE)["721"]
        assert not {"fashion_colors", "params", "oldprice", "oldprice_full"}.intersection(candle)

    def test_an_old_price_that_was_long_ago(self) -> None:
        assert products_of(SAMPLE)["740"]["oldprice_full"] == 14.0  # the list price fell to 12.50

    def test_an_order_in_line_order(self) -> None:
        assert orders_of(SAMPLE)["SO82990-31001"] == {
            "id": "SO82990-31001",
            "external_id": "31001",
            "status": "delivered",
            "date": midnight(2019, 6, 30),
            "value": {"total": 118.36, "products": 118.36},
            "items": [
                {"id": "724", "price": 14.99, "quantity": 1},
                {"id": "714", "price": 8.7442, "quantity": 2},
                {"id": "720", "price": 34.99, "quantity": 2},
                {"id": "746", "price": 7.95, "quantity": 2},
            ],
        }

    def test_a_number_shared_by_two_customers_is_two_orders(self) -> None:
        found = orders_of(SAMPLE)
        mine, theirs = found["SO82619-31002"], found["SO82619-31029"]
        assert [item["id"] for item in mine["items"]] == ["742", "720", "717"]
        assert [item["id"] for item in theirs["items"]] == ["742", "717"]

    def test_of_two_orders_on_the_last_day_the_higher_number_is_the_last(self) -> None:
        found = orders_of(SAMPLE)
        earlier, later = found["SO82904-31007"], found["SO82907-31007"]
        assert earlier["date"] == later["date"] == midnight(2019, 6, 26)
        assert last_orders(SAMPLE)["31007"] == [item["id"] for item in later["items"]]

    def test_customers_without_orders_have_no_last_order(self) -> None:
        assert customers_of(SAMPLE).keys() - last_orders(SAMPLE).keys() == {
            "31006",
            "31020",
            "31042",
        }

    def test_people_cannot_be_reached(self) -> None:
        for customer in customers_of(SAMPLE).values():
            assert customer["email"].endswith(("@example.com", "@example.org", "@example.net"))
            assert "555-01" in customer.get("phone", "555-01")

    @real_data
    def test_files_are_laid_out_like_the_real_ones(self) -> None:
        marks = (b"\t", b"|", b"+|", b"&|\n", b"\r\n")
        for ours in SAMPLE.rglob("*.csv"):
            theirs = REAL / ours.relative_to(SAMPLE)
            first, model = (
                path.read_bytes().splitlines(keepends=True)[0] for path in (ours, theirs)
            )
            if ours.parent.name == "adventureworks-packt":  # a header, with or without a BOM
                assert first == model
            else:
                assert [first.count(mark) for mark in marks] == [
                    model.count(mark) for mark in marks
                ]


class TestWrongFolder:
    @pytest.mark.parametrize("read", [customers, products, orders])
    def test_without_the_files(
        self, read: Callable[[Path], Iterator[object]], tmp_path: Path
    ) -> None:
        with pytest.raises(
            FileNotFoundError, match=r"no adventureworks-.*\.csv in .*examples/sample"
        ):
            next(read(tmp_path))

    def test_without_one_file(self, tmp_path: Path) -> None:
        shutil.copytree(SAMPLE, tmp_path, dirs_exist_ok=True)
        (tmp_path / PHONES).unlink()
        with pytest.raises(FileNotFoundError, match=PHONES):
            next(customers(tmp_path))
        assert last_orders(tmp_path)  # needs no phones

    def test_with_other_columns(self, tmp_path: Path) -> None:
        shutil.copytree(SAMPLE, tmp_path, dirs_exist_ok=True)
        products_file = tmp_path / "adventureworks-packt" / "AdventureWorks_Products.csv"
        products_file.write_text("ProductKey,Name\r\n1,Cup\r\n", encoding="utf-8")
        with pytest.raises(
            ValueError, match=r"AdventureWorks_Products\.csv: no column .*ProductSKU"
        ):
            next(products(tmp_path))

    def test_with_another_number_of_fields(self, tmp_path: Path) -> None:
        shutil.copytree(SAMPLE, tmp_path, dirs_exist_ok=True)
        with (tmp_path / PHONES).open("a", encoding="utf-8") as file:
            file.write("9+|206-555-0199\n")
        with pytest.raises(ValueError, match=rf"{PHONES}: line 42 has 2 fields, not 4"):
            next(customers(tmp_path))


@real_data
class TestRealData:
    def test_counts(self) -> None:
        people, found = customers_of(REAL), orders_of(REAL).values()
        assert len(people) == 18_148
        assert len(products_of(REAL)) == 293
        assert len(found) == 25_164
        assert sum(len(order["items"]) for order in found) == 56_046
        assert len(people.keys() - last_orders(REAL).keys()) == 737

    def test_everybody_has_a_phone_and_a_place(self) -> None:
        found = customers_of(REAL).values()
        assert all("phone" in customer and "location" in customer for customer in found)
        phones = Counter(customer["phone"] for customer in found)
        assert sum(count for count in phones.values() if count > 1) == 10_099

    def test_genders(self) -> None:
        genders = Counter(customer.get("gender") for customer in customers_of(REAL).values())
        assert genders == {"m": 9_126, "f": 8_892, None: 130}

    def test_emails_that_are_not_ascii(self) -> None:
        emails = [customer["email"] for customer in customers_of(REAL).values()]
        assert sum(not email.isascii() for email in emails) == 39

    @pytest.mark.parametrize(
        ("customer", "name", "birthday", "reached_at"),
        [
            (
                "11000",
                "Jon Yang",
                date(1966, 4, 8),  # 04/08/1966
                ("1 (11) 500 555-0162", "Rockhampton, Queensland, Australia"),
            ),
            (
                "11001",
                "Eugene Huang",
                date(1965, 5, 14),  # 5/14/1965
                ("1 (11) 500 555-0110", "Seaford, Victoria, Australia"),
            ),
            (
                "29483",
                "Jésus Navarro",
                date(1959, 12, 8),  # 12/08/1959
                ("1 (11) 500 555-0141", "Paris La Defense, Hauts de Seine, France"),
            ),
        ],
    )
    def test_customers(
        self, customer: str, name: str, birthday: date, reached_at: tuple[str, str]
    ) -> None:
        found = customers_of(REAL)[customer]
        assert f"{found['first_name']} {found['last_name']}" == name
        assert found["birthday"] == birthday
        assert (found["phone"], found["location"]) == reached_at

    def test_names_of_more_than_one_part(self) -> None:
        names = {customer["last_name"] for customer in customers_of(REAL).values()}
        assert {"McDonald", "Smith-Bates", "Javier Castrejón", "Macagno"} <= names

    def test_products(self) -> None:
        found = products_of(REAL)
        helmet = found["215"]
        assert helmet["name"] == "Sport-100 Helmet, Black"
        assert (helmet["price_full"], helmet["oldprice_full"]) == (33.6442, 34.99)
        assert [category["name"] for category in helmet["categories"]] == ["Accessories", "Helmets"]
        assert "params" not in helmet
        assert sum("oldprice" in product for product in found.values()) == 76
        assert sum("fashion_colors" not in product for product in found.values()) == 50

    def test_numbers_shared_by_two_customers(self) -> None:
        found = orders_of(REAL)
        assert [item["id"] for item in found["SO62019-14224"]["items"]] == ["560", "215"]
        assert [item["id"] for item in found["SO62019-12807"]["items"]] == ["584"]
        assert found["SO62019-12807"]["date"] == midnight(2019, 1, 13)
        assert {"SO72019-25149", "SO72019-20367"} <= found.keys()

    def test_last_orders(self) -> None:
        assert (
            last_orders(REAL).items()
            >= {
                "28517": ["606", "479", "477", "462"],
                "11520": ["530", "480"],  # SO73812, not SO73811
                "18139": ["561", "479", "477", "223"],  # SO66012, not SO65950
                "18215": ["223"],  # SO69730, not SO69722
            }.items()
        )

    def test_nine_have_two_orders_on_their_last_day(self) -> None:
        days = Counter((order["external_id"], order["date"]) for order in orders_of(REAL).values())
        last = {order["external_id"]: order["date"] for order in orders_of(REAL).values()}
        assert sum(days[customer_day] > 1 for customer_day in last.items()) == 9
