"""The original call style: ``personaclick("profile", "set", params, success, error)``.

Start with :func:`create_personaclick`.
"""

from personaclick_async.facade.calls import CallError, Handle
from personaclick_async.facade.commands import WrongCall
from personaclick_async.facade.facade import Personaclick, create_personaclick

__all__ = ["CallError", "Handle", "Personaclick", "WrongCall", "create_personaclick"]
