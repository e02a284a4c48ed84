"""The models: what a caller sends, and what the service answers. No I/O."""

from personaclick_async.models.identity import Identity
from personaclick_async.models.order import Order, OrderEvent, OrderItem
from personaclick_async.models.product import Category, FashionColor, Param, Product
from personaclick_async.models.profile import (
    AgeRange,
    Child,
    Compatibility,
    Floor,
    FullProfile,
    Hair,
    Jewelry,
    Perfume,
    Pet,
    Profile,
    ProfileOrder,
    ProfileOrderItem,
    Realty,
    Skin,
    SkinPart,
    Space,
)
from personaclick_async.models.session import InitAnswer, Session
from personaclick_async.models.update import CLEAR, Kid, ProfileFields, ProfileUpdate, Vehicle

__all__ = [
    "CLEAR",
    "AgeRange",
    "Category",
    "Child",
    "Compatibility",
    "FashionColor",
    "Floor",
    "FullProfile",
    "Hair",
    "Identity",
    "InitAnswer",
    "Jewelry",
    "Kid",
    "Order",
    "OrderEvent",
    "OrderItem",
    "Param",
    "Perfume",
    "Pet",
    "Product",
    "Profile",
    "ProfileFields",
    "ProfileOrder",
    "ProfileOrderItem",
    "ProfileUpdate",
    "Realty",
    "Session",
    "Skin",
    "SkinPart",
    "Space",
    "Vehicle",
]
