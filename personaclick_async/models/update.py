"""What a caller sends about a user: the profile update, with children and vehicles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final, TypedDict, Unpack

import attrs

from personaclick_async.codec import Json
from personaclick_async.errors import ValidationError
from personaclick_async.models import rules
from personaclick_async.models.fields import (
    CLEAR,
    Clear,
    Field,
    Fields,
    Kind,
    Sent,
    names_fields,
    sent,
    with_fields,
)
from personaclick_async.models.rules import CustomValue, Number, Rule
from personaclick_async.names import EXTERNAL_ID, ID, RESERVED_PARAMETERS, Gender

_NOT_EMPTY: Final = "a non-empty str; leave the field out, or pass CLEAR to erase it"
_CUSTOM_NAME: Final = re.compile(r"[A-Za-z0-9_]+")


class _Part(Fields):
    """A part of an update, whose fields can't be cleared one by one."""

    @classmethod
    def cleared(cls, name: str) -> Clear:
        """Refuse it."""
        raise rules.refuse(name, "a value, or the field left out", CLEAR)

    @classmethod
    def _rule(cls, field: str, value: object) -> Mapping[str, Any]:
        if isinstance(value, cls):
            return value.mentioned
        if type(value) is not dict and not isinstance(value, Mapping):
            raise rules.refuse(field, f"a {cls.__name__} or a mapping", value)
        try:
            return cls.checked(value, field)
        except ValidationError as error:
            if error.field == field:
                raise
            raise error.within(field) from None

    @classmethod
    def rule(cls) -> Rule[list[Mapping[str, Any]]]:
        """Make the rule for a list of such parts."""
        rule = rules.each(cls._rule)
        rule.__doc__ = (
            f"Accept an iterable of :class:`{cls.__name__}`, or of mappings of its fields;"
            " it replaces what was there."
        )
        return rule


class KidFields(TypedDict, total=False):
    """What :class:`Kid` takes."""

    gender: Gender | str | None
    birthday: date | str | None


@with_fields
class Kid(_Part):
    """A child of the user: ``gender`` and ``birthday``, both optional (protocol, 3.1).

    :ivar mentioned: the fields that are given, by name, in the wire's form.
    """

    gender: Gender | None = sent(rules.gender, Kind.GENDER)
    birthday: date | None = sent(rules.birthday, Kind.DAY)

    @names_fields(KidFields)
    def __init__(self, **fields: Unpack[KidFields]) -> None:
        vars(self)["mentioned"] = self.checked(fields, "Kid")


class VehicleFields(TypedDict, total=False):
    """What :class:`Vehicle` takes."""

    brand: str | None
    model: str | None
    vds: str | None


@with_fields
class Vehicle(_Part):
    """A vehicle of the user: ``brand``, ``model``, ``vds`` (VDS or full VIN) (protocol, 3.1).

    :ivar mentioned: the fields that are given, by name, in the wire's form.
    """

    brand: str | None = sent(rules.text, Kind.TEXT)
    model: str | None = sent(rules.text, Kind.TEXT)
    vds: str | None = sent(rules.text, Kind.TEXT)

    @names_fields(VehicleFields)
    def __init__(self, **fields: Unpack[VehicleFields]) -> None:
        vars(self)["mentioned"] = self.checked(fields, "Vehicle")


class ProfileFields(TypedDict, total=False):
    """What ``profile.set`` and :class:`ProfileUpdate` take, by keyword."""

    email: Sent[str]
    phone: Sent[str]
    external_id: Sent[str | int]
    id: Sent[str | int]
    loyalty_id: Sent[str | int]
    telegram_id: Sent[str | int]
    fb_id: Sent[str | int]
    vk_id: Sent[str | int]
    first_name: Sent[str]
    last_name: Sent[str]
    middle_name: Sent[str]
    gender: Sent[Gender | str]
    age: Sent[int | float | Decimal]
    birthday: Sent[date | str]
    location: Sent[str]
    bought_something: Sent[bool]
    loyalty_card_location: Sent[str]
    loyalty_status: Sent[str]
    loyalty_bonuses: Sent[int | float | Decimal]
    loyalty_bonuses_to_next_level: Sent[int | float | Decimal]
    google_advertising_id: Sent[str]
    apple_advertising_id: Sent[str]
    yandex_id: Sent[str | int]
    kids: Sent[Iterable[Kid | Mapping[str, object]]]
    auto: Sent[Iterable[Vehicle | Mapping[str, object]]]
    custom: Mapping[str, CustomValue | Clear | None] | None


@with_fields
class ProfileUpdate(Fields):
    """A change of a user's profile; fields that are not mentioned stay as they are.

    Every field is checked when the update is made. A second ``kids`` or ``auto`` replaces the
    first. ``id`` is another name for ``external_id``. Custom properties go into ``custom`` and
    must exist in the account first (Settings > Profile Property).

    :ivar mentioned: the standard fields that are given, by name, in the wire's form, or
        :data:`CLEAR`.
    :raises ValidationError: a value breaks its field's rule; names the field, the type and the
        rule, never the value.
    """

    email: Sent[str] = sent(
        rules.email,
        Kind.EMAIL,
        "emailaddress mail mailaddress useremail customeremail contactemail primaryemail"
        " emailaddr emailid correo courriel почта электроннаяпочта emailadresse email1value"
        " adresseemail courrielclient correoelectronico indirizzoemail eposta epostaadresi"
        " epostadress mailadresse emailadres adresemail メールアドレス メール 邮箱 电子邮件"
        " 이메일 емейл epost smtpaddr елпошта електроннапошта emailadresa personemailwork",
    )
    phone: Sent[str] = sent(
        rules.phone,
        Kind.PHONE,
        "phonenumber mobile mobilephone mobilenumber telephone telephonenumber tel cell"
        " cellphone msisdn phoneno contactnumber customerphone primaryphone телефон telefon"
        " telefonnummer handy handynummer mobil mobiltelefon mobilnummer rufnummer téléphone"
        " portable numérodetéléphone teléfono móvil celular telefone telemóvel telefono"
        " cellulare telefoonnummer telefoon numertelefonu telefonkomórkowy ceptelefonu ceptel"
        " telefonnumarası mobilenr phone1value homephone номертелефона мобильный 電話番号 電話"  # noqa: RUF001
        " 携帯番号 手机 手机号 电话 전화번호 휴대폰 businessphone sms telefonprivat telf1",
    )
    id: Sent[str] = attrs.field(default=None, eq=False)
    external_id: Sent[str | int] = sent(
        rules.user_id,
        Kind.IDENTIFIER,
        "customerid customerkey customernumber customerno customercode clientid clientnumber"
        " userid userkey contactid personid accountid uid id kundennummer kundennr kundenid"
        " kdnr numéroclient numclient idclient codeclient idcliente númerodecliente"
        " codigocliente codicecliente numerocliente codigodocliente klantnummer klantid klantnr"
        " numerklienta idklienta müşterino müşteriid kundnummer kundid номерклиента кодклиента"
        " 顧客番号 顧客id 会員番号 客户id 客户编号 会员id 고객번호 고객id recordid leadid"
        " klaviyoid squarecustomerid identifiant nclient nrklienta kunnr číslozákazníka 会員id"
        " ідентифікатор idoid",
    )
    loyalty_id: Sent[str] = sent(
        rules.identifier,
        Kind.IDENTIFIER,
        "loyaltycard loyaltycardnumber loyaltynumber bonuscard membershipnumber memberid"
        " kundenkarte bonuskarte cartefidélité tarjetadefidelidad cartafedeltà klantenkaart"
        " номеркарты бонуснаякарта",
    )
    telegram_id: Sent[str] = sent(rules.identifier, Kind.IDENTIFIER, "telegram tgid")
    fb_id: Sent[str] = sent(rules.identifier, Kind.IDENTIFIER, "facebookid")
    vk_id: Sent[str] = sent(rules.identifier, Kind.IDENTIFIER, "vkontakteid")
    first_name: Sent[str] = sent(
        rules.text,
        Kind.TEXT,
        "givenname forename fname vorname имя prénom nombre primernombre nome nomeproprio"
        " primeironome voornaam imię ad adı isim förnamn 名 名前 이름 first firstnames jméno"  # noqa: RUF001
        " імя",
    )
    last_name: Sent[str] = sent(
        rules.text,
        Kind.TEXT,
        "surname familyname lname nachname фамилия familienname nomdefamille nom apellido"
        " apellidos cognome sobrenome apelido achternaam familienaam nazwisko soyad soyadı"  # noqa: RUF001
        " soyisim efternamn 姓 성 last příjmení прізвище",
    )
    middle_name: Sent[str] = sent(
        rules.text,
        Kind.TEXT,
        "patronymic secondname отчество zweitername deuxièmeprénom segundonombre secondonome"
        " drugieimię additionalname побатькові weiterevornamen",
    )
    gender: Sent[Gender] = sent(
        rules.gender,
        Kind.GENDER,
        "sex пол geschlecht anrede sexe genre civilité sexo género genere sesso geslacht płeć"
        " cinsiyet kön pohlaví стать 性別 性别 성별",
    )
    age: Sent[Number] = sent(
        rules.age,
        Kind.NUMBER,
        "возраст alter âge edad età idade leeftijd wiek yaş ålder 年齢 年龄 나이",
    )
    birthday: Sent[date] = sent(
        rules.birthday,
        Kind.DAY,
        "birthdate dateofbirth dob bday birth датарождения geburtstag geburtsdatum"
        " datedenaissance naissance fechadenacimiento nacimiento datadinascita datadenascimento"
        " nascimento geboortedatum dataurodzenia doğumtarihi födelsedatum деньрождения"
        " датанародження datumnarození datenaissance gebdatum 生年月日 誕生日 生日 出生日期"
        " 생년월일",
    )
    location: Sent[str] = sent(rules.text, Kind.TEXT, "locationid")
    bought_something: Sent[bool] = sent(rules.boolean, Kind.FLAG)
    loyalty_card_location: Sent[str] = sent(rules.text, Kind.TEXT)
    loyalty_status: Sent[str] = sent(rules.text, Kind.TEXT)
    loyalty_bonuses: Sent[Number] = sent(
        rules.number,
        Kind.NUMBER,
        "bonuses bonuspoints loyaltypoints bonuspunkte punkte pointsfidélité puntos бонусы",
    )
    loyalty_bonuses_to_next_level: Sent[Number] = sent(rules.number, Kind.NUMBER)
    google_advertising_id: Sent[str] = sent(rules.text, Kind.TEXT, "gaid", in_full_answer=False)
    apple_advertising_id: Sent[str] = sent(rules.text, Kind.TEXT, "idfa", in_full_answer=False)
    yandex_id: Sent[str] = sent(rules.identifier, Kind.IDENTIFIER, in_full_answer=False)
    kids: Sent[tuple[Kid, ...]] = sent(Kid.rule(), Kind.OBJECTS, in_full_answer=False, part=Kid)
    auto: Sent[tuple[Vehicle, ...]] = sent(
        Vehicle.rule(), Kind.OBJECTS, in_full_answer=False, part=Vehicle
    )
    custom: Mapping[str, Json] = attrs.field(factory=dict, hash=False)

    @names_fields(ProfileFields)
    def __init__(self, **fields: Unpack[ProfileFields]) -> None:
        _fill(vars(self), fields)

    @classmethod
    def of(cls, fields: Mapping[str, object]) -> ProfileUpdate:
        """Make an update of the keywords as one mapping; cheaper than passing them by ``**``."""
        update = cls.__new__(cls)
        _fill(vars(update), fields)
        return update

    @classmethod
    def from_flat(cls, fields: Mapping[str, object]) -> ProfileUpdate:
        """Make an update from one flat mapping, as the JavaScript call and the wire have it.

        Names of standard fields are those; every other name is a custom property.
        """
        if fields.keys() <= FIELDS.keys():
            return cls.of(fields)
        standard: dict[str, Any] = {}
        custom: dict[str, Any] = {}
        for name, value in fields.items():
            (standard if name in FIELDS or name == ID else custom)[name] = value
        return cls.of(standard | {"custom": custom} if custom else standard)

    def __bool__(self) -> bool:
        return bool(self.mentioned or self.custom)

    def __repr__(self) -> str:
        names = [*self.mentioned, *(f"custom.{name}" for name in self.custom)]
        return f"<ProfileUpdate of {', '.join(names) or 'nothing'}>"


FIELDS: Final[Mapping[str, Field]] = ProfileUpdate.facts
"""The facts of every field of ``profile/set`` (protocol, section 3.1), by name."""

RESERVED_NAMES: Final = frozenset(FIELDS) | RESERVED_PARAMETERS
"""What a custom property can't be called (protocol, section 3.2)."""


def _fill(attributes: dict[str, Any], given: Mapping[str, object]) -> None:
    properties = None
    if "custom" in given:
        given = {**given}
        properties = given.pop("custom")
    try:
        if ID in given:
            given = _with_one_user_id(given)
        mentioned = ProfileUpdate.checked(given, "profile update")
        attributes["custom"] = {} if properties is None else _custom(properties)
    except ValidationError as error:
        if error.given == rules.given("") and "[" not in error.field:
            raise ValidationError(error.field, _NOT_EMPTY, error.given) from None
        raise
    attributes["mentioned"] = mentioned
    attributes["id"] = mentioned.get(EXTERNAL_ID)


def custom_name(name: object) -> str:
    """Accept Latin letters, digits and ``_``, except the reserved names (protocol, 3.2)."""
    if not isinstance(name, str):
        raise rules.refuse("custom", "names as str", name)
    if not _CUSTOM_NAME.fullmatch(name):
        raise ValidationError(
            "custom", "names of Latin letters, digits and _", f"a name of {len(name)} characters"
        )
    if name in RESERVED_NAMES:
        raise ValidationError(f"custom.{name}", "a name that is not reserved", "a reserved name")
    return name


def _custom(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise rules.refuse("custom", "a mapping of property names to values", value)
    return {
        (name := custom_name(key)): (
            CLEAR if item is CLEAR else rules.custom_value(f"custom.{name}", item)
        )
        for key, item in value.items()
        if item is not None
    }


def _with_one_user_id(given: Mapping[str, object]) -> Mapping[str, object]:
    ids = [
        value if value is CLEAR else rules.user_id(name, value)
        for name in (EXTERNAL_ID, ID)
        if (value := given.get(name)) is not None
    ]
    if len({str(value) for value in ids}) > 1:
        raise ValidationError(
            ID, f"one value for {ID} and {EXTERNAL_ID}, which are the same", "two different values"
        )
    standard = {name: value for name, value in given.items() if name != ID}
    if ids:
        standard[EXTERNAL_ID] = ids[0]
    return standard


def to_wire(update: ProfileUpdate, *, user_id_name: str = ID) -> dict[str, Json]:
    """Return the update as the service takes it: flat, custom properties beside the fields.

    :param user_id_name: what the wire calls the shop's own user id (``id`` or ``external_id``).
    """
    wire = {**update.mentioned, **update.custom}
    if CLEAR in wire.values():
        wire = {name: None if value is CLEAR else value for name, value in wire.items()}
    if EXTERNAL_ID in wire:
        wire[user_id_name] = wire.pop(EXTERNAL_ID)
    return wire
