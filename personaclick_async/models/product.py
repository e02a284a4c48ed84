"""A product of the shop's catalogue, as the last order shows it (protocol, section 5.1)."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from personaclick_async.codec import Json
from personaclick_async.models.reading import Model, Number, Read, Scalar


@attrs.frozen(kw_only=True, slots=False)
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


@attrs.frozen(kw_only=True, slots=False)
class FashionColor(Model):
    """A colour of the product and the picture that shows it."""

    color: str | None = None
    picture: str | None = None


@attrs.frozen(kw_only=True, slots=False)
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


@attrs.frozen(kw_only=True, slots=False)
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
