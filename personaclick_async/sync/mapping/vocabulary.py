"""Words that files use: for nothing, for genders, for yes and no, for months and columns."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from personaclick_async.models.update import RESERVED_NAMES

ALWAYS_NOTHING: Final = ("null", "none", "nan", "nat", "n/a", "#n/a", "\\n", "undefined", "nil")
"""Words that stand for no value in any column, as programs write them."""

_NOTHING: Final = (
    "*|-|--|---|.|?|??|bilinmiyor|blank|brak|desconhecido|desconocida|desconocido|empty|"
    "inconnu|k. a.|k.a.|keine angabe|missing|n.a|n.a.|na|nieznany|no definido|no value|"
    "not available|not provided|not set|not specified|onbekend|other|sconosciuto|u|"
    "unbekannt|unknown|unspecified|void|x|xx|xxx|yok|non renseigné|okänd|не указано|"
    "неизвестно|нет данных|\u2013|\u2014|不明|未知|無|없음|"
    "deleted|[deleted]|redacted|[redacted]|anonymized|***"
)
NOTHING: Final = frozenset((*ALWAYS_NOTHING, *_NOTHING.split("|")))
"""Words that stand for no value where the sample of a column has them, in small letters."""

_NOBODY: Final = (
    NOTHING
    | {"int", "integer", "bigint", "string", "varchar"}
    | {"guest", "anonymous", "anon", "gast", "invité", "invitado", "гость"}
)
_WRAPPED: Final = re.compile(r"[(<\[{](.*)[)>\]}]")
_FOOTER: Final = re.compile(r"[0-9,. ]+ (?:rows?|records?|lines?)(?: .*)?")
_NO_NUMBER: Final = re.compile(r"[+-]?0+(?:\.0+)?|-1(?:\.0+)?")
_ERROR: Final = re.compile(
    r"#(?:[¡¿]?[A-ZÄÖÜÉÁÍÓÚ0][A-ZÄÖÜÉÁÍÓÚ0-9_/]*[!?]|N/?[ADV]|#+|GETTING_DATA)"
)


def is_error(text: str) -> bool:
    """Return whether a spreadsheet wrote this where it could not work out a cell."""
    return text.startswith("#") and _ERROR.fullmatch(text) is not None


def names_nobody(text: str) -> bool:
    """Return whether an identifier is a word or a number that stands for none."""
    word = text.casefold()
    if (wrapped := _WRAPPED.fullmatch(word)) is not None:
        word = wrapped[1].strip()
    if not any(map(str.isalnum, word)) or _FOOTER.fullmatch(word) is not None:
        return True
    return word in _NOBODY or _NO_NUMBER.fullmatch(word) is not None


_NO_MAILBOX: Final = re.compile(
    r"(?:no|non|sin|sem|ohne|keine|pas[-_.]?de|brak)[-_.]?(?:e[-_.]?)?mail|no[-_.]?(?:one|body)"
    r"|none|null|undefined|unknown|not[-_.]?(?:provided|given|available)"
)


def is_placeholder(email: str) -> bool:
    """Return whether an address is typed where one is asked for: noemail@example.com."""
    return _NO_MAILBOX.fullmatch(email.partition("@")[0].casefold()) is not None


_GENDER_PAIRS: Final = (
    "male/female man/woman men/women boy/girl mr/mrs mr/ms mr./mrs. mr./ms. herr/frau"
    " männlich/weiblich mann/frau masculin/féminin masculin/feminin homme/femme"
    " monsieur/madame m./mme m./mlle mr/miss masculino/femenino"
    " masculino/feminino hombre/mujer varón/mujer"
    " maschio/femmina uomo/donna maschile/femminile"
    " homem/mulher man/vrouw mannelijk/vrouwelijk mężczyzna/kobieta mezczyzna/kobieta męski/żeński"
    " erkek/kadın erkek/kadin bay/bayan man/kvinna manlig/kvinnlig 男/女 男性/女性"  # noqa: RUF001
    " г-н/г-жа sr./sra. sr/sra dhr./mevr. dhr/mevr muž/žena чоловіча/жіноча чоловік/жінка"  # noqa: RUF001
    " 先生/女士 남/여 남성/여성 남자/여자 м/ж муж/жен муж./жен. мужской/женский мужчина/женщина"
)


def _genders() -> tuple[dict[str, str], dict[str, str]]:
    genders: dict[str, str] = {}
    others: dict[str, str] = {}
    for pair in _GENDER_PAIRS.split():
        male, female = pair.split("/")
        genders |= {male: "m", female: "f"}
        others = {male: female, female: male} | others
    return genders, others


GENDERS, OTHER_GENDER = _genders()
"""Words that mean one gender in every language that has them, and the words for the other."""

GENDER_LETTERS: Final = ("mf", "mw", "mv", "hf", "ek")
"""Pairs of letters, the male one first. H and M, or K and M, are read in two ways or more."""

_YES: Final = (
    "true t yes y on 1 wahr ja j vrai oui o verdadero sí si vero sim verdadeiro waar prawda tak"
    " doğru evet sann sant да истина 是 真 はい 예 네"
)
_NO: Final = (
    "false f no n off 0 falsch nein faux non falso não nao onwaar nee fałsz nie yanlış hayır"  # noqa: RUF001
    " falskt nej нет ложь 否 偽 いいえ 아니오 아니요"
)
YES: Final = frozenset(_YES.split())
NO: Final = frozenset(_NO.split())
"""Words for yes and for no, in small letters."""

_MONTHS: Final = (
    "january february march april may june july august september october november december",
    "januar februar märz april mai juni juli august september oktober november dezember",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "januari februari maart april mei juni juli augustus september oktober november december",
    (
        "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października"
        " listopada grudnia"
    ),
    "ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık",  # noqa: RUF001
    "januari februari mars april maj juni juli augusti september oktober november december",
    "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
)


def _months() -> dict[str, int]:
    found: dict[str, set[int]] = {}
    for language in _MONTHS:
        for number, word in enumerate(language.split(), 1):
            for spelt in {word, word[:3], word[:4]}:
                found.setdefault(spelt, set()).add(number)
    return {word: min(numbers) for word, numbers in found.items() if len(numbers) == 1}


MONTHS: Final = _months()
"""The number of a month by its name, or its first letters where these mean one month only."""

_CITIES: Final = (
    "city town stadt ort wohnort ville ciudad città citta cidade stad plaats miasto şehir il"
    " город město місто homecity mailingcity billingcity addresscity defaultaddresscity"
    " address1city defaultbillingaddresscity ort01 市 城市 市区町村 도시"
)
_REGIONS: Final = (
    "state stateprovince province region bundesland kanton région provincia estado provincie"
    " województwo регион область county mailingstate billingstate 都道府県 省"
)
_COUNTRIES: Final = (
    "country countryregion countryname homecountryregion mailingcountry billingcountry"
    " address1country defaultaddresscountrycode defaultbillingaddresscountry land1 země"
    " land pays país paese kraj ülke страна 国 国家 국가"
)
PLACES: Final = tuple(tuple(names.split()) for names in (_CITIES, _REGIONS, _COUNTRIES))
"""The names of columns that make a location together, from the smallest place to the largest."""

_WHOLE_NAMES: Final = (
    "name fullname customername contactname displayname kunde kundenname nomcomplet nombrecompleto"
    " nomecompleto имяифамилия adsoyad billingname shippingname leadname personname requestername"
)
_FAMILY_FIRST: Final = "фио фамилияимяотчество прізвищеімя 氏名 姓名 お名前 이름 성명"
_EITHER_NAME: Final = "nombre nome имя імя nom ad isim jméno imię 名前 이름"
_TITLES: Final = "title titre salutation aanhef titel nameprefix tratamiento обращение oslovení"

CODES: Final = re.compile(
    r"zip|postal|postcode|postleitzahl|plz|codepostal|sku|ean|gtin|upc|isbn|vat|ustid|tax|iban|bic"
    r"|fax|code|number$|nummer|numero|phone|telefon|tel$|mobile|handy|индекс|inn|инн|郵便|邮编"
)
"""What the names of columns that hold digits which are no number have in them."""

COUNTRIES: Final = re.compile(r"country|land$|pays|pais|paese|kraj|ulke|страна|国|language|locale")
"""The names of columns where NO is Norway."""

_WORD_ENDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NOT_A_NAME: Final = re.compile(r"[^a-z0-9]+")
_LETTERS: Final = str.maketrans({"\u0131": "i", "ł": "l", "ø": "o", "đ": "d"})
_PREFIXES: Final = (
    *("customer", "client", "contact", "user", "billing", "account", "primary", "main", "default"),
    *("shipping", "personal", "your", "kunden", "lead", "person", "subscriber", "member"),
    *("address", "business", "home", "рабочии", "мобильныи"),
)
_SUFFIXES: Final = ("1value", "1", "s", "primary", "home", "work", "mobile", "privat")


def same(name: str) -> str:
    """Write a name so that its spellings agree: ``E-mail address`` is ``EmailAddress``."""
    plain = unicodedata.normalize("NFKD", name).casefold().translate(_LETTERS)
    return "".join(ch for ch in plain if ch.isalnum())


FAMILY_FIRST: Final = frozenset(map(same, _FAMILY_FIRST.split()))
"""The names of columns that hold a whole name, which begins with the family's."""

WHOLE_NAMES: Final = frozenset(map(same, _WHOLE_NAMES.split())) | FAMILY_FIRST
"""The names of columns that hold a whole name."""

EITHER_NAME: Final = frozenset(map(same, _EITHER_NAME.split()))
"""The names of columns that hold one part of a name, or all of it."""

TITLES: Final = frozenset(map(same, _TITLES.split()))
"""The names of columns that hold Mr and Mrs, or whatever one is by profession."""

DEEDS: Final = re.compile(
    r"(?:order|invoice|ticket|event|transaction|payment|charge|subscription|product|form|ad)"
    r"(?:id|no|nr|number|date|type|name|status|total)|lineitem\w+|quantity|price|subject|captured"
    r"|amount(?:refunded)?|(?:financial|fulfillment)status|(?:bestell|rechnungs|auftrags)\w+"
    r"|(?:numero|date)(?:de)?(?:commande|pedido)|заказ|(?:номер|дата)заказа|注文番号|订单号"
)
"""The names of columns of files whose rows are what people did, with ids that are not theirs."""


def variants(name: str) -> tuple[str, ...]:
    """Return the shorter names that a column may stand for, the nearest first."""
    whole = same(name)
    ends = [whole.removesuffix(end) for end in _SUFFIXES if whole.endswith(end)]
    starts = [one.removeprefix(p) for one in (whole, *ends) for p in _PREFIXES if one.startswith(p)]
    return tuple(one for one in dict.fromkeys((*ends, *starts)) if one)


def property_name(column: str, number: int) -> str:
    """Make the name of a custom property of a column's name: ``AnnualIncome``, annual_income.

    :param number: the column's number, for one whose name has no Latin letter.
    """
    latin = unicodedata.normalize("NFKD", column).encode("ascii", "ignore").decode()
    name = _NOT_A_NAME.sub("_", _WORD_ENDS.sub("_", latin).lower()).strip("_")
    if not name or name.isdigit():
        name = f"column_{number}"
    return f"{name}_property" if name in RESERVED_NAMES else name
