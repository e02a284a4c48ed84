"""The PersonaClick customer data platform for asyncio.

Start with :class:`PersonaClick`. Here is what an application types; the parts of answers, which
it only reads, are in :mod:`personaclick_async.models`.
"""

from personaclick_async._version import __version__
from personaclick_async.cache import ProfileStore, Stored
from personaclick_async.client import PersonaClick
from personaclick_async.codec import Json
from personaclick_async.config import CachePolicy, RateLimit, RetryPolicy, Timeouts
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
    NoEventLoop,
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
from personaclick_async.models.identity import Session
from personaclick_async.models.order import Order, Product
from personaclick_async.models.profile import FullProfile, Profile
from personaclick_async.models.update import CLEAR, Kid, ProfileUpdate, Vehicle
from personaclick_async.names import Family, Gender, Segment
from personaclick_async.pools import CleanConnector
from personaclick_async.protocol.answers import Answer
from personaclick_async.user import DeviceUser, User

__all__ = [
    "CLEAR",
    "Answer",
    "AnswerTooLarge",
    "Attempt",
    "AuthenticationFailed",
    "BadRequest",
    "CachePolicy",
    "CleanConnector",
    "ClientClosed",
    "ConfigurationError",
    "ConnectionFailed",
    "DeviceUser",
    "Family",
    "Forbidden",
    "FullProfile",
    "Gender",
    "Hook",
    "Hooks",
    "Json",
    "Kid",
    "MalformedAnswer",
    "NoCurrentUser",
    "NoEventLoop",
    "NotFound",
    "Order",
    "PayloadTooLarge",
    "PersonaClick",
    "PersonaClickError",
    "Product",
    "Profile",
    "ProfileStore",
    "ProfileUpdate",
    "RateLimit",
    "RateLimited",
    "RetryPolicy",
    "Segment",
    "ServerError",
    "ServiceError",
    "ServiceUnavailable",
    "Session",
    "Stored",
    "TimedOut",
    "Timeouts",
    "TransportError",
    "Unprocessable",
    "User",
    "ValidationError",
    "Vehicle",
    "__version__",
]
