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

_VOWELS: Final = frozenset("aeiouyàáâãäåæèéêëìíîïòóôõöøùúûüœ")
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
    "\\b[^\\W\\d_]{1,2}\u2019(?=[A-Z\u00c0-\u00de])|\u2019[sS]\\b|\u2013(?=[A-Z])|\\b(?:[A-Za-z]|\\d+)[\u00aa\u00ba]"
)
_WORDS_PER_DOUBT: Final = 25


@attrs.frozen
class _Page:
    """A language that is taken on strong evidence only.

    :ivar letters: its letters beyond ASCII, in lower case.
    :ivar telling: those that tell it from cp1252.
    """

    name: str
    letters: frozenset[str]
    telling: frozenset[str]


def _page(name: str, letters: str, telling: str) -> _Page:
    return _Page(name, frozenset(letters), frozenset(telling))


_CENTRAL: Final = (
    _page("cp1250", "ąćęłńóśźż", "ąćęłńśźż"),
    _page("cp1250", "áčďéěíňóřšťúůýž", "čďěňřšťůž"),
    _page("cp1250", "áäčďéíĺľňóôŕšťúýž", "čďľňšťž"),
    _page("cp1254", "çğ\u0131i\u0307öşüâîû", "ğ\u0131ş"),
)
_HARD: Final = re.compile("ľ[ei]")  # not Slovak: an l is soft there by itself
_CYRILLIC: Final = "абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґў"
_GREEK: Final = "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ"
_COMMON: Final = {"cp1251": frozenset("аоеинтсрвлкм"), "cp1253": frozenset("αοιεσςντρηλκάίό")}
_ENOUGH_LETTERS: Final = 12
_ENOUGH_WORDS: Final = 3
_COMMON_SHARE: Final = 0.55


def code_page_of(evidence: bytes) -> str | None:
    """Return the code page of lines with bytes beyond ASCII; None if it is not certain."""
    if _is_western(evidence):
        return WESTERN
    found = {
        *(page.name for page in _CENTRAL if _is_central(evidence, page)),
        *(
            name
            for name, of in (("cp1251", _CYRILLIC), ("cp1253", _GREEK))
            if _is_script(evidence, name, of)
        ),
    }
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
    if any(map(str.isascii, word)) and any(ch >= _GREEK[0] for ch in word):
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
    if (len(word) > 1 and all(ch > "\x7f" for ch in word)) or not any(
        beyond <= of for of in _WESTERN
    ):
        return False
    if beyond - _SHARED - frozenset("ñåæø") and _FOREIGN.search(word):
        return False
    padded = f" {word} "
    return all(
        _fits(padded[i - 1], padded[i], padded[i + 1], padded[i + 1 :])
        for i in range(1, len(padded) - 1)
        if padded[i] > "\x7f"
    )


def _fits(before: str, letter: str, after: str, rest: str) -> bool:
    """Tell whether a letter can stand between its neighbours; a space is the word's edge."""
    after_vowel, before_vowel = before in _VOWELS, after in _VOWELS
    match letter:
        case "ñ":
            return before_vowel and (after_vowel or before == " ")
        case "è":
            is_free = before in "iou" and after != " " if after_vowel else True
            return (is_free or (before == "o" and after == " ")) and not before_vowel
        case "ê":
            return not before_vowel and after not in "bdg" and (before != "i" or after == "n")
        case "ø":
            at_end = after == " " and before not in "mdsr"
            return not (
                at_end or (after_vowel and before != "y") or (before_vowel and after != "y")
            )
        case "æ":
            return not after_vowel and not before_vowel
        case "ò" | "ì":
            return after == " " and (not after_vowel or before == "i")
        case "ù" | "à":
            return after == " "
        case "û":
            return False
        case "ä":
            return before not in "aeiou"
        case "ï":
            return after_vowel and not before_vowel
        case "õ":
            return after == "e"
        case "ã":
            return after in "oe" or (after == " " and before in "mhç")
        case "ë":
            return after_vowel
        case "ç":
            return after_vowel or (before in " nrlk" and before_vowel)
        case "á":
            return not (after_vowel and (after == " " or before in "ao"))
        case "œ":
            return not after_vowel and rest.startswith(("u", "il"))
        case _:
            return True


def _is_central(evidence: bytes, page: _Page) -> bool:
    if not _decodes(evidence, page.name):
        return False
    words = _words(evidence.decode(page.name))
    told = [word for word in words if page.telling & set(word.lower())]
    letters = {ch for word in told for ch in word.lower() if ch in page.telling}
    return (
        len(told) >= _ENOUGH_WORDS
        and len(letters) > 1
        and all(
            _is_cased_word(word)
            and not all(ch > "\x7f" for ch in word)
            and {ch for ch in word.lower() if ch > "\x7f"} <= page.letters
            and not _HARD.search(word)
            for word in words
        )
    )


def _is_script(evidence: bytes, name: str, alphabet: str) -> bool:
    if not _decodes(evidence, name):
        return False
    words = _words(evidence.decode(name))
    text = "".join(words).lower()
    is_written = all(
        _is_cased_word(word)
        and word == word[:1] + (word[1:].upper() if word.isupper() else word[1:].lower())
        and set(word.lower()) <= set(alphabet)
        and "ς" not in word[:-1]
        and not word.endswith("\u03c3")
        and word[0].lower() not in "ъыьΰΐ"
        for word in words
    )
    share = sum(ch in _COMMON[name] for ch in text) / max(len(text), 1)
    is_enough = len(text) >= _ENOUGH_LETTERS and len({*words}) >= _ENOUGH_WORDS
    return is_written and is_enough and share >= _COMMON_SHARE


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
