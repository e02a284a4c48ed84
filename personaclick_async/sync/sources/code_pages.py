"""Which code page a text is in that is neither UTF-8 nor says what it is.

A wrong guess is damage that nobody sees, so a page is taken only if every word with letters
beyond ASCII reads like one: letters of one language's alphabet, capitals where capitals stand,
vowels and consonants where that letter can have them: ``Peña`` is Spanish, ``Kamiñski`` is
``Kamiński`` in another page. Short of that there is no answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import attrs

WESTERN: Final = "cp1252"

CANDIDATES: Final = (
    *(WESTERN, "cp1250", "cp1254", "cp1251", "cp1253", "cp1257", "mac_roman", "cp850", "cp852"),
    *("iso8859-2", "koi8-r", "cp866", "shift_jis", "gb18030", "euc_kr", "big5", "cp1255", "cp1256"),
)
"""Code pages to offer where none is certain."""

# A word: letters, with whatever stands within or beside them and is no ASCII.
_WORD: Final = re.compile(r"(?:[^\W\d_]|[^\x00-\x7f])+")

# Alphabets beyond ASCII of languages that are written in cp1252. Left out: Icelandic and
# Estonian, whose letters are those of Turkish and Hungarian in other pages.
_WESTERN: Final = tuple(
    map(
        frozenset,
        (
            "äöüßé",
            "àâæçèéêëîïôœùûü",
            "áéíóúüñ",
            "áâãàçéêíóôõúü",
            "àèéìíòóùú",
            "àèéíïòóúüç",
            "áéëïóöü",
            "åäöéü",
            "æøåéöäü",
        ),
    )
)
# Letters that are others in cp1250 or cp1257; beside them, these speak against Romance languages.
_SHARED: Final = frozenset("áâäçéëíîóôöúüß")
_FOREIGN: Final = re.compile(r"[kw]|cz|sz|rz|zs")
_CIRCUMFLEX: Final = frozenset("âêîôû")
# O'Brien and Anna's, with a curly apostrophe; Paris-Lyon, with a dash; Spanish short forms.
_HARMLESS: Final = re.compile(
    "\\b[^\\W\\d_]{1,2}\u2019(?=[A-Z\u00c0-\u00de])|\u2019[sS]\\b|\u2013(?=[A-Z])|\\b(?:[A-Za-z]|\\d+)[\u00aa\u00b0\u00ba]"
)
_WORDS_PER_DOUBT: Final = 25


# Where a letter can't stand in the languages above, so that it is another one of another page.
_V: Final = "aeiouyàáâãäåæèéêëìíîïòóôõöøùúûüœ"
_DOUBTFUL: Final = re.compile(
    f"ñ(?![{_V}])|(?<![{_V} ])ñ"  # Peña, but Kamiński
    f"|è[{_V}]|[aeyàáâãäåæéêëìíîïòóôõöøùú]è|[iu]è "  # Hélène, première, but Nováček
    f"|ê[{_V}bdg]|iê(?!n)"  # Jérôme, Inês, but Dębski, Zięba
    f"|(?<![mdsr])ø |[aeiouáéíóú]ø|ø[aeiouáéíóú]"  # Jørgen, Malmø, but Dvořák
    f"|[{_V}]æ|æ[{_V}]"  # Kjær, but Petrović
    f"|[òìùà](?! )|[aeouyáéó][òì]"  # Nicolò, Gesù, but Plzeň, Němec
    f"|û|[aeiou]ä|[{_V}]œ|œ(?!u|il)"
    f"|(?<![{_V}])[ïë]|ï[{_V}]|õ(?!e)|ã(?![oe ])|(?<![mhç])ã "  # Loïc, Zoë, Simões, João
    f"|(?<![{_V} nrlk])ç|[ nrlk]ç(?![{_V}])|[ao]á|[{_V}]á "
)


@attrs.frozen
class _Language:
    """A language that is taken on strong evidence only.

    :ivar letters: its letters beyond ASCII, in lower case.
    :ivar telling: those that tell it from cp1252; all unless said.
    :ivar common: letters of which a text is made for the most part.
    :ivar never: what no word of it looks like.
    """

    page: str
    letters: str
    telling: str = ""
    common: str = ""
    never: str = r"^[^\x00-\x7f]+$"


_LANGUAGES: Final = (
    _Language("cp1250", "ąćęłńóśźż", "ąćęłńśźż"),
    _Language("cp1250", "áčďéěíňóřšťúůýž", "čďěňřšťůž"),
    _Language("cp1250", "áäčďéíĺľňóôŕšťúýž", "čďľňšťž", never="^[^\x00-\x7f]+$|ľ[ei]"),
    _Language("cp1254", "çğ\u0131i\u0307öşüâîû", "ğ\u0131ş"),
    _Language(
        "cp1251",
        "абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґў",
        common="аоеинтсрвлкм",
        never="^[ъыь]",
    ),
    _Language(
        "cp1253",
        "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",
        common="αοιεσςντρηλκάίό",
        never="ς.|\u03c3$|^[ΰΐ]",
    ),
)
_ENOUGH_LETTERS: Final = 12
_ENOUGH_WORDS: Final = 3
_COMMON_SHARE: Final = 0.55


def code_page_of(evidence: bytes) -> str | None:
    """Return the code page of lines with bytes beyond ASCII; None if it is not certain."""
    if _is_western(evidence):
        return WESTERN
    found = {one.page for one in _LANGUAGES if _is_written_in(evidence, one)}
    return found.pop() if len(found) == 1 else None


def ranked(evidence: bytes) -> list[str]:
    """Return the candidates that can read the lines, those that make most words of them first."""

    def merit(name: str) -> float:
        words = _words(evidence.decode(name))
        return -sum(map(_is_cased_word, words)) / max(len(words), 1)

    return sorted((name for name in CANDIDATES if _decodes(evidence, name)), key=merit)


def _decodes(evidence: bytes, name: str) -> bool:
    try:
        text = evidence.decode(name)
    except UnicodeDecodeError:
        return False
    return not any("\x80" <= ch < "\xa0" for ch in text)


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if not word.isascii()]


def _is_cased_word(word: str) -> bool:
    """Tell whether a word is all letters, with a capital at most at its start, or all capitals."""
    if not word.isalpha():
        return False
    if any(map(str.isascii, word)) and any(ch >= "\u0370" for ch in word):
        return False  # two scripts in one word
    # Rear parts may be capital again: McDonald, but in ASCII only.
    return word.isupper() or not any(ch.isupper() and not ch.isascii() for ch in word[1:])


def _is_western(evidence: bytes) -> bool:
    if not _decodes(evidence, WESTERN):
        return False
    words = {*_words(_HARMLESS.sub("", evidence.decode(WESTERN)))}
    doubtful = {word for word in words if not _is_western_word(word)}
    letters = {ch for word in words for ch in word.lower() if ch > "\x7f" and ch.isalpha()}
    if letters and letters <= _CIRCUMFLEX:
        return False  # Latvian's long vowels read as these, and no French list has them alone
    telling = [word for word in words - doubtful if not {*word.lower()} & letters <= _SHARED]
    return len(telling) >= _WORDS_PER_DOUBT * len(doubtful)


def _is_western_word(word: str) -> bool:
    if not any(ch.isalpha() for ch in word):
        return len(word) == 1  # a sign by itself, beside digits perhaps
    if not _is_cased_word(word):
        return False
    word = word.lower()
    beyond = {ch for ch in word if ch > "\x7f"}
    is_foreign = beyond - _SHARED - {*"ñåæø"} and _FOREIGN.search(word)
    is_all_beyond = len(word) > 1 and beyond == {*word}
    is_known = any(beyond <= alphabet for alphabet in _WESTERN)
    return is_known and not is_foreign and not is_all_beyond and not _DOUBTFUL.search(f" {word} ")


def _is_written_in(evidence: bytes, language: _Language) -> bool:
    if not _decodes(evidence, language.page):
        return False
    cased = {*_words(evidence.decode(language.page))}
    words = {word.lower() for word in cased}
    letters = [ch for word in words for ch in word if ch > "\x7f"]
    telling = {*(language.telling or language.letters)}
    common = language.common or language.letters
    return (
        all(map(_is_cased_word, cased))
        and {*letters} <= {*language.letters}
        and not any(re.search(language.never, word) for word in words)
        and sum(not telling.isdisjoint(word) for word in words) >= _ENOUGH_WORDS
        and len(telling & {*letters}) > 1
        and sum(map(len, words)) >= _ENOUGH_LETTERS
        and sum(ch in common for ch in letters) >= _COMMON_SHARE * len(letters)
    )


def lines_of(blocks: Iterable[bytes], most: int) -> bytes:
    """Return the lines with bytes beyond ASCII, until there are ``most`` bytes of them."""
    found = bytearray()
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).splitlines(keepends=True) or [b""]
        for line in lines:
            if not line.isascii():
                found += line
        if len(found) >= most:
            return bytes(found)
    return bytes(found) + (b"" if rest.isascii() else rest)
