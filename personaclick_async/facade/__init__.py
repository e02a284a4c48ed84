"""The original call style: ``personaclick("profile", "set", params, success, error)``.

Start with :func:`create_personaclick`.
"""

from personaclick_async.facade.commands import WrongCall
from personaclick_async.facade.facade import Personaclick, create_personaclick
from personaclick_async.facade.handle import CallError, Handle

__all__ = ["CallError", "Handle", "Personaclick", "WrongCall", "create_personaclick"]
