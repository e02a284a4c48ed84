"""How columns are called in the world, and which field that means."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from personaclick_async.names import RESERVED_NAMES

# As same() writes them; the surest come first, as only one column can be a field's.
SPELLINGS: Final = {
    "email": "email emailaddress mail mailaddress useremail customeremail contactemail"
    " primaryemail emailaddr emailid correo courriel почта электроннаяпочта",
    "phone": "phone phonenumber mobile mobilephone mobilenumber telephone telephonenumber tel"
    " cell cellphone msisdn phoneno contactnumber customerphone primaryphone телефон",
    "external_id": "externalid customerid customerkey customernumber customerno customercode"
    " clientid clientnumber userid userkey contactid personid accountid uid id",
    "loyalty_id": "loyaltyid loyaltycard loyaltycardnumber loyaltynumber bonuscard"
    " membershipnumber memberid",
    "telegram_id": "telegramid telegram tgid",
    "fb_id": "fbid facebookid",
    "vk_id": "vkid vkontakteid",
    "first_name": "firstname givenname forename fname vorname имя",
    "last_name": "lastname surname familyname lname nachname фамилия",
    "middle_name": "middlename patronymic secondname отчество",
    "gender": "gender sex пол",
    "age": "age возраст",
    "birthday": "birthday birthdate dateofbirth dob bday birth датарождения",
    "location": "location locationid",
    "bought_something": "boughtsomething",
    "loyalty_card_location": "loyaltycardlocation",
    "loyalty_status": "loyaltystatus",
    "loyalty_bonuses": "loyaltybonuses bonuses bonuspoints loyaltypoints",
    "loyalty_bonuses_to_next_level": "loyaltybonusestonextlevel",
    "google_advertising_id": "googleadvertisingid gaid",
    "apple_advertising_id": "appleadvertisingid idfa",
    "yandex_id": "yandexid",
    "kids": "kids",
    "auto": "auto",
}
"""The names of columns that mean a field."""

PLACES: Final = (
    ("city", "town", "город"),
    ("state", "stateprovince", "province", "region", "регион"),
    ("country", "countryregion", "countryname", "страна"),
)
"""The names of columns that make a location together, from the smallest place to the largest."""

_WORD_ENDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NOT_A_NAME: Final = re.compile(r"[^a-z0-9]+")


def same(name: str) -> str:
    """Write a name so that its spellings agree: ``E-mail address`` is ``EmailAddress``."""
    return "".join(ch for ch in unicodedata.normalize("NFKC", name).casefold() if ch.isalnum())


def property_name(column: str, number: int) -> str:
    """Make the name of a custom property of a column's name: ``AnnualIncome``, annual_income.

    :param number: the column's number, for one whose name has no Latin letter.
    """
    latin = unicodedata.normalize("NFKD", column).encode("ascii", "ignore").decode()
    name = _NOT_A_NAME.sub("_", _WORD_ENDS.sub("_", latin).lower()).strip("_")
    if not name or name.isdigit():
        name = f"column_{number}"
    return f"{name}_property" if name in RESERVED_NAMES else name
