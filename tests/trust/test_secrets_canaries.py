"""Looking for canaries finds them in every form, and finds nothing where there is nothing."""

from __future__ import annotations

import base64
import html
import json
import pickle
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from personaclick_async import ProfileUpdate
from personaclick_async.models.update import FIELDS, to_wire
from tests.trust.canaries import (
    BY_IDENTIFIER,
    CANARIES,
    UPDATE,
    WHOLE_ONLY,
    answered_profile,
    flat_row,
    found_in,
    personal_in,
)

FORMS: dict[str, Callable[[str], str | bytes]] = {
    "as it is": str,
    "lower case": str.lower,
    "upper case": str.upper,
    "first half": lambda value: value[: len(value) // 2],
    "second half": lambda value: value[len(value) // 2 :],
    "percent-encoded": quote,
    "wholly percent-encoded": lambda value: quote(value, safe=""),
    "as in a form": quote_plus,
    "percent-encoded twice": lambda value: quote(quote(value, safe=""), safe=""),
    "json": json.dumps,
    "json, unescaped": lambda value: json.dumps(value, ensure_ascii=False),
    "json in json": lambda value: json.dumps(json.dumps({"a": value})),
    "repr": repr,
    "ascii": ascii,
    "repr of bytes": lambda value: repr(value.encode()),
    "html": html.escape,
    "utf-8": str.encode,
    "utf-16": lambda value: value.encode("utf-16-le"),
    "utf-16 at an odd place": lambda value: b"x" + value.encode("utf-16-le"),
    "latin-1": lambda value: value.encode("latin-1", "replace"),
    "pickle": pickle.dumps,
    "base64": lambda value: base64.b64encode(value.encode()),
    "base64 of a text that holds it": lambda value: base64.b64encode(f"ab{value}c".encode()),
    "base64 for URLs": lambda value: base64.urlsafe_b64encode(f"a{value}".encode()),
}
NOT_WHOLE = {"first half", "second half"}
NOT_IN_LATIN_1 = {"first_name"}


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (name, form)
        for name in CANARIES
        for form in FORMS
        if not (form in NOT_WHOLE and name in WHOLE_ONLY)
        if not (form == "latin-1" and name in NOT_IN_LATIN_1)
    ],
)
def test_a_canary_is_found_in_every_form(name: str, form: str) -> None:
    shown = FORMS[form](CANARIES[name])
    around: Any = b"it says %b: nothing" if isinstance(shown, bytes) else "it says %s: nothing"
    if form.startswith("utf-16"):
        around = b"%b"

    assert name in found_in(around % shown)


@pytest.mark.parametrize(
    "written", ["+7 (962) 413-58-07", "8 962 413 58 07", "962.413.5807", "+7-962-413-58-07"]
)
def test_a_phone_is_found_with_any_punctuation(written: str) -> None:
    assert found_in(f"call {written}!") == ["phone"]


def test_a_birthday_is_found_as_a_date_and_as_others_write_it() -> None:
    for written in (date(1987, 3, 29), "29.03.1987", "03/29/1987", "19870329"):
        assert found_in(f"born on {written!r}") == ["birthday"]


def test_nothing_is_found_where_nothing_is() -> None:
    assert not found_in(json.dumps(dict.fromkeys((*CANARIES, *FIELDS, "id"))))
    assert not found_in("POST profile/set: 200, attempt 2, 12 ms; str of 10 characters; row 7")
    for path in sorted((Path(__file__).parents[2] / "docs").glob("*.md")):
        assert not found_in(path.read_bytes()), path.name


def test_a_secret_is_nothing_personal() -> None:
    assert personal_in(" ".join(CANARIES.values())) == list(CANARIES)[1:]


def test_an_update_and_an_answer_hold_nearly_all_of_them() -> None:
    sent = json.dumps(dict(to_wire(ProfileUpdate(**UPDATE))))
    assert set(CANARIES) - set(found_in(sent)) == {"shop_secret", "did", "seance"}
    assert found_in(json.dumps(flat_row())) == found_in(sent)
    answered = json.dumps(answered_profile())
    assert set(found_in(sent)) - set(found_in(answered)) == {"vehicle"}
    assert set(BY_IDENTIFIER) <= set(UPDATE)
