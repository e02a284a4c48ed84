"""Orders and the products in them (protocol, sections 5.1 and 5.4)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import attrs

from personaclick_async.codec import Json
from personaclick_async.models.reading import Model, Number, Read, Scalar


class Category(Model):
    """A category of the shop; only its id, where the service lists ids.

    ``parent`` and ``parent_id`` name the same category, whichever the service sent; both are None
    for a root.
    """

    id: str | None = None
    name: str | None = None
    parent: str | None = None
    parent_id: str | None = None
    url: str | None = None
    url_handle: str | None = None
    level: Number | None = None
    branch: Json = None
    name_with_parent: str | None = None

    def __attrs_post_init__(self) -> None:
        # Spelt out: this runs for every category of every product.
        if self.parent is None:
            if self.parent_id is not None:
                object.__setattr__(self, "parent", self.parent_id)
        elif self.parent_id is None:
            object.__setattr__(self, "parent_id", self.parent)


class FashionColor(Model):
    """A colour of the product and the picture that shows it."""

    color: str | None = None
    picture: str | None = None


class Param(Model):
    """A parameter of the product feed: ``key`` and ``values``, or ``name`` and ``value``.

    Read ``key`` and ``values``: they are filled in from the other two.
    """

    key: str | None = None
    values: tuple[Scalar, ...] = ()
    name: str | None = None
    value: Scalar = None

    def __attrs_post_init__(self) -> None:
        if self.key is None and self.name is not None:
            object.__setattr__(self, "key", self.name)
        if self.value is not None and not self.values:
            object.__setattr__(self, "values", (self.value,))


class Product(Read):
    """A product with its catalogue data; only ``id`` is certain to be there.

    ``price`` and ``oldprice`` are whole units of ``currency``, ``price_full`` and
    ``oldprice_full`` are exact; ``discount`` is in percent; ``leftovers`` is one, few (2 to 10)
    or lot, spelled as the service spells it; ``image_url_resized`` maps a size in pixels
    (``"120"`` … ``"520"``) to a URL.
    """

    id: str
    name: str | None = None
    description: str | None = None
    model: str | None = None
    brand: str | None = None
    barcode: str | None = None
    url: str | None = None
    url_handle: str | None = None
    image_url: str | None = None
    image_url_handle: str | None = None
    image_url_resized: Mapping[str, str | None] | None = None
    price: Number | None = None
    price_full: Number | None = None
    price_formatted: str | None = None
    price_full_formatted: str | None = None
    oldprice: Number | None = None
    oldprice_full: Number | None = None
    oldprice_formatted: str | None = None
    oldprice_full_formatted: str | None = None
    discount: Number | None = None
    discount_formatted: str | None = None
    currency: str | None = None
    category_ids: tuple[str, ...] = ()
    categories: tuple[Category, ...] = ()
    is_new: bool | None = None
    leftovers: str | None = None
    stock_quantity: Number | None = None
    rating: Number | None = None
    fashion_sizes: tuple[Scalar, ...] = ()
    fashion_original_sizes: tuple[Scalar, ...] = ()
    fashion_colors: tuple[FashionColor, ...] = ()
    params: tuple[Param, ...] = ()
    deeplink_android: str | None = None
    deeplink_ios: str | None = None
    vendor_code: str | None = None
    picture: str | None = None
    group_id: str | None = None
    sales_rate: Number | None = None
    relative_sales_rate: Number | None = None
    widgetable: bool | None = None
    ignored: bool | None = None
    location_ids: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"Product(id={self.id!r}, name={self.name!r})"


class OrderItem(Model):
    """A line of an order; money in the shop's currency, ``item`` is the product."""

    amount: Decimal | None = None
    price: Decimal | None = None
    status: str | None = None
    original_price: Decimal | None = None
    discount_product: Decimal | None = None
    discount_coupon: Decimal | None = None
    discount_bonuses: Decimal | None = None
    delivery_company: str | None = None
    barcode: str | None = None
    line_id: str | None = None
    cancel_reason: str | None = None
    item: Product | None = None


class OrderEvent(Model):
    """A step in the history of an order."""

    status: str | None = None
    common_value: Decimal | None = None
    cash_value: Decimal | None = None
    bonuses_value: Decimal | None = None
    delivery_value: Decimal | None = None
    discount_value: Decimal | None = None
    date: datetime | None = None


class Order(Read):
    """An order; money in the shop's currency as exact decimals, ``date`` with its time zone.

    The service's own id of an order, ``_id`` on the wire, is in ``extra``.
    """

    id: str | None = None
    date: datetime | None = None
    value: Decimal | None = None
    cash_value: Decimal | None = None
    bonuses_value: Decimal | None = None
    delivery_value: Decimal | None = None
    location_id: str | None = None
    promocode: str | None = None
    offline: bool | None = None
    delivery_date: str | None = None
    internal_status: str | None = None
    stream: str | None = None
    channel: str | None = None
    tax_free: bool | None = None
    delivery_type: str | None = None
    delivery_address: str | None = None
    order_status: str | None = None
    payment_type: str | None = None
    bank_issuer: str | None = None
    bank_pos_processor: str | None = None
    bank_loyalty_program: str | None = None
    bank_total_installment: str | None = None
    payment_card_provider: str | None = None
    gift_package: bool | None = None
    payment_structure: Mapping[str, Any] | None = None
    value_raw: Decimal | None = None
    custom_properties: Mapping[str, Any] = attrs.field(factory=dict)
    items: tuple[OrderItem, ...] = ()
    history: tuple[OrderEvent, ...] = ()
