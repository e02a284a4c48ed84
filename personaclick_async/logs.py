"""Logging: what the client does, and a formatter that keeps secrets and persons out of logs."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, quote_plus

from personaclick_async.hooks import Attempt, Hooks
from personaclick_async.protocol import names

_REDACTED: Final = "[redacted]"
_SHORTEST_SECRET: Final = 4

_PRIVATE_NAMES: Final = "|".join(
    (names.SHOP_SECRET, names.DID, names.SEANCE, names.SID, *names.IDENTIFIERS)
)
# A value after its name, as in a query, in JSON, in a repr, in a header.
_NAMED: Final = re.compile(
    rf"""(?ix) (?<![A-Za-z0-9])
    ( (?:{_PRIVATE_NAMES}) ["']? \s{{0,3}} [=:] \s{{0,3}} )
    ( \[redacted\] | "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | [^\s&,;"'}})\]]+ )
    """
)
_EMAIL: Final = re.compile(
    r"[^\s@\"'<>(),:;=&\[\]{}]{1,64}(?:@|%40)[^\s@\"'<>(),:;=&\[\]{}]{1,255}"
)
# Spaces and dashes only after a plus: dates have them too.
_LONG_NUMBER: Final = re.compile(r"(?<![\w.])(?:\+\d[\d ()-]{5,18}\d|\d{7,})(?![\w.])")


class RedactingFormatter(logging.Formatter):
    """Formats as another formatter does, and takes out what a log must not hold.

    ::

        handler.setFormatter(RedactingFormatter(secrets=[shop_secret]))

    Taken out, of the whole line and its traceback: the secrets given, also as a URL spells them;
    values named ``shop_secret``, ``did``, ``sid``, ``seance`` or as an identifier of a user; e-mail
    addresses; and numbers long enough to be a phone's. The package's own lines hold none of these.
    It is for what others log: a web server's access log, aiohttp's and asyncio's debug output,
    an application's own lines.

    :param formatter: formats first; the standard one if None.
    :param secrets: texts to take out wherever they stand, of four characters or more.
    """

    def __init__(
        self, formatter: logging.Formatter | None = None, *, secrets: Iterable[str] = ()
    ) -> None:
        super().__init__()
        self._formatter = formatter or logging.Formatter(
            "%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        spelt = {
            spelling
            for secret in secrets
            if len(secret) >= _SHORTEST_SECRET
            for spelling in (secret, quote(secret, safe=""), quote_plus(secret))
        }
        # The longest first, or what is left of it would show.
        ordered = sorted(spelt, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def format(self, record: logging.LogRecord) -> str:
        """Format a record, and redact the text."""
        return self.redact(self._formatter.format(record))

    def redact(self, text: str) -> str:
        """Take out of a text what a log must not hold."""
        if self._secrets is not None:
            text = self._secrets.sub(_REDACTED, text)
        text = _NAMED.sub(rf"\1{_REDACTED}", text)
        text = _EMAIL.sub(_REDACTED, text)
        return _LONG_NUMBER.sub(_REDACTED, text)

    def __repr__(self) -> str:
        return "<RedactingFormatter>"


def log_requests(logger: logging.Logger | None = None, *, level: int = logging.DEBUG) -> Hooks:
    """Make hooks that log each request: endpoint, status, attempt and time, and nobody's data.

    ::

        client = PersonaClick(hooks=log_requests(level=logging.INFO))

    Each record has ``endpoint``, ``status``, ``attempt``, ``seconds`` and ``error`` as attributes,
    for formatters that write JSON. Retries are logged at INFO.

    :param logger: where to log; ``personaclick_async`` if None.
    :param level: the level of requests that were answered; failures are logged as warnings.
    """
    log = logger or logging.getLogger("personaclick_async")

    def answered(attempt: Attempt) -> None:
        importance = level if attempt.error is None else logging.WARNING
        if not log.isEnabledFor(importance):
            return
        error = None if attempt.error is None else type(attempt.error).__name__
        outcome = attempt.status if attempt.status is not None else error or "cancelled"
        seconds = attempt.elapsed or 0.0
        log.log(
            importance,
            "%s %s: %s, attempt %d, %.0f ms",
            attempt.method,
            attempt.endpoint,
            outcome,
            attempt.number,
            seconds * 1000,
            extra={
                "endpoint": attempt.endpoint,
                "status": attempt.status,
                "attempt": attempt.number,
                "seconds": seconds,
                "error": error,
            },
        )

    def repeated(attempt: Attempt) -> None:
        log.info(
            "%s: again in %.2f s",
            attempt.endpoint,
            attempt.wait or 0.0,
            extra={"endpoint": attempt.endpoint, "wait": attempt.wait},
        )

    return Hooks(on_response=answered, on_retry=repeated)
