"""Every record to the one share that has its person: what workers that send themselves do first.

Three steps, each of which can be run again anywhere: :func:`scatter` reads and maps a partition
and notes by which names its people go; :func:`find_ties` finds the people who are one, because
records in whatever partitions share a name; :func:`split` deals the records out. In the end all
records of a person are in one share and in the order of the source, whatever partitions they
came from, and whichever of the person's identifiers each of them has.
"""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Final

import attrs

from personaclick_async import codec
from personaclick_async.sync.chunks import batches
from personaclick_async.sync.errors import SyncRefused
from personaclick_async.sync.options import Route
from personaclick_async.sync.packing import encode
from personaclick_async.sync.partitions import Partition, survey
from personaclick_async.sync.ready_chunk import plain, rejected_of
from personaclick_async.sync.records import Outcome, Record, Source
from personaclick_async.sync.rejects import as_text
from personaclick_async.sync.spool import (
    Spool,
    failed,
    read_whole,
    sweep,
    write_whole,
    writing,
)

_FORMAT: Final = "exchange 1"
_RECORDS: Final = "records"
_NAMES: Final = "names"
_SCATTERED: Final = "scattered.json"
_SPLIT: Final = "split.json"
_TIES: Final = "ties"
_RECORD: Final = b"r"
_REJECTED: Final = b"x"
_ROWS_AT_ONCE: Final = 1000
_BUCKETS: Final = 256
_WORD: Final = 8
_PAIR: Final = 2 * _WORD


@attrs.frozen(kw_only=True)
class Scattered:
    """The account of a partition that was scattered.

    :ivar part: its folder's name in the spool.
    :ivar last_row: the number of its last row, after which the next partition's are counted.
    """

    part: str
    last_row: int


def scatter(
    source: Source | Partition, spool: Spool, index: int, fingerprint: str | None = None
) -> Scattered:
    """Read and map a partition; note its records and the names of its people.

    :param index: the place of the partition in its data set, from 0.
    :param fingerprint: what the survey found; the source must not have changed since.
    :raises SyncRefused: it has.
    :raises SourceFailed: it can't be read to its end.
    :raises SpoolFailed: the spool can't be written.
    """
    opened = source.open() if isinstance(source, Partition) else source
    found = survey(opened).fingerprint
    if fingerprint not in (None, found):
        raise SyncRefused(f"{opened.name}: was changed since the sync began; run it again")
    part = f"{index:06}-{sha256(f'{_FORMAT} {found}'.encode()).hexdigest()[:24]}"
    folder = spool.part(part)
    done = read_whole(folder / _SCATTERED)
    if done is not None:
        return Scattered(part=part, last_row=json.loads(done))
    sweep(folder)
    buckets = [array("Q") for _ in range(_BUCKETS)]
    last_row = 0
    with writing(folder / _RECORDS) as file:
        for rows in batches(opened.outcomes(), _ROWS_AT_ONCE):
            file.writelines(_lines(rows, buckets))
            last_row = rows[-1].row
    starts = array("Q", [0])
    for bucket in buckets:
        starts.append(starts[-1] + len(bucket) * _WORD)
    write_whole(folder / _NAMES, [starts.tobytes(), *(bucket.tobytes() for bucket in buckets)])
    write_whole(folder / _SCATTERED, [json.dumps(last_row).encode()])
    return Scattered(part=part, last_row=last_row)


def _lines(rows: Sequence[Outcome], buckets: Sequence[array[int]]) -> Iterator[bytes]:
    # Whether a record can go its route is decided when it is sent; here it has to be JSON.
    encoded = encode(rows, Route.PER_PROFILE, sys.maxsize)
    for outcome, content in zip(encoded.outcomes, encoded.contents, strict=True):
        if not isinstance(outcome, Record):
            known = json.dumps(plain(outcome), default=as_text).encode()
            yield b"%016x %d %b %b\n" % (outcome.row, outcome.row, _REJECTED, known)
            continue
        names = [_name(*one) for one in outcome.identifiers]
        owner = names[0]
        for name in names:
            buckets[name % _BUCKETS].extend((name, owner))
        yield b"%016x %d %b %b\n" % (owner, outcome.row, _RECORD, content)


def _name(kind: str, value: str) -> int:
    digest = blake2b(f"{kind}\n{value}".encode(errors="surrogatepass"), digest_size=_WORD)
    return int.from_bytes(digest.digest())


def find_ties(spool: Spool, parts: Sequence[str], number: int, of: int) -> list[tuple[int, int]]:
    """Find people of any partitions who share a name, in one share of all names.

    :param number: which share of the names, from 0.
    :returns: pairs of people, by the hash of the first name of theirs.
    :raises SpoolFailed: the spool can't be read.
    """
    ties: set[tuple[int, int]] = set()
    for bucket in range(number, _BUCKETS, of):
        owners: dict[int, int] = {}
        for part in parts:
            pairs = iter(_bucket(spool.path / part / _NAMES, bucket))
            for name, owner in zip(pairs, pairs, strict=True):
                first = owners.setdefault(name, owner)
                if first != owner:
                    ties.add((first, owner))
    return sorted(ties)


def _bucket(path: Path, bucket: int) -> array[int]:
    starts, pairs = array("Q"), array("Q")
    try:
        with path.open("rb") as file:
            file.seek(bucket * _WORD)
            starts.frombytes(file.read(_PAIR))
            file.seek((_BUCKETS + 1) * _WORD + starts[0])
            pairs.frombytes(file.read(starts[1] - starts[0]))
    except OSError as error:
        raise failed(error) from None
    return pairs


def tie(ties: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Make one person of all that are tied, directly or by way of others; give who became whom."""
    above: dict[int, int] = {}

    def top(one: int) -> int:
        while (upper := above.get(one, one)) != one:
            above[one] = above.get(upper, upper)
            one = upper
        return one

    for one, other in ties:
        # The smaller one, so that the order of the ties does not matter.
        low, high = sorted((top(one), top(other)))
        above[high] = low
    return {one: top(one) for one in above}


def write_ties(spool: Spool, became: Mapping[int, int]) -> None:
    """Put down who became whom, for :func:`split`.

    :raises SpoolFailed: the spool can't be written.
    """
    pairs = array("Q", [one for pair in sorted(became.items()) for one in pair])
    write_whole(spool.path / _TIES, [pairs.tobytes()])


def split(spool: Spool, part: str, shares: int) -> None:
    """Deal the records of a partition out to shares, each person's to one.

    :raises SpoolFailed: the spool can't be read or written.
    """
    folder = spool.path / part
    if read_whole(folder / _SPLIT) is not None:
        return
    sweep(folder)
    pairs = array("Q")
    pairs.frombytes(read_whole(spool.path / _TIES) or b"")
    each = iter(pairs)
    became = dict(zip(each, each, strict=True))
    with ExitStack() as stack:
        files = [stack.enter_context(writing(share_file(folder, n))) for n in range(shares)]
        for line in _read_lines(folder / _RECORDS):
            owner = int(line[:_PAIR], 16)
            files[became.get(owner, owner) % shares].write(line)
    write_whole(folder / _SPLIT, [b"true"])
    (folder / _RECORDS).unlink(missing_ok=True)


def share_file(folder: Path, number: int) -> Path:
    """Give the file of a part with the records of a share."""
    return folder / f"share-{number:05}"


def read_share(path: Path, *, before: int) -> Iterator[Outcome]:
    """Read what a part has for a share.

    :param before: how many rows the partitions before have.
    :raises SpoolFailed: it can't be read.
    """
    for line in _read_lines(path):
        _, row, kind, content = line.split(b" ", 3)
        if kind == _REJECTED:
            yield rejected_of(json.loads(content), before=before)
        else:
            wire = codec.decode(content)
            yield Record(int(row) + before, wire)


def _read_lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise failed(error) from None
