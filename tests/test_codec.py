"""Text that does not print is escaped wherever it leaves for a terminal, a log or a message."""

from __future__ import annotations

import json
import logging
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personaclick_async.codec import printable, printable_json
from personaclick_async.errors import ConfigurationError, NotFound

HOSTILE = "\x1b[2J\x9b31m\u202egnirts\x00\r\nforged\x7f\u2028\ufeff\udcff"


def unprintable(text: str) -> set[str]:
    return {ch for ch in text if not ch.isprintable() and unicodedata.category(ch) != "Zs"}


@given(st.text(alphabet=st.characters()) | st.just(HOSTILE))
def test_nothing_is_left_that_does_not_print(text: str) -> None:
    assert unprintable(printable(text)) == set()
    assert unprintable(text) or printable(text) == text


@given(st.recursive(st.text() | st.none() | st.just(HOSTILE), st.lists, max_leaves=5))
def test_json_means_the_same(value: object) -> None:
    for indent in (None, 2):
        shown = printable_json(json.dumps(value, ensure_ascii=False, indent=indent))
        assert unprintable(shown) <= {"\n"}
        assert json.loads(shown) == value


def test_wide_spaces_and_scripts_stay() -> None:
    assert printable("山田\u3000太郎 José\xa0Ø") == "山田\u3000太郎 José\xa0Ø"


def test_errors_are_escaped_in_texts_tracebacks_and_logs(caplog: pytest.LogCaptureFixture) -> None:
    refused = NotFound(HOSTILE, status=404, endpoint="profile", attempts=1)
    for error in (refused, ConfigurationError(f"{HOSTILE}.csv: can't be opened")):
        logging.getLogger("application").warning("failed: %s", error, exc_info=error)
        assert unprintable(str(error) + repr(error)) == set()
    assert unprintable(refused.message) == set()
    assert unprintable(caplog.text) == {"\n"}
    assert "\nforged" not in caplog.text
