"""What the service answers is typed where it is known, coerced where it varies, kept whole."""

from __future__ import annotations

import copy
import json
import os
import pickle
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.server import LAST_ORDER, PROFILE
from personaclick_async import FullProfile, Order, Product, Profile, ProfileUpdate
from personaclick_async.models import InitAnswer
from personaclick_async.models.profile import Floor
from personaclick_async.models.reading import Read, WrongShape, coerce, read_object, read_objects
from personaclick_async.models.update import to_wire

DATA = Path(os.environ.get("PERSONACLICK_DATA", Path(__file__).parents[3] / "shared" / "data"))
KINDS: list[type[Read]] = [Profile, FullProfile, Product, Order, InitAnswer]


def read(kind: Any, **fields: Any) -> Any:
    return read_object(kind, json.dumps(fields).encode())


def test_a_whole_profile_is_typed() -> None:
    profile = read(Profile, **PROFILE)

    assert (profile.id, profile.gender, profile.has_email) == ("8001909", "f", True)
    assert profile.children[0].age.min == 2
    assert profile.cosmetic_hair.condition == ("colored",)
    assert profile.cosmetic_skin.face.type == ("dry",)
    assert profile.cosmetic_perfume.aroma == ("citrus", "green")
    assert profile.fashion_sizes["shoe"] == ("38", "39")
    assert (profile.compatibility.brand, profile.compatibility.model) == ("Nissan", "Qashqai")
    assert (profile.vds, profile.income_level, profile.allergy) == ("BP8AN5", "premium", False)
    assert profile.pets is None
    assert profile.custom_properties == {"skin_type": "dry", "visits": 12}
    assert profile.extra == {}
    assert profile.raw == PROFILE


def test_a_whole_product_is_typed() -> None:
    products = read_objects(Product, json.dumps(LAST_ORDER).encode(), wrappers=())

    assert [product.id for product in products] == ["0", "1", "2", "3", "4"]
    product = products[0]
    assert (product.price, product.price_full, product.oldprice_full) == (1000, 999.99, 1199.5)
    assert product.categories[1].parent == "1"
    assert product.categories[0].parent is None
    assert product.params[1].values == (1,)
    assert product.fashion_colors[0].color == "black"
    assert product.image_url_resized is not None
    assert product.image_url_resized["120"] == "https://cdn.shop.example/120/665.png"
    assert product.raw == {**LAST_ORDER[0]}
    assert product.extra == {}


@pytest.mark.parametrize(
    ("kind", "sent", "name", "value"),
    [
        (Profile, {"id": 5}, "id", "5"),
        (Profile, {"has_email": "1"}, "has_email", True),
        (Profile, {"has_email": "no"}, "has_email", False),
        (Profile, {"has_email": []}, "has_email", None),
        (Profile, {"gender": "male"}, "gender", "m"),
        (Profile, {"computed_gender": "female"}, "computed_gender", "f"),
        (Profile, {"gender": "other"}, "gender", "other"),
        (Profile, {"children": None}, "children", None),
        (Profile, {"children": []}, "children", ()),
        (Profile, {"custom_properties": []}, "custom_properties", {}),
        (Profile, {"custom_properties": None}, "custom_properties", {}),
        (Profile, {"fashion_sizes": {"shoe": 38}}, "fashion_sizes", {"shoe": (38,)}),
        (FullProfile, {"age": "31"}, "age", 31),
        (FullProfile, {"age": "31.5"}, "age", 31.5),
        (FullProfile, {"age": "old"}, "age", None),
        (FullProfile, {"birthday": "1990-03-11"}, "birthday", date(1990, 3, 11)),
        (FullProfile, {"birthday": "1990-03-11T00:00:00Z"}, "birthday", date(1990, 3, 11)),
        (FullProfile, {"birthday": "soon"}, "birthday", None),
        (FullProfile, {"loyalty_bonuses": "1123.50"}, "loyalty_bonuses", Decimal("1123.50")),
        (FullProfile, {"loyalty_bonuses": 1123}, "loyalty_bonuses", Decimal(1123)),
        (FullProfile, {"loyalty_bonuses": "many"}, "loyalty_bonuses", None),
        (FullProfile, {"tags": "vip"}, "tags", ("vip",)),
        (FullProfile, {"tags": [1, "b", None]}, "tags", ("1", "b")),
        (Product, {"id": "1", "price": "1000"}, "price", 1000),
        (Product, {"id": "1", "categories": None}, "categories", ()),
        (Product, {"id": "1", "category_ids": [1, "2"]}, "category_ids", ("1", "2")),
        (Product, {"id": "1", "leftovers": "lots"}, "leftovers", "lots"),
        (Product, {"id": "1", "fashion_sizes": ["M", 38]}, "fashion_sizes", ("M", 38)),
        (Product, {"id": "1", "is_new": "true"}, "is_new", True),
        (Order, {"value": "8500.0"}, "value", Decimal("8500.0")),
        (Order, {"value": 8500.5}, "value", Decimal("8500.5")),
        (
            Order,
            {"date": "2026-06-16T09:17:59.000Z"},
            "date",
            datetime(2026, 6, 16, 9, 17, 59, tzinfo=UTC),
        ),
        (Order, {"date": 1781601479}, "date", datetime(2026, 6, 16, 9, 17, 59, tzinfo=UTC)),
        (Order, {"date": 10**20}, "date", None),
        (InitAnswer, {"did": 5, "snippets": ["a", {}]}, "snippets", ("a", {})),
    ],
)
def test_values_that_vary_are_coerced(
    kind: type[Read], sent: dict[str, Any], name: str, value: object
) -> None:
    assert getattr(read(kind, **sent), name) == value


@pytest.mark.parametrize(
    ("block", "value"),
    [
        ({"pet_type": "dog", "pet_age": "young"}, ("dog", "young")),
        ({"type": "dog", "age": "young"}, ("dog", "young")),
        ([{"type": "dog", "age": "young"}, {"type": "cat"}], ("dog", "young")),
        (["..."], None),
        ([], None),
        ("dog", None),
        (None, None),
    ],
)
def test_a_block_may_be_an_object_an_array_or_nothing(block: Any, value: object) -> None:
    pet = read(Profile, pets=block).pets

    assert (pet and (pet.pet_type, pet.pet_age)) == value


def test_jewelry_is_read_with_and_without_its_prefix() -> None:
    plain = read(Profile, jewelry={"color": "white", "ring_sizes": [17.5]}).jewelry
    prefixed = read(Profile, jewelry={"jewelry_color": ["white"], "ring_sizes": 17.5}).jewelry

    assert plain.jewelry_color == prefixed.jewelry_color == ("white",)
    assert plain.ring_sizes == prefixed.ring_sizes == (17.5,)


def test_products_are_read_in_both_documented_forms() -> None:
    old = read(
        Product,
        id="1",
        categories=[{"id": "2", "parent": "1", "level": "2"}],
        params=[{"key": "size", "values": ["M"]}],
    )
    new = read(
        Product,
        id="1",
        categories=[{"id": "2", "parent_id": "1", "level": 2, "branch": ["1", "2"]}],
        params=[{"name": "size", "value": "M"}],
        picture="https://cdn.shop.example/1.png",
    )

    for product in (old, new):
        [category], [param] = product.categories, product.params
        assert (category.parent, category.parent_id, category.level) == ("1", "1", 2)
        assert (param.key, param.values) == ("size", ("M",))
    assert new.categories[0].branch == ["1", "2"]
    assert new.picture == "https://cdn.shop.example/1.png"
    assert [one.id for one in read(Product, id="1", categories=["1", 2]).categories] == ["1", "2"]


@pytest.mark.parametrize(
    ("floor", "value"),
    [(3, 3), ("3", 3), ({"current": 3, "total": 9}, Floor(current=3, total=9)), ([], None)],
)
def test_a_floor_is_a_number_or_an_object(floor: object, value: object) -> None:
    assert read(Profile, realty={"floor": floor}).realty.floor == value


def test_money_is_exact_whether_text_or_number() -> None:
    item = {"amount": 2, "price": "199.90", "original_price": "250.00"}
    [line] = read(Order, items=[item]).items

    assert (line.amount, line.price) == (Decimal(2), Decimal("199.90"))
    assert line.original_price == Decimal("250.00")


def test_an_envelope_of_success_is_taken_off() -> None:
    profile = read(Profile, status="success", payload={"id": "7", "gender": "f"})
    assert (profile.id, profile.gender, profile.raw) == ("7", "f", {"id": "7", "gender": "f"})

    for payload in ([{"id": "1"}], {"products": [{"id": "1"}]}):
        body = json.dumps({"status": "success", "payload": payload}).encode()
        [product] = read_objects(Product, body, wrappers=(("products",),))
        assert product.id == "1"


def test_a_property_called_payload_is_no_envelope() -> None:
    sent = {"id": "7", "custom_properties": {"payload": {"id": "8"}, "status": "success"}}

    assert read(Profile, **sent).id == "7"
    assert read(Profile, status="active", payload={"id": "8"}).id is None


def test_the_representation_names_fields_and_shows_no_value() -> None:
    profile = read(Profile, gender="f", custom_properties={"colour": "canary"}, children=[{}])

    assert repr(profile) == "<Profile with gender, custom_properties, children>"
    assert repr(profile.children[0]) == "<Child with nothing>"
    assert repr(read(Profile)) == "<Profile with nothing>"


def test_a_profile_becomes_a_dict_of_json_types() -> None:
    full = read(
        FullProfile,
        birthday="1990-03-11",
        loyalty_bonuses="12.50",
        tags=["vip"],
        first_name="\ud800",
        children=[{"age": {"min": 2}}],
    )
    made = full.to_dict()

    assert (made["birthday"], made["loyalty_bonuses"], made["tags"]) == (
        "1990-03-11",
        "12.50",
        ["vip"],
    )
    assert made["children"] == [{"gender": None, "birthday": None, "age": {"min": 2, "max": None}}]
    assert (made["first_name"], made["gender"], made["custom_properties"]) == ("\ud800", None, {})


def test_unknown_fields_are_kept() -> None:
    profile = read(Profile, id="1", horoscope={"sign": "leo"}, cosmetic_skin={"ear": 1})

    assert profile.extra == {"horoscope": {"sign": "leo"}}
    assert profile.raw["cosmetic_skin"] == {"ear": 1}


def test_orders_are_found_inside_a_wrapper() -> None:
    body = b'{"data":{"orders":[{"_id":212253,"id":7,"items":[{"amount":1,"item":{"id":"a"}}]}]}}'
    [order] = read_objects(Order, body, wrappers=(("orders",), ("data", "orders")))

    assert order.id == "7"
    assert order.extra == {"_id": 212253}
    assert order.items[0].amount == Decimal(1)
    assert order.items[0].item is not None
    assert order.items[0].item.id == "a"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"5", b"null", b"{", b"<html>", b"\xff\xfe", b"[" * 100_000]
)
def test_anything_but_an_object_raises_wrong_shape(kind: type[Read], body: bytes) -> None:
    with pytest.raises(WrongShape):
        read_object(kind, body)


@pytest.mark.parametrize(("kind", "missing"), [(Product, "id"), (InitAnswer, "did")])
def test_an_object_without_its_id_raises_wrong_shape(kind: type[Read], missing: str) -> None:
    with pytest.raises(WrongShape, match=f"has no {missing}"):
        read_object(kind, b'{"name": "x"}')


def test_copies_keep_unknown_fields() -> None:
    profile = read(Profile, id="1", horoscope="leo")

    for copied in (pickle.loads(pickle.dumps(profile)), copy.copy(profile), copy.deepcopy(profile)):
        assert copied == profile
        assert copied.extra == {"horoscope": "leo"}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(["1", "true", "2026-06-16T09:17:59.000Z", "1990-03-11", "8500.0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "face", "age", "min", "id", "item", "values", "brand"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_no_value_in_any_field_breaks_a_read(kind: Any, data: st.DataObject) -> None:
    names = [at.name for at in attrs.fields(kind)]
    sent = data.draw(st.dictionaries(st.sampled_from(names), JSON, max_size=4))
    required = {"id": "1"} if kind is Product else {"did": "d"} if kind is InitAnswer else {}

    found = read(kind, **{**sent, **required})

    assert set(found.raw) == {*sent, *required}
    for name in sent:
        getattr(found, name)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_strict_and_lenient_decoding_agree(kind: Any, data: st.DataObject) -> None:
    names = [at.name for at in attrs.fields(kind)]
    sent = {"id": "1", "did": "d", **data.draw(st.dictionaries(st.sampled_from(names), JSON))}
    body = json.dumps(sent).encode()
    try:
        fast = msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return

    assert fast == coerce(kind, json.loads(body))


@given(body=st.binary(max_size=200))
@pytest.mark.parametrize("kind", KINDS)
def test_no_bytes_raise_anything_but_wrong_shape(kind: type[Read], body: bytes) -> None:
    try:
        found: object = read_object(kind, body)
    except WrongShape:
        found = None
    assert found is None or isinstance(found, kind)


@pytest.mark.skipif(not DATA.exists(), reason=f"no test data at {DATA.name}: set PERSONACLICK_DATA")
def test_the_json_suite_is_read_as_json_should_be() -> None:
    cases = sorted((DATA / "jsontestsuite" / "test_parsing").iterdir())
    assert len(cases) == 318
    for case in cases:
        body = case.read_bytes()
        inside = b'{"id":"1","custom_properties":{"x":%s}}' % body
        try:
            profile = read_object(Profile, inside)
        except WrongShape:
            assert not case.name.startswith("y_"), case.name
        else:
            assert not case.name.startswith("n_") or "x" in profile.raw["custom_properties"]


@pytest.mark.skipif(not DATA.exists(), reason=f"no test data at {DATA.name}: set PERSONACLICK_DATA")
def test_hostile_strings_round_trip_unchanged() -> None:
    text = (DATA / "naughty-strings" / "blns.txt").read_text(encoding="utf-8")
    strings = [line for line in text.split("\n") if line]
    assert len(strings) > 500
    for string in strings:
        body = json.dumps(to_wire(ProfileUpdate(first_name=string, custom={"a": string}))).encode()
        profile = read_object(Profile, body)
        assert profile.first_name == profile.extra["a"] == string
