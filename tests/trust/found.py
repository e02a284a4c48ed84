"""Inputs that once broke something, one file each, and others that are good to start from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FOUND: Final = Path(__file__).parent / "inputs"
DATA: Final = Path(
    os.environ.get("PERSONACLICK_DATA", Path(__file__).parents[3] / "shared" / "data")
)

_SUITE: Final = DATA / "jsontestsuite" / "test_parsing"

_USUAL: Final = {
    "parser": (
        b'{"status":"success","did":"d1","seance":"s1","segment":"A","currency":"EUR"}',
        b'{"id":"1","gender":"male","has_email":"true","fashion_sizes":{"shoes":[38,"39"]}}',
        b'{"id":1,"children":[{"gender":"m","age":{"min":1,"max":2}}],"pets":[{"type":"cat"}]}',
        b'{"cosmetic_skin":{"face":{"type":"dry"}},"birthday":"1990-03-11","age":"33"}',
        b'[{"id":1,"name":"Shoe","price":"9.90","categories":[{"id":"1"}],"leftovers":null}]',
        b'{"data":{"orders":[{"id":"o1","date":"2026-01-02T03:04:05Z","value":10}]}}',
        b'{"orders":[{"items":[{"amount":"2","item":{"id":"7"}}],"history":[{"date":17e8}]}]}',
        b'{"status":"error","payload":{"message":"Profile not found"}}',
        b'{"status":503,"message":"over 7999000111222 canary@shop.example"}',
    ),
    "headers": (b"120", b"Wed, 21 Oct 2026 07:28:00 GMT", b"Sun Nov  6 08:49:37 1994", b"-1"),
    "properties": (
        b'{"email":"a@b.example","kids":[{"gender":"m","birthday":"2015-07-28"}],"age":1.5}',
        b'{"external_id":7,"phone":"+7 (999) 000-11-22","tier":[1,{"a":null}]}',
        b'{"id":"7","auto":[{"vds":"x"}],"birthday":"2001-02-03","loyalty_bonuses":1}',
    ),
    "facade": (
        b'\x01\x02\0{"email":"a@b.example"}',
        b"\x00\x0f\x09\x1b",
        b'\x04\x05\x17\0{"error":null,"force":true}',
    ),
    "csv": (
        b'id,email,first_name\n1,a@b.example,Ada\n2,,"multi\nline"\n',
        b'\xef\xbb\xbfid;note\r\n1;"open\r\n2;x\r\n',
        b"\x03|'id|note\n1|'a|b'\n",
        b'_row,_field,_reason,_sent,id\n3,row,x,"{""id"":1}",\n',
        "id\tfirst_name\n1\tÄda\n".encode("utf-16"),
    ),
    "jsonl": (
        b'{"id":1,"first_name":"Ada","kids":[]}\n\n{"_sent":"{\\"id\\":2}"}\n[1]\n{',
        '{"id":1,"tier":"Ä"}\n'.encode("utf-16"),
    ),
}


def seeds(target: str) -> Iterator[bytes]:
    """Give inputs of a target to start from: found ones, usual ones, and the JSON test suite."""
    yield from _USUAL.get(target, ())
    yield from (found.read_bytes() for found in sorted((FOUND / target).glob("*")))
    if target in ("parser", "properties", "jsonl") and _SUITE.exists():
        yield from (case.read_bytes() for case in sorted(_SUITE.iterdir()))
