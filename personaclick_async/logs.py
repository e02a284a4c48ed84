"""Logging: the client's requests, one line each, and a formatter that redacts whole logs."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from personaclick_async.hooks import Attempt, Hooks
from personaclick_async.redaction import Redactor

_USUAL_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_FIRST_SERVER_ERROR: Final = 500
_TOO_MANY: Final = 429


class RedactingFormatter(logging.Formatter):
    """Formats as another formatter does, and takes out what a log must not hold.

    ::

        handler.setFormatter(RedactingFormatter(handler.formatter, secrets=[shop_secret]))

    Works on the finished text: message, arguments, traceback, and whatever else the other formatter
    puts there. A line of JSON stays one. See :class:`~personaclick_async.redaction.Redactor` for
    what is taken out. The package's own lines hold none of it; this is for what others log: web
    servers, aiohttp, asyncio in its debug mode, the application.

    :param formatter: formats first: a formatter, or a format for a standard one.
    :param secrets: shop secrets, wherever they stand; at least six characters each.
    :raises ConfigurationError: a secret is too short to be told from other text.
    """

    def __init__(
        self, formatter: logging.Formatter | str | None = None, *, secrets: Iterable[str] = ()
    ) -> None:
        super().__init__()
        if not isinstance(formatter, logging.Formatter):
            formatter = logging.Formatter(formatter or _USUAL_FORMAT)
        self._formatter = formatter
        self._redact = Redactor(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """Format a record, and redact the text."""
        return self._redact(self._formatter.format(record))

    def __repr__(self) -> str:
        return "<RedactingFormatter>"


def log_requests(logger: logging.Logger | None = None, *, level: int = logging.DEBUG) -> Hooks:
    """Make hooks that log each request: endpoint, outcome, attempt and time, and no personal data.

    ::

        client = PersonaClick(hooks=log_requests())

    A request without an answer, or answered with 429 or 500 and above, is a warning; any other
    answer is the caller's business and has ``level``. Each record has ``endpoint``, ``method``,
    ``attempt``, ``status``, ``error`` (a class's name) and ``seconds`` as attributes, for
    formatters that write JSON. Costs next to nothing while the level is off.

    :param logger: where to log; ``personaclick_async`` if None.
    :param level: the level of requests that were answered.
    """
    log = logger or logging.getLogger("personaclick_async")

    def ended(attempt: Attempt) -> None:
        importance = logging.WARNING if _is_trouble(attempt) else level
        if not log.isEnabledFor(importance):
            return
        error = None if attempt.error is None else type(attempt.error).__name__
        seconds = attempt.elapsed or 0.0
        log.log(
            importance,
            "%s %s: %s, attempt %d, %.0f ms",
            attempt.method,
            attempt.endpoint,
            attempt.status or error or "cancelled",
            attempt.number,
            seconds * 1000,
            extra={
                "endpoint": attempt.endpoint,
                "method": attempt.method,
                "attempt": attempt.number,
                "status": attempt.status,
                "error": error,
                "seconds": seconds,
            },
        )

    return Hooks(on_response=ended)


def _is_trouble(attempt: Attempt) -> bool:
    status = attempt.status
    if status is None:
        return attempt.error is not None
    return status == _TOO_MANY or status >= _FIRST_SERVER_ERROR
