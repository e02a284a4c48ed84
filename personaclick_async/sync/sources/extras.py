"""Libraries that only some sources need, imported when they do."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from personaclick_async.errors import ConfigurationError


def need(module: str, *, extra: str, purpose: str) -> Any:  # noqa: ANN401 - a module of any kind
    """Import a module of an extra.

    :param purpose: what needs it, for the error.
    :raises ConfigurationError: it is not installed; says what to install.
    """
    try:
        return import_module(module)
    except ImportError:
        raise ConfigurationError(
            f"{purpose}: needs another package; pip install 'personaclick-async[{extra}]'"
        ) from None
