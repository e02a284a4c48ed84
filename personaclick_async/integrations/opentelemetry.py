"""Traces and metrics for OpenTelemetry (the extra ``telemetry``).

::

    telemetry = Telemetry()
    client = telemetry.observe(PersonaClick(hooks=telemetry.hooks))

No span name, attribute, event or status says who a call was about.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextvars import Token
from functools import lru_cache, partial
from typing import Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

from personaclick_async._version import __version__
from personaclick_async.cache import CacheStats
from personaclick_async.client import PersonaClick
from personaclick_async.errors import ServiceError
from personaclick_async.hooks import Attempt, Hooks
from personaclick_async.integrations import extra
from personaclick_async.sync import Report, Sync
from personaclick_async.transport import TransportStats

with extra("telemetry", "OpenTelemetry"):
    from opentelemetry import context, metrics, trace
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

__all__ = ["Telemetry"]

C = TypeVar("C", bound=PersonaClick)

Attributes: TypeAlias = dict[str, str | int]
Stats: TypeAlias = TransportStats | CacheStats | Report
Labels: TypeAlias = tuple[tuple[str, str], ...]
Series: TypeAlias = tuple[str, Labels]
"""An instrument's name, and the attributes that tell its values apart."""

_SCOPE: Final = "personaclick_async"
# Names and buckets are those of the semantic conventions for HTTP clients.
_STATUS: Final = "http.response.status_code"
_ERROR: Final = "error.type"
_TEMPLATE: Final = "url.template"
_BUCKETS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
_FIRST_ERROR: Final = 400
_COUNTERS: Final = (
    ("personaclick.calls", "{call}", "Calls made, however they ended."),
    ("personaclick.retries", "{request}", "Requests that repeated one that had failed."),
    ("personaclick.limit.waits", "{request}", "Requests held back by a limit or Retry-After."),
    ("personaclick.limit.wait_time", "s", "For how long requests were held back, added up."),
    ("personaclick.cache.reads", "{read}", "Profile reads, by what answered them."),
    ("personaclick.cache.store_failures", "{exchange}", "Failed exchanges with the shared store."),
    ("personaclick.sync.read", "{record}", "Records that syncs have read from their sources."),
    ("personaclick.sync.records", "{record}", "Records of syncs, by their result."),
)
_ANSWERED_BY: Final = {
    "hits": "cache",
    "shared_hits": "store",
    "misses": "service",
    "coalesced": "read in flight",
}
_TRACE_CONTEXT: Final = TraceContextTextMapPropagator()
_SUPPRESSED: Final = context._SUPPRESS_HTTP_INSTRUMENTATION_KEY  # noqa: SLF001 - what instrumentations of HTTP libraries ask


class Telemetry:
    """Spans for requests, and metrics of clients and syncs; one serves any number of them.

    Each request, a repeated one too, is a span of its own, a child of what is the current span
    where the call is made. While a request is in flight, instrumentations of HTTP libraries are
    told to leave it alone: aiohttp's would write the whole URL into a span, and with it the
    shop's secret and the user.

    :param tracer_provider: where spans go; the application's own if None.
    :param meter_provider: where metrics go; the application's own if None.
    :param propagator: writes the trace's context into the requests' headers; W3C ``traceparent``
        and ``tracestate`` unless given, so that baggage, which may hold anything, stays with the
        application. None writes nothing.
    :ivar hooks: what a client needs, as ``PersonaClick(hooks=…)``, to have spans and durations.
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        propagator: TextMapPropagator | None = _TRACE_CONTEXT,
    ) -> None:
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider=tracer_provider)
        self._propagator = propagator
        self._begun: dict[Attempt, tuple[trace.Span, Token[context.Context] | None]] = {}
        meter = metrics.get_meter(_SCOPE, __version__, meter_provider=meter_provider)
        self._counts = _counts_for(meter_provider, meter)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self.hooks = Hooks(on_request=self._begin, on_response=self._end)

    def observe(self, client: C, *, name: str | None = None) -> C:
        """Count a client's calls, retries, waits and cached reads; return the same client.

        The client is not kept alive. What it has counted stays in the sums when it is gone.

        :param name: tells this client's counts from others', as the attribute
            ``personaclick.client``.
        """
        for stats in (client.transport_stats, client.cache_stats):
            # Counts for as long as the core lives: views and users may outlive the client.
            self._counts.add(client._core, stats, "personaclick.client", name)  # noqa: SLF001
        return client

    def watch(self, sync: Sync, *, name: str | None = None) -> Sync:
        """Count a sync's records by their result while it runs; return the same sync.

        A resumed sync counts what its earlier runs did as well, as its report does.

        :param name: tells this sync's counts from others', as the attribute
            ``personaclick.sync``.
        """
        self._counts.add(sync, sync.report, "personaclick.sync", name)
        return sync

    def _begin(self, attempt: Attempt) -> None:
        attributes = {**_target(attempt.method, attempt.url), "url.full": attempt.url}
        if attempt.number > 1:
            attributes["http.request.resend_count"] = attempt.number - 1
        name = f"{attempt.method} {attributes[_TEMPLATE]}"
        span = self._tracer.start_span(name, kind=trace.SpanKind.CLIENT, attributes=attributes)
        inside = trace.set_span_in_context(span)
        if self._propagator is not None:
            self._propagator.inject(attempt.headers, context=inside)
        shield = None
        # By whichever Telemetry comes first: contexts have to end in reverse order.
        if not context.get_value(_SUPPRESSED):
            shield = context.attach(context.set_value(_SUPPRESSED, True, inside))
        self._begun[attempt] = span, shield

    def _end(self, attempt: Attempt) -> None:
        span, shield = self._begun.pop(attempt)
        # A call that is closed rather than ended (its event loop is gone) is in another context.
        if shield is not None and not isinstance(sys.exception(), GeneratorExit):
            context.detach(shield)
        outcome = _outcome(attempt)
        span.set_attributes(outcome)
        if _ERROR in outcome:
            # Without a description: an error's text belongs to whoever handles it.
            span.set_status(trace.StatusCode.ERROR)
        span.end()
        self._duration.record(
            attempt.elapsed or 0.0,
            {**_target(attempt.method, attempt.url), **outcome},
            context=trace.set_span_in_context(span),
        )


@lru_cache(maxsize=1024)
def _target(method: str, url: str) -> Attributes:
    """Return the attributes that spans and durations share; not to be changed."""
    parts = urlsplit(url)
    return {
        "http.request.method": method,
        # The service's paths hold no ids: each is its own template.
        _TEMPLATE: parts.path,
        "server.address": parts.hostname or "",
        "server.port": parts.port or (443 if parts.scheme == "https" else 80),
    }


def _outcome(attempt: Attempt) -> Attributes:
    status, error = attempt.status, attempt.error
    if isinstance(error, ServiceError) and error.answer is not None:
        status = error.answer.status  # a body may name another status than HTTP's
    outcome: Attributes = {} if status is None else {_STATUS: status}
    if status is not None and status >= _FIRST_ERROR:
        outcome[_ERROR] = str(status)
    elif error is not None or status is None:
        # Neither an answer nor an error: an exception is on its way through, most often because
        # the call was cancelled.
        outcome[_ERROR] = type(error or sys.exception()).__name__
    return outcome


class _Counts:
    """Sums counters by weakly held owner, and keeps the sums of owners that are gone."""

    def __init__(self, meter: metrics.Meter) -> None:
        self._lock = threading.Lock()
        self._sources: dict[int, tuple[weakref.ref[object], Stats, Labels]] = {}
        self._past: Counter[Series] = Counter()
        for name, unit, description in _COUNTERS:
            meter.create_observable_counter(name, [partial(self._observe, name)], unit, description)

    def add(self, owner: object, stats: Stats, label: str, name: str | None) -> None:
        """Count from now on, also after ``owner`` is gone; repeating that changes nothing."""
        labels = () if name is None else ((label, name),)
        with self._lock:
            self._settle()
            self._sources.setdefault(id(stats), (weakref.ref(owner), stats, labels))

    def _observe(self, name: str, _: metrics.CallbackOptions) -> Iterator[metrics.Observation]:
        with self._lock:
            self._settle()
            sums = self._past.copy()
            for _owner, stats, labels in self._sources.values():
                sums.update(dict(_read(stats, labels)))
        for (of, labels), value in sums.items():
            if of == name:
                yield metrics.Observation(value, dict(labels))

    def _settle(self) -> None:
        """Move the counts of owners that are gone to the past sums."""
        for key, (owner, stats, labels) in list(self._sources.items()):
            if owner() is None:
                self._past.update(dict(_read(stats, labels)))
                del self._sources[key]


def _read(stats: Stats, labels: Labels) -> Iterator[tuple[Series, float]]:
    match stats:
        case TransportStats():
            yield ("personaclick.calls", labels), stats.calls
            yield ("personaclick.retries", labels), stats.retries
            yield ("personaclick.limit.waits", labels), stats.waits
            yield ("personaclick.limit.wait_time", labels), stats.waited
        case CacheStats():
            yield ("personaclick.cache.store_failures", labels), stats.store_failures
            for field, answered_by in _ANSWERED_BY.items():
                more = ("personaclick.answered_by", answered_by)
                yield ("personaclick.cache.reads", (*labels, more)), getattr(stats, field)
        case Report():
            yield ("personaclick.sync.read", labels), stats.read
            for outcome in ("sent", "unchanged", "rejected", "failed", "checked"):
                more = ("personaclick.outcome", outcome)
                yield ("personaclick.sync.records", (*labels, more)), getattr(stats, outcome)


# By provider; the module ``metrics`` stands for the application's own, which may be set later.
_shared: Final[weakref.WeakKeyDictionary[object, _Counts]] = weakref.WeakKeyDictionary()
_sharing: Final = threading.Lock()


def _counts_for(provider: metrics.MeterProvider | None, meter: metrics.Meter) -> _Counts:
    """Return a provider's only counts: a second instrument of the same name reports nothing."""
    own = metrics.get_meter_provider()
    keys = (own, metrics) if provider in {None, own} else (provider,)
    with _sharing:
        known = (_shared[key] for key in keys if key in _shared)
        counts = next(known, None) or _Counts(meter)
        _shared.update(dict.fromkeys(keys, counts))
    return counts
