"""The SDK at home in frameworks and tools: one module each, imported by whoever uses it."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def extra(name: str, package: str) -> Iterator[None]:
    """Make the error of an import that fails say which extra to install."""
    try:
        yield
    except ImportError as missing:
        raise ImportError(
            f"{package} is not installed: pip install 'personaclick-async[{name}]'"
        ) from missing
