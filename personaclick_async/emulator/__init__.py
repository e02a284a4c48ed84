"""The PersonaClick service on your machine, to develop, test and demo against.

Start with :class:`Emulator`, or with the command ``personaclick-emulator``.
"""

from personaclick_async.emulator.emulator import Emulator
from personaclick_async.emulator.settings import Behaviour, EmulatorSettings
from personaclick_async.emulator.traffic import Fault, Held, RecordedRequest

__all__ = ["Behaviour", "Emulator", "EmulatorSettings", "Fault", "Held", "RecordedRequest"]
