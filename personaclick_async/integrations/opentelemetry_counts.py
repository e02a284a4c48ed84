"""What OpenTelemetry's observable counters report: sums over clients and syncs, also past ones."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

import attrs
from opentelemetry import metrics

from personaclick_async._version import __version__
from personaclick_async.store import CacheStats
from personaclick_async.sync import Report
from personaclick_async.transport import TransportStats

Series: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
"""An instrument's name, and the attributes that tell its values apart."""

Reading: TypeAlias = Iterable[tuple[Series, float]]

SCOPE: Final = "personaclick_async"

_COUNTERS: Final = (
    ("personaclick.calls", "{call}", "Calls made, however they ended."),
    ("personaclick.retries", "{request}", "Requests that repeated one that had failed."),
    (
        "personaclick.limit.waits",
        "{request}",
        "Requests that a rate limit or the service's Retry-After held back.",
    ),
    ("personaclick.limit.wait_time", "s", "For how long requests were held back, added up."),
    ("personaclick.cache.reads", "{read}", "Profile reads, by what answered them."),
    (
        "personaclick.cache.store_failures",
        "{exchange}",
        "Exchanges with the store that processes share which failed or took too long.",
    ),
    ("personaclick.sync.read", "{record}", "Records that syncs have read from their sources."),
    ("personaclick.sync.records", "{record}", "Records of syncs, by their result."),
)


@attrs.define(eq=False)
class _Source:
    """Something that counts; ``gone`` once nothing can count on it any more."""

    read: Callable[[], Reading]
    gone: bool = False

    def let_go(self) -> None:
        # Called by the garbage collector, in any thread and inside any lock: no more than this.
        self.gone = True


class Counts:
    """Adds counters up, and keeps the sums of those whose owners have gone.

    The owners are held weakly; what is read must not refer to them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sources: list[_Source] = []
        self._owners: weakref.WeakValueDictionary[int, object] = weakref.WeakValueDictionary()
        self._past: Counter[Series] = Counter()

    def add(self, owner: object, read: Callable[[], Reading]) -> None:
        """Count what ``read`` gives, from now on and after ``owner`` has gone; once per owner."""
        with self._lock:
            if self._owners.get(id(owner)) is owner:
                return
            self._owners[id(owner)] = owner
            source = _Source(read)
            self._sources.append(source)
            self._settle()
        weakref.finalize(owner, source.let_go).atexit = False

    def of(self, instrument: str) -> Iterator[metrics.Observation]:
        """Return the sums that an instrument reports."""
        with self._lock:
            self._settle()
            sums = self._past.copy()
            for source in self._sources:
                sums.update(dict(source.read()))
        for (name, attributes), value in sums.items():
            if name == instrument:
                yield metrics.Observation(value, dict(attributes))

    def report_to(self, meter: metrics.Meter) -> None:
        """Make the instruments."""

        def callback(name: str) -> Callable[[metrics.CallbackOptions], list[metrics.Observation]]:
            return lambda _: list(self.of(name))

        for name, unit, description in _COUNTERS:
            meter.create_observable_counter(
                name, callbacks=[callback(name)], unit=unit, description=description
            )

    def _settle(self) -> None:
        gone = [source for source in self._sources if source.gone]
        if gone:
            self._sources = [source for source in self._sources if source not in gone]
            for source in gone:
                self._past.update(dict(source.read()))


def of_client(transport: TransportStats, cache: CacheStats, name: str | None) -> Reading:
    """Read a client's counters."""
    shared = () if name is None else (("personaclick.client", name),)
    yield ("personaclick.calls", shared), transport.calls
    yield ("personaclick.retries", shared), transport.retries
    yield ("personaclick.limit.waits", shared), transport.waits
    yield ("personaclick.limit.wait_time", shared), transport.waited
    for answered_by, count in (
        ("cache", cache.hits),
        ("store", cache.shared_hits),
        ("service", cache.misses),
        ("read in flight", cache.coalesced),
    ):
        attributes = (*shared, ("personaclick.answered_by", answered_by))
        yield ("personaclick.cache.reads", attributes), count
    yield ("personaclick.cache.store_failures", shared), cache.store_failures


def of_sync(report: Report, name: str | None) -> Reading:
    """Read a sync's counters."""
    shared = () if name is None else (("personaclick.sync", name),)
    yield ("personaclick.sync.read", shared), report.read
    for outcome, count in (
        ("sent", report.sent),
        ("unchanged", report.unchanged),
        ("rejected", report.rejected),
        ("failed", report.failed),
        ("checked", report.checked),
    ):
        attributes = (*shared, ("personaclick.outcome", outcome))
        yield ("personaclick.sync.records", attributes), count


class _ApplicationsOwn:
    """Stands for the application's own provider, also before the application has set it."""


_OWN: Final = _ApplicationsOwn()
_shared: Final[weakref.WeakKeyDictionary[object, Counts]] = weakref.WeakKeyDictionary()
_sharing: Final = threading.Lock()


def counts_for(provider: metrics.MeterProvider | None) -> Counts:
    """Return a provider's one set of counts: a second instrument of a name would report nothing."""
    own = metrics.get_meter_provider()
    is_own = provider is None or provider is own
    keys = (own, _OWN) if is_own else (provider,)
    with _sharing:
        counts = next((_shared[key] for key in keys if key in _shared), None)
        if counts is None:
            counts = Counts()
            counts.report_to(meter_of(provider))
        for key in keys:
            _shared[key] = counts
    return counts


def meter_of(provider: metrics.MeterProvider | None) -> metrics.Meter:
    """Return this package's meter; of the application's own provider if None."""
    return metrics.get_meter(SCOPE, __version__, meter_provider=provider)
