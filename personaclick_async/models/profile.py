"""What the service knows of a user: the public profile and, with the secret, the full one.

Everything is optional: None means that the service did not say. Names follow the wire. The
nested blocks are documented by vocabulary more than by shape (protocol, section 4.1), so their
attributes hold what is documented and ``profile.raw`` holds all that came.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final, TypeAlias

import attrs

from personaclick_async.models.reading import Model, Number, Read

Size: TypeAlias = str | int | float
Texts: TypeAlias = tuple[str, ...]

_GENDER_WORDS: Final = {"male": "m", "female": "f"}


class AgeRange(Model):
    """An age in years, from ``min`` to ``max``; quarters of a year below two."""

    min: Number | None = None
    max: Number | None = None


class Child(Model):
    """A child of the user."""

    gender: str | None = None
    birthday: str | None = None
    age: AgeRange | None = None


class Hair(Model):
    """Hair: ``type`` (dry, normal, oily, comby) and ``condition`` (colored, damaged, …)."""

    type: Texts | None = None
    condition: Texts | None = None


class SkinPart(Model):
    """The skin of one part of the body: ``type`` (dry, …) and ``condition`` (sensitive, …)."""

    type: Texts | None = None
    condition: Texts | None = None


class Skin(Model):
    """Skin, by part of the body."""

    face: SkinPart | None = None
    body: SkinPart | None = None
    intim: SkinPart | None = None
    hand: SkinPart | None = None
    leg: SkinPart | None = None


class Perfume(Model):
    """Perfume: ``family`` (floral, oriental, woody, fresh) and ``aroma`` (citrus, woods, …)."""

    family: Texts | None = None
    aroma: Texts | None = None


class Compatibility(Model):
    """The preferred vehicle: ``brand`` and ``model``."""

    brand: str | None = None
    model: str | None = None


def _fill_in(read: Model, **others: str) -> None:
    """Set attributes to the values of their other documented spellings, where only those came."""
    for name, other in others.items():
        if getattr(read, name) is None:
            object.__setattr__(read, name, getattr(read, other))


class Pet(Model):
    """A pet. Read ``pet_type``, ``breed``, ``pet_size``, ``pet_age``.

    Whether the service keeps the ``pet_`` prefix is not documented; both spellings are read.
    """

    pet_type: str | None = None
    breed: str | None = None
    pet_size: str | None = None
    pet_age: str | None = None
    type: str | None = None
    size: str | None = None
    age: str | None = None

    def __attrs_post_init__(self) -> None:
        _fill_in(self, pet_type="type", pet_size="size", pet_age="age")


class Jewelry(Model):
    """Jewelry. Read ``gender``, the three sizes, and ``jewelry_color``, ``_metal``, ``_gem``.

    Whether the service keeps the ``jewelry_`` prefix is not documented; both spellings are read.
    """

    gender: str | None = None
    ring_sizes: tuple[Size, ...] | None = None
    bracelet_sizes: tuple[Size, ...] | None = None
    chain_sizes: tuple[Size, ...] | None = None
    jewelry_color: Texts | None = None
    jewelry_metal: Texts | None = None
    jewelry_gem: Texts | None = None
    color: Texts | None = None
    metal: Texts | None = None
    gem: Texts | None = None

    def __attrs_post_init__(self) -> None:
        _fill_in(self, jewelry_color="color", jewelry_metal="metal", jewelry_gem="gem")


class Space(Model):
    """Floor space of a property."""

    min: Number | None = None
    max: Number | None = None
    final: Number | None = None


class Floor(Model):
    """The floor that a flat is on, and how many the building has."""

    current: Number | None = None
    total: Number | None = None


class Realty(Model):
    """Real estate: ``type`` (living, office, …), ``action`` (rent, sale), ``space``, ``floor``.

    The service sends ``floor`` as a number or as a :class:`Floor`.
    """

    type: str | None = None
    action: str | None = None
    space: Space | None = None
    floor: Number | Floor | None = None


class Profile(Read):
    """A user's profile as the public part of the shop may see it (protocol, section 4.1).

    ``gender`` and ``computed_gender`` are ``m`` or ``f``, also where the service wrote the word.
    ``fashion_sizes`` maps a type of clothing to sizes. ``raw`` is the whole answer and ``extra``
    what no attribute stands for.
    """

    id: str | None = None
    has_email: bool | None = None
    gender: str | None = None
    computed_gender: str | None = None
    bought_something: bool | None = None
    custom_properties: Mapping[str, Any] = attrs.field(factory=dict)
    email: str | None = None
    phone: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    email_registered_at: str | None = None
    children: tuple[Child, ...] | None = None
    child_gender: str | None = None
    cosmetic_hair: Hair | None = None
    cosmetic_skin: Skin | None = None
    cosmetic_perfume: Perfume | None = None
    allergy: bool | None = None
    fashion_sizes: Mapping[str, tuple[Size, ...]] | None = None
    compatibility: Compatibility | None = None
    vds: str | None = None
    pets: Pet | None = None
    jewelry: Jewelry | None = None
    realty: Realty | None = None
    income_level: str | None = None

    def __attrs_post_init__(self) -> None:
        # Spelt out: this runs for every profile that is read.
        if self.gender in _GENDER_WORDS:
            object.__setattr__(self, "gender", _GENDER_WORDS[self.gender])
        if self.computed_gender in _GENDER_WORDS:
            object.__setattr__(self, "computed_gender", _GENDER_WORDS[self.computed_gender])


class ProfileOrderItem(Model):
    """A line of an order in the full profile; ``price`` in the shop's currency."""

    id: str | None = None
    name: str | None = None
    price: Decimal | None = None
    quantity: Number | None = None


class ProfileOrder(Model):
    """An order in the full profile; ``value`` in the shop's currency."""

    id: str | None = None
    value: Decimal | None = None
    status: str | None = None
    items: tuple[ProfileOrderItem, ...] = ()


class FullProfile(Profile):
    """A user's profile as the back office sees it, with the secret (protocol, section 4.2)."""

    external_id: str | None = None
    middle_name: str | None = None
    fb_id: str | None = None
    vk_id: str | None = None
    telegram_id: str | None = None
    loyalty_id: str | None = None
    loyalty_card_location: str | None = None
    loyalty_status: str | None = None
    loyalty_bonuses: Decimal | None = None
    loyalty_bonuses_to_next_level: Decimal | None = None
    location: str | None = None
    age: Number | None = None
    birthday: date | None = None
    tags: Texts | None = None
    additional_phones: Texts | None = None
    additional_emails: Texts | None = None
    additional_loyalty_ids: Texts | None = None
    orders: tuple[ProfileOrder, ...] | None = None
