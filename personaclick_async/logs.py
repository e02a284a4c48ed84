"""Logging: the client's requests, one line each, and text without what must not be in a log.

Redaction takes time linear in the text, whatever the text: patterns match runs possessively and
only from where they begin, and a value whose end is missing goes up to the end of its line.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, quote_plus

from personaclick_async import names
from personaclick_async.errors import ConfigurationError
from personaclick_async.hooks import Attempt, Hooks

_USUAL_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_LINE: Final = "%(method)s %(endpoint)s: %(outcome)s, attempt %(attempt)d, %(ms).0f ms"
_SERVER_ERROR: Final = 500
_TOO_MANY: Final = 429

REDACTED: Final = "[redacted]"

_SHORTEST_SECRET: Final = 6
_NAMES: Final = "|".join(
    (names.SHOP_SECRET, "secret", names.DID, names.SID, names.SEANCE, *names.IDENTIFIERS)
)

# What may stand before a word within a text: an escape of JSON, or of a URL.
_AFTER_ESCAPE: Final = r"(?<=\\[nrtbf]) | (?<=%2[06BbCc]) | (?<=%3[Ff]) | (?<=\\u00(?:26|3[CcEe]))"
_ESCAPED: Final = r"\\{1,8}u(?!0026)[0-9A-Fa-f]{4}"

# A value in quotes ends at its closing quote, or with the line if it has none. In JSON that is
# itself a JSON text each quote has one backslash, one level deeper three, and a quote inside of a
# value has the number of the next level; one with fewer ends the text around a value that was cut
# off. Single quotes are Python's, whose backslashes are doubled where a repr stands in JSON: any
# more of them escape.
_QUOTED: Final = r"""
    (?: [^\\"'\n]++ | [^\n] )*?
    (?:
        (?= \n | \Z | (?<!\\) (?! (?P=escapes) ) \\* (?(json)"|') )
      | (?<!\\) (?(json) (?: (?P=escapes){2} \\\\ )* ) (?= (?P=escapes) (?(json)"|') )
    )
"""
# A value without quotes. After a name in quotes it is a number. In a URL it may hold punctuation,
# but does not end with it: a closing bracket or a comma belongs to the text around it.
_NUMBER_OR_WORD: Final = r"""[^\s,;)\]}"'\\]++"""
_OF_NESTED_URL: Final = r"""(?: (?!%26) [^\s&"'\\<>] )++"""
_OF_URL: Final = rf"""
    (?! \[redacted\] )
    (?: [^\s&"'\\<>,;()\[\]{{}}] | {_ESCAPED} | [,;()\[\]{{}}']++ (?=[^\s&"\\<>]) )++
"""
# A name begins a word, or follows an underscore (a cookie's prefix). A colon follows it in JSON, in
# headers and in prose; what a ValidationError says that it expected stays.
_NAMED: Final = rf"""
    (?: (?<![^\W_]) | {_AFTER_ESCAPE} )
    (?i: {_NAMES} )
    (?:
        (?P<quote> \\{{0,8}} ["'] ) [ ]?[:=][ ]?
      | [ ]?={{1,3}}+[ ]?+
      | :[ ]?(?!expected[ ])
      | (?P<nested> %3[Dd] )
    )
"""
_NAMES_WITHIN: Final = re.compile(_NAMED, re.VERBOSE)
_WITH_VALUE: Final = re.compile(
    rf"""
    (?P<kept> {_NAMED} (?P<open> [bu]? (?P<escapes> \\{{0,8}} ) (?: (?P<json> " ) | ' ) )?+ )
    (?(open) {_QUOTED} | (?P<bare>
        (?(quote) {_NUMBER_OR_WORD} | (?(nested) {_OF_NESTED_URL} | {_OF_URL} ) )
    ) )
    """,
    re.VERBOSE,
)
_WORDS_FOR_NOTHING: Final = frozenset({"null", "None", "true", "True", "false", "False"})

# What may stand before an address's at sign. An apostrophe counts inside a word only, and a percent
# sign unless it begins the sign itself, encoded once or twice.
_EMAIL: Final = re.compile(
    rf"""
    (?:
        (?<! [\w.!#$%*+^`|~-] ) (?<! \w' ) (?! (?<=\\) (?: [nrtbf] | u[0-9A-Fa-f]{{4}} ) )
      | (?<= \\[nrtbf] )
    )
    (?: [\w.!#$*+^`|~-] | %(?!40|2540) | (?<=\w)'(?=\w) | {_ESCAPED} )++
    (?: @ | %40 | %2540 )
    (?: [\w.-] | %[89A-Fa-f][0-9A-Fa-f] | {_ESCAPED} )++ (?<! [.-] )
    """,
    re.VERBOSE,
)

# Ten digits in a row, or fewer that are written as phone numbers are. Ten in a row are no phone
# number in a decimal fraction, in a time with one, and in a word such as a hash.
_NUMBER: Final = re.compile(
    rf"""
    (?: (?<! [^\W_] ) | {_AFTER_ESCAPE} ) (?<! \d\. )
    (?:
        \d{{10,}}+ (?! [^\W_] | \.\d )
      | \+[1-9] (?: [ ().-]{{0,3}}+\d ){{6,}}+
      | \(\d{{3,5}}\)[ ]?\d{{1,3}} (?: [ -]?\d{{2,4}} ){{1,2}} (?! \d )
      | (?: \d{{1,3}}[ -] )? \(?\d{{3}}\)?[ -]\d{{3}} (?: -\d{{2}}-\d{{2}} | -\d{{4}} ) (?! \d )
    )
    """,
    re.VERBOSE,
)


class Redactor:
    """Replaces in a text what must not be read in a log.

    These are the secrets it was given; the values of ``shop_secret``, ``secret``, ``did``,
    ``sid``, ``seance``, ``email``, ``phone``, ``external_id``, ``loyalty_id`` and ``telegram_id``
    in URLs, JSON and reprs; e-mail addresses; and what looks like a phone number: ten digits in a
    row, or fewer with a plus sign, brackets or hyphens where phone numbers have them.

    :param secrets: shop secrets, wherever they stand; at least six characters each.
    :raises ConfigurationError: a secret is too short to be told from other text.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        given = list(secrets)
        if any(len(secret) < _SHORTEST_SECRET for secret in given):
            raise ConfigurationError(f"secrets: expected at least {_SHORTEST_SECRET} characters")
        encoded = {encode(secret, safe="") for secret in given for encode in (quote, quote_plus)}
        longest_first = sorted(encoded.union(given), key=len, reverse=True)
        # Without a secret it matches nowhere.
        self._secrets = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def __call__(self, text: str) -> str:
        """Return the text with ``[redacted]`` in place of secrets and personal data."""
        text = _without_values(self._secrets.sub(REDACTED, text))
        if "@" in text or "%40" in text or "%2540" in text:
            text = _EMAIL.sub(REDACTED, text)
        return _NUMBER.sub(REDACTED, text)


def _without_values(text: str) -> str:
    kept: list[str] = []
    done = 0
    for name in _NAMES_WITHIN.finditer(text):
        # A name at the end of a value that has gone may have a value of its own behind it.
        found = _WITH_VALUE.match(text, name.start()) if name.end() >= done else None
        if found is None or found["bare"] in _WORDS_FOR_NOTHING:
            continue
        # A number in JSON becomes a text, so that a line of JSON stays one.
        mark = (found["quote"] or "") if found["open"] is None else ""
        kept.append(f"{text[done : found.end('kept')]}{mark}{REDACTED}{mark}")
        done = found.end()
    return "".join(kept) + text[done:]


class RedactingFormatter(logging.Formatter):
    """Formats as another formatter does, and takes out what a log must not hold.

    ::

        handler.setFormatter(RedactingFormatter(handler.formatter, secrets=[shop_secret]))

    Works on the finished text, traceback included; a line of JSON stays one. See :class:`Redactor`
    for what is taken out, and for ``secrets``. The package's own lines hold none of it; this is
    for what others log: web servers, aiohttp, asyncio in its debug mode, the application.

    :param formatter: formats first: a formatter, or a format for a standard one.
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
        status, seconds = attempt.status, attempt.elapsed or 0.0
        error = None if attempt.error is None else type(attempt.error).__name__
        is_trouble = error if status is None else status == _TOO_MANY or status >= _SERVER_ERROR
        importance = logging.WARNING if is_trouble else level
        if not log.isEnabledFor(importance):
            return
        fields = {
            "endpoint": attempt.endpoint,
            "method": attempt.method,
            "attempt": attempt.number,
            "status": status,
            "error": error,
            "seconds": seconds,
        }
        said = {**fields, "outcome": status or error or "cancelled", "ms": seconds * 1000}
        log.log(importance, _LINE, said, extra=fields)

    return Hooks(on_response=ended)
