"""The bulk route: a batch is an import, and one that is refused is bisected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import suppress
from enum import Enum, auto
from typing import Final, TypeAlias

from personaclick_async.errors import PayloadTooLarge
from personaclick_async.protocol import requests
from personaclick_async.sync.batch import Batch, Settlement
from personaclick_async.sync.delivery import Delivery, refusal
from personaclick_async.sync.report import Queued

# The slowest upload that is waited for, 1 Mbit/s: 32 MB take 268 s, far beyond the usual timeout.
_SLOWEST_BYTES_PER_SECOND: Final = 125_000


class Said(Enum):
    """What the service said to a part of a batch."""

    ACCEPTED = auto()
    REFUSED = auto()
    TOO_LARGE = auto()


Bisection: TypeAlias = Generator[tuple[int, int], Said | None, bool]


def bisection(
    first: int, end: int, fits: Callable[[int, int], bool], *, is_bad: bool = False
) -> Bisection:
    """Yield what to send, as ``(first, end)``: the whole, then halves of it, in order.

    Is to be sent what the service said to each part. A single record that was not accepted is at
    fault; a half that follows an accepted half of a refused whole is not sent, it must be bad.

    :param fits: whether a part may be sent at all; a single record is, whatever its size.
    :param is_bad: whether it is known without asking that the part will be refused.
    :returns: whether the service took the whole at once.
    """
    is_single = end - first == 1
    if is_single or (not is_bad and fits(first, end)):
        said = yield first, end
        if is_single or said is Said.ACCEPTED:
            return said is Said.ACCEPTED
        is_bad = said is Said.REFUSED
    middle = (first + end) // 2
    is_good = yield from bisection(first, middle, fits)
    yield from bisection(middle, end, fits, is_bad=is_bad and is_good)
    return False


class BulkSender:
    """Sends batches as imports, one after the other.

    The service applies imports in the order in which they come, and two requests at once may
    arrive in either: sending one at a time keeps the records of one person in order. One sender
    fills the documented 40 requests a minute all the same.

    :ivar alive: how many batches exist at once: one is sent while the next is read and packed.
    :ivar most_bytes: the largest body; no larger than what the service has found too large.
    """

    alive: Final = 2

    def __init__(self, delivery: Delivery) -> None:
        core, options = delivery.core, delivery.options
        self._usual_timeout = core.config.timeouts.total
        self._delivery = delivery
        self._turn = asyncio.Lock()
        self.envelope = requests.audience_envelope(core.shop, segment_id=options.segment_id)
        self.most_bytes = options.max_chunk_bytes
        self.largest_record = options.max_chunk_bytes - sum(map(len, self.envelope))

    async def send(self, batch: Batch) -> None:
        """Send the batch's records and settle each.

        :raises Halted: the sync ends.
        """

        def fits(first: int, end: int) -> bool:
            return batch.size(first, end) <= self.most_bytes

        async with self._turn:
            parts, said = bisection(0, len(batch), fits), None
            with suppress(StopIteration):
                while True:
                    said = await self._send_part(batch, *parts.send(said))

    async def _send_part(self, batch: Batch, first: int, end: int) -> Said:
        body, positions = batch.body_of(first, end), batch.going[first:end]
        timeout = self._usual_timeout + len(body) / _SLOWEST_BYTES_PER_SECOND
        # Of nobody by name: some 100,000 take longer to name than a few to read again.
        error = await self._delivery.send(requests.import_audience(body, attempt_timeout=timeout))
        if error is None:
            results = map(Queued, map(batch.rows.__getitem__, positions))
            tally = {"sent": len(positions), "queued": len(positions)}
            await self._delivery.settle(Settlement(batch.chunk, positions, results, tally))
            return Said.ACCEPTED
        if len(positions) == 1:
            refused = refusal(batch.rows[positions[0]], batch.record(first), error)
            one = Settlement(batch.chunk, positions, [refused], {"rejected": 1}, [refused])
            await self._delivery.settle(one)
        if not isinstance(error, PayloadTooLarge):
            return Said.REFUSED
        if len(positions) > 1:
            # Neither the rest of this batch nor a later one is sent in bodies as large.
            around = sum(map(len, self.envelope))
            self.most_bytes = min(self.most_bytes, (len(body) + around) // 2)
        return Said.TOO_LARGE
