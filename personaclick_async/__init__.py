"""The PersonaClick customer data platform for asyncio.

Start with :class:`PersonaClick`.
"""

from personaclick_async._version import __version__
from personaclick_async.cache import CacheStats
from personaclick_async.client import PersonaClick
from personaclick_async.codec import Json
from personaclick_async.config import (
    CachePolicy,
    CallOptions,
    Config,
    RateLimit,
    RetryPolicy,
    Timeouts,
)
from personaclick_async.errors import (
    AnswerTooLarge,
    AuthenticationFailed,
    BadRequest,
    ClientClosed,
    ConfigurationError,
    ConnectionFailed,
    Forbidden,
    MalformedAnswer,
    NoCurrentUser,
    NotFound,
    PayloadTooLarge,
    PersonaClickError,
    RateLimited,
    ServerError,
    ServiceError,
    ServiceUnavailable,
    TimedOut,
    TransportError,
    Unprocessable,
    ValidationError,
)
from personaclick_async.hooks import Attempt, Hook, Hooks
from personaclick_async.models.identity import Identity
from personaclick_async.models.order import Order, OrderEvent, OrderItem
from personaclick_async.models.product import Category, FashionColor, Param, Product
from personaclick_async.models.profile import (
    AgeRange,
    Child,
    Compatibility,
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
from personaclick_async.names import Family, Gender, Segment
from personaclick_async.protocol.answers import Answer
from personaclick_async.store import ProfileStore, Stored
from personaclick_async.transport import TransportStats
from personaclick_async.user import User

__all__ = [
    "CLEAR",
    "AgeRange",
    "Answer",
    "AnswerTooLarge",
    "Attempt",
    "AuthenticationFailed",
    "BadRequest",
    "CachePolicy",
    "CacheStats",
    "CallOptions",
    "Category",
    "Child",
    "ClientClosed",
    "Compatibility",
    "Config",
    "ConfigurationError",
    "ConnectionFailed",
    "Family",
    "FashionColor",
    "Forbidden",
    "FullProfile",
    "Gender",
    "Hair",
    "Hook",
    "Hooks",
    "Identity",
    "InitAnswer",
    "Jewelry",
    "Json",
    "Kid",
    "MalformedAnswer",
    "NoCurrentUser",
    "NotFound",
    "Order",
    "OrderEvent",
    "OrderItem",
    "Param",
    "PayloadTooLarge",
    "Perfume",
    "PersonaClick",
    "PersonaClickError",
    "Pet",
    "Product",
    "Profile",
    "ProfileFields",
    "ProfileOrder",
    "ProfileOrderItem",
    "ProfileStore",
    "ProfileUpdate",
    "RateLimit",
    "RateLimited",
    "Realty",
    "RetryPolicy",
    "Segment",
    "ServerError",
    "ServiceError",
    "ServiceUnavailable",
    "Session",
    "Skin",
    "SkinPart",
    "Space",
    "Stored",
    "TimedOut",
    "Timeouts",
    "TransportError",
    "TransportStats",
    "Unprocessable",
    "User",
    "ValidationError",
    "Vehicle",
    "__version__",
]
