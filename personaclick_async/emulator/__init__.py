"""The PersonaClick service on your machine, to develop, test and demo against.

Start with :class:`Emulator`, or with the command ``personaclick-emulator``.
"""

from personaclick_async.emulator.emulator import Emulator
from personaclick_async.emulator.faults import Fault, Held
from personaclick_async.emulator.recording import RecordedRequest
from personaclick_async.emulator.settings import Behaviour, EmulatorSettings

__all__ = ["Behaviour", "Emulator", "EmulatorSettings", "Fault", "Held", "RecordedRequest"]
