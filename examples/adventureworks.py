"""Read the AdventureWorks shop as customers, products and orders in the service's shapes.

A data folder has the sub-folders ``adventureworks-packt`` (customers, products, sales) and
``adventureworks-microsoft`` (phones, addresses, categories, list prices); ``examples/sample`` is
a small one of our own making. Readers open their files when the iteration starts and raise
FileNotFoundError for a file that is not there, ValueError for one that has other columns.
"""

from __future__ import annotations

import csv
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NotRequired, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKT: Final = "adventureworks-packt"
_MICROSOFT: Final = "adventureworks-microsoft"
_CUSTOMERS: Final = f"{_PACKT}/AdventureWorks_Customers.csv"
_PRODUCTS: Final = f"{_PACKT}/AdventureWorks_Products.csv"
_SALES: Final = tuple(f"{_PACKT}/AdventureWorks_Sales_{year}.csv" for year in (2017, 2018, 2019))

_TAB: Final = "\t"
_PIPE: Final = "|"
_PLUS_PIPE: Final = "+|"
_ROW_END: Final = "&|"  # only rows of the files with +| between fields end with it

_NOT_AVAILABLE: Final = "NA"
_NO_SIZE_OR_STYLE: Final = "0"
_HOME_ADDRESS: Final = "2"
_GENDERS: Final = {"M": "m", "F": "f"}
_SHOP_URL: Final = "https://shop.example"


class Customer(TypedDict):
    """A profile as ``ProfileUpdate(**customer)`` takes it; what the files lack is not there.

    Phones are not unique and written as in the file; ``custom`` has ``prefix`` (some),
    ``marital_status`` (M, S), ``annual_income``, ``total_children``, ``education_level``,
    ``occupation`` and ``home_owner`` (Y, N: the service documents no boolean property).
    """

    external_id: str
    email: str
    first_name: str
    last_name: str
    birthday: date
    phone: NotRequired[str]
    gender: NotRequired[str]
    location: NotRequired[str]
    custom: dict[str, str | int]


class Category(TypedDict):
    """A category of the shop; ``parent`` is None for a root."""

    id: str
    name: str
    parent: str | None
    url: str


class FashionColor(TypedDict):
    """A colour of a product and the picture that shows it."""

    color: str
    picture: str


class Param(TypedDict):
    """A parameter of a product: ``size`` or ``style``."""

    key: str
    values: list[str]


class Product(TypedDict):
    """A product of the catalogue (protocol, section 5.1).

    The old price is the highest list price on record, where that is above the price. ``price``
    and ``oldprice`` are rounded to whole units, and may then be equal.
    """

    id: str
    name: str
    description: str
    model: str
    vendor_code: str
    url: str
    image_url: str
    price: int
    price_full: float
    oldprice: NotRequired[int]
    oldprice_full: NotRequired[float]
    category_ids: list[str]
    categories: list[Category]
    fashion_colors: NotRequired[list[FashionColor]]
    params: NotRequired[list[Param]]


class OrderValue(TypedDict):
    """What an order is worth, in the shop's currency, to the cent."""

    total: float
    products: float


class OrderItem(TypedDict):
    """A line of an order; ``price`` is that of one piece."""

    id: str
    price: float
    quantity: int


class Order(TypedDict):
    """An order as ``/sync/orders`` takes it (protocol, section 2.8); ``date`` in UNIX seconds."""

    id: str
    external_id: str
    status: str
    date: int
    value: OrderValue
    items: list[OrderItem]


def customers(folder: Path | str) -> Iterator[Customer]:
    """Read the customers in the order of their file, each with phone and home address.

    Names, which the file has in capitals, come in title case: ``Muñoz``, ``Smith-Bates``,
    ``McDonald``.

    :param folder: a data folder, such as ``examples/sample``.
    """
    persons = {
        customer: person
        for customer, person, *_ in _rows(folder, "oltp-Customer.csv", _TAB, width=7)
    }
    phones = {
        person: phone
        for person, phone, *_ in _rows(folder, "oltp-PersonPhone.csv", _PLUS_PIPE, width=4)
    }
    locations = _locations(folder)
    columns = (
        "CustomerKey,Prefix,FirstName,LastName,BirthDate,MaritalStatus,Gender,EmailAddress,"
        "AnnualIncome,TotalChildren,EducationLevel,Occupation,HomeOwner"
    )
    for row in _records(folder, _CUSTOMERS, columns):
        person = persons.get(row["CustomerKey"], "")
        custom: dict[str, str | int] = {
            "marital_status": row["MaritalStatus"],
            "annual_income": int(row["AnnualIncome"].strip(" $").replace(",", "")),
            "total_children": int(row["TotalChildren"]),
            "education_level": row["EducationLevel"],
            "occupation": row["Occupation"],
            "home_owner": row["HomeOwner"],
        }
        if row["Prefix"]:
            custom["prefix"] = _title_case(row["Prefix"])
        customer: Customer = {
            "external_id": row["CustomerKey"],
            "email": row["EmailAddress"],
            "first_name": _title_case(row["FirstName"]),
            "last_name": _title_case(row["LastName"]),
            "birthday": _day(row["BirthDate"]),
            "custom": custom,
        }
        if phone := phones.get(person):
            customer["phone"] = phone
        if gender := _GENDERS.get(row["Gender"]):
            customer["gender"] = gender
        if location := locations.get(person):
            customer["location"] = location
        yield customer


def products(folder: Path | str) -> Iterator[Product]:
    """Read the catalogue in the order of its file.

    A product is in its category and in its subcategory; as both are numbered from 1, the id of
    subcategory 5 of category 2 is ``2-5``. The data has no brand, stock, URL or image: the URLs
    are made up, the rest is left out.

    :param folder: a data folder, such as ``examples/sample``.
    """
    categories = _categories(folder)
    list_prices = _highest_list_prices(folder)
    columns = (
        "ProductKey,ProductSubcategoryKey,ProductSKU,ProductName,ModelName,ProductDescription,"
        "ProductColor,ProductSize,ProductStyle,ProductPrice"
    )
    for row in _records(folder, _PRODUCTS, columns):
        product_id = row["ProductKey"]
        price = float(row["ProductPrice"])
        image_url = f"{_SHOP_URL}/images/{product_id}.jpg"
        path = categories[row["ProductSubcategoryKey"]]
        product: Product = {
            "id": product_id,
            "name": row["ProductName"],
            "description": row["ProductDescription"],
            "model": row["ModelName"],
            "vendor_code": row["ProductSKU"],
            "url": f"{_SHOP_URL}/products/{product_id}",
            "image_url": image_url,
            "price": round(price),
            "price_full": price,
            "category_ids": [category["id"] for category in path],
            "categories": path,
        }
        list_price = list_prices.get(row["ProductSKU"], 0)
        if list_price > price:
            product["oldprice"] = round(list_price)
            product["oldprice_full"] = list_price
        if row["ProductColor"] != _NOT_AVAILABLE:
            product["fashion_colors"] = [{"color": row["ProductColor"], "picture": image_url}]
        params: list[Param] = [
            {"key": key, "values": [row[column]]}
            for key, column in (("size", "ProductSize"), ("style", "ProductStyle"))
            if row[column] != _NO_SIZE_OR_STYLE
        ]
        if params:
            product["params"] = params
        yield product


def orders(folder: Path | str) -> Iterator[Order]:
    """Read the orders, oldest first, those of one day by order number; items in line order.

    The sales files give days without an hour, so ``date`` is the day's midnight in UTC, and no
    amount paid, so ``price`` is the catalogue's. Some order numbers are shared by two customers:
    the id is the number and the customer, as in ``SO62019-14224``.

    :param folder: a data folder, such as ``examples/sample``.
    """
    prices = {
        row["ProductKey"]: float(row["ProductPrice"])
        for row in _records(folder, _PRODUCTS, "ProductKey,ProductPrice")
    }
    columns = "OrderDate,OrderNumber,ProductKey,CustomerKey,OrderLineItem,OrderQuantity"
    for sales in _SALES:
        found: dict[tuple[date, int, str], list[tuple[int, OrderItem]]] = {}
        for row in _records(folder, sales, columns):
            # The number as an integer: within a day the file's rows are in no order.
            number = int(row["OrderNumber"].removeprefix("SO"))
            product = row["ProductKey"]
            item: OrderItem = {
                "id": product,
                "price": prices[product],
                "quantity": int(row["OrderQuantity"]),
            }
            lines = found.setdefault((_day(row["OrderDate"]), number, row["CustomerKey"]), [])
            lines.append((int(row["OrderLineItem"]), item))
        for (day, number, customer), lines in sorted(found.items()):
            items = [item for _, item in sorted(lines, key=lambda line: line[0])]
            total = round(sum(item["price"] * item["quantity"] for item in items), 2)
            yield {
                "id": f"SO{number}-{customer}",
                "external_id": customer,
                "status": "delivered",
                "date": int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()),
                "value": {"total": total, "products": total},
                "items": items,
            }


def last_orders(folder: Path | str) -> dict[str, list[str]]:
    """Return the product ids of each customer's newest order, in line order, by external id.

    Of two orders on the last day the one with the higher number is the newest; :func:`orders`
    yields it last, so a service that takes the last order in of the newest date agrees.
    Customers without orders are not in it.

    :param folder: a data folder, such as ``examples/sample``.
    """
    return {
        order["external_id"]: [item["id"] for item in order["items"]] for order in orders(folder)
    }


def _locations(folder: Path | str) -> dict[str, str]:
    """Return "City, State, Country" of each person's home."""
    countries = {
        code: name for code, name, _ in _rows(folder, "oltp-CountryRegion.csv", _TAB, width=3)
    }
    states = {
        state: f"{name}, {countries[country]}"
        for state, _, country, _, name, *_ in _rows(folder, "oltp-StateProvince.csv", _TAB, width=8)
    }
    addresses = {
        address: f"{city}, {states[state]}"
        for address, _, _, city, state, *_ in _rows(folder, "oltp-Address.csv", _TAB, width=9)
    }
    return {
        person: addresses[address]
        for person, address, kind, *_ in _rows(
            folder, "oltp-BusinessEntityAddress.csv", _PLUS_PIPE, width=5
        )
        # Some have a second address, to ship to, and it comes first.
        if kind == _HOME_ADDRESS
    }


def _categories(folder: Path | str) -> dict[str, list[Category]]:
    """Return the path from the root to each subcategory."""
    roots = {
        key: _category(key, name, parent=None)
        for key, _, name, *_ in _rows(folder, "dw-DimProductCategory.csv", _PIPE, width=5)
    }
    return {
        key: [roots[root], _category(f"{root}-{key}", name, parent=root)]
        for key, _, name, _, _, root in _rows(
            folder, "dw-DimProductSubcategory.csv", _PIPE, width=6
        )
    }


def _category(category_id: str, name: str, *, parent: str | None) -> Category:
    url = f"{_SHOP_URL}/categories/{category_id}"
    return {"id": category_id, "name": name, "parent": parent, "url": url}


def _highest_list_prices(folder: Path | str) -> dict[str, float]:
    """Return the highest list price by SKU: Microsoft's ProductID is not Packt's ProductKey."""
    highest: dict[str, float] = {}
    for product, _, _, price, _ in _rows(folder, "oltp-ProductListPriceHistory.csv", _TAB, width=5):
        highest[product] = max(float(price), highest.get(product, 0.0))
    return {
        sku: highest[product]
        for product, _, sku, *_ in _rows(folder, "oltp-Product.csv", _TAB, width=25)
        if product in highest
    }


_MC: Final = re.compile(r"\bMc([^\W\d_])")


def _title_case(capitals: str) -> str:
    return _MC.sub(lambda found: f"Mc{found[1].upper()}", capitals.title())


def _day(text: str) -> date:
    """Read month/day/year, padded or not (strptime would do, at eight times the cost)."""
    month, day, year = text.split("/")
    return date(int(year), int(month), int(day))


def _records(folder: Path | str, name: str, columns: str) -> Iterator[dict[str, str]]:
    """Read one of Packt's files, which name their columns in the first row."""
    # Only the customers' file starts with a BOM; this codec reads both kinds.
    with _existing(folder, name).open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = set(columns.split(",")).difference(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{name}: no column {', '.join(sorted(missing))}")
        yield from reader


def _rows(folder: Path | str, name: str, separator: str, *, width: int) -> Iterator[list[str]]:
    """Read one of Microsoft's files, which have neither header nor quotes."""
    with _existing(folder, f"{_MICROSOFT}/{name}").open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            fields = line.rstrip("\n").removesuffix(_ROW_END).split(separator)
            if len(fields) != width:
                raise ValueError(
                    f"{_MICROSOFT}/{name}: line {number} has {len(fields)} fields, not {width}"
                )
            yield fields


def _existing(folder: Path | str, name: str) -> Path:
    path = Path(folder, name)
    if not path.is_file():
        raise FileNotFoundError(
            f"no {name} in {folder}: expected a folder laid out like examples/sample"
        )
    return path
