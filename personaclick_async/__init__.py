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

# The client, its users, and what they read and write.
__all__ = ["DeviceUser", "PersonaClick", "Segment", "Session", "User", "__version__"]
__all__ += ["CLEAR", "Gender", "Kid", "ProfileUpdate", "Vehicle"]
__all__ += ["Answer", "FullProfile", "Json", "Order", "Product", "Profile"]
# How the client is set up.
__all__ += ["CachePolicy", "CleanConnector", "Family", "RateLimit", "RetryPolicy", "Timeouts"]
__all__ += ["Attempt", "Hook", "Hooks", "ProfileStore", "Stored"]
# What goes wrong: before a request, without an answer, and by the answer.
__all__ += ["ClientClosed", "ConfigurationError", "NoCurrentUser", "NoEventLoop"]
__all__ += ["PersonaClickError", "ValidationError"]
__all__ += ["AnswerTooLarge", "ConnectionFailed", "MalformedAnswer", "TimedOut", "TransportError"]
__all__ += ["AuthenticationFailed", "BadRequest", "Forbidden", "NotFound", "PayloadTooLarge"]
__all__ += ["RateLimited", "ServerError", "ServiceError", "ServiceUnavailable", "Unprocessable"]
