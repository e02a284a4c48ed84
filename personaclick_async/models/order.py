"""A user's order with its items and history, for the back office (protocol, section 5.4)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import attrs

from personaclick_async.models.product import Product
from personaclick_async.models.reading import Model, Read


@attrs.frozen(kw_only=True, repr=False, slots=False)
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


@attrs.frozen(kw_only=True, repr=False, slots=False)
class OrderEvent(Model):
    """A step in the history of an order."""

    status: str | None = None
    common_value: Decimal | None = None
    cash_value: Decimal | None = None
    bonuses_value: Decimal | None = None
    delivery_value: Decimal | None = None
    discount_value: Decimal | None = None
    date: datetime | None = None


@attrs.frozen(kw_only=True, repr=False, slots=False)
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
