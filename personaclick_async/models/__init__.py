"""The models: what a caller sends, and what the service answers. No I/O."""

from personaclick_async.models.identity import Identity, InitAnswer, Session
from personaclick_async.models.order import (
    Category,
    FashionColor,
    Order,
    OrderEvent,
    OrderItem,
    Param,
    Product,
)
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
from personaclick_async.models.update import CLEAR, Kid, ProfileFields, ProfileUpdate, Vehicle

__all__ = ["CLEAR", "Kid", "ProfileFields", "ProfileUpdate", "Vehicle"]
__all__ += ["Identity", "InitAnswer", "Session"]
__all__ += ["Category", "FashionColor", "Param", "Product"]
__all__ += ["Order", "OrderEvent", "OrderItem", "ProfileOrder", "ProfileOrderItem"]
# A profile and its parts.
__all__ += ["FullProfile", "Profile"]
__all__ += ["AgeRange", "Child", "Compatibility", "Hair", "Perfume", "Skin", "SkinPart"]
__all__ += ["Floor", "Jewelry", "Pet", "Realty", "Space"]
