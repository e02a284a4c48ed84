"""Traces and metrics for OpenTelemetry (the extra ``telemetry``).

::

    telemetry = Telemetry()
    client = telemetry.observe(PersonaClick(hooks=telemetry.hooks))

No attribute, span name or status says who a call was about.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

from personaclick_async.cache import CacheStats
from personaclick_async.client import PersonaClick
from personaclick_async.errors import PersonaClickError
from personaclick_async.hooks import Attempt, Hooks
from personaclick_async.sync import Report, Sync
from personaclick_async.transport import TransportStats

try:
    from opentelemetry import metrics, propagate, trace
except ImportError as missing:
    raise ImportError(
        "OpenTelemetry is needed: pip install 'personaclick-async[telemetry]'"
    ) from missing

_SCOPE: Final = "personaclick_async"

# Names and buckets of the semantic conventions for HTTP clients, version 1.23 and later.
_METHOD: Final = "http.request.method"
_RESENT: Final = "http.request.resend_count"
_STATUS: Final = "http.response.status_code"
_ERROR: Final = "error.type"
_TEMPLATE: Final = "url.template"
_BUCKETS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip

_OUTCOMES: Final = ("sent", "unchanged", "rejected", "failed")


class Telemetry:
    """Spans for requests, and metrics of clients and syncs.

    One for the whole application; it can serve any number of clients.

    :param tracer_provider: where spans go; the application's own if None.
    :param meter_provider: where metrics go; the application's own if None.
    :param propagate_context: whether requests carry the trace's context in their headers.
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        propagate_context: bool = True,
    ) -> None:
        self._tracer = trace.get_tracer(_SCOPE, tracer_provider=tracer_provider)
        self._propagate = propagate_context
        self._spans: dict[Attempt, trace.Span] = {}
        self._transports: list[TransportStats] = []
        self._caches: list[CacheStats] = []
        self._syncs = _Syncs()
        meter = metrics.get_meter(_SCOPE, meter_provider=meter_provider)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of requests to the service, each attempt counted.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._count(meter)
        self.hooks = Hooks(on_request=self._begin, on_response=self._end)

    def observe(self, client: PersonaClick) -> PersonaClick:
        """Count what a client does; gives the same client.

        Its counts stay for as long as this object does, also after the client is closed.
        """
        self._transports.append(client.transport_stats)
        self._caches.append(client.cache_stats)
        return client

    def watch(self, sync: Sync) -> Sync:
        """Count what becomes of a sync's records, from now to its end; gives the same sync."""
        self._syncs.add(sync.report)
        return sync

    # Spans

    def _begin(self, attempt: Attempt) -> None:
        attributes = {**_target(attempt), "url.full": attempt.url}
        if attempt.number > 1:
            attributes[_RESENT] = attempt.number - 1
        span = self._tracer.start_span(
            f"{attempt.method} {attributes[_TEMPLATE]}",
            kind=trace.SpanKind.CLIENT,
            attributes=attributes,
        )
        self._spans[attempt] = span
        if self._propagate:
            propagate.inject(attempt.headers, context=trace.set_span_in_context(span))

    def _end(self, attempt: Attempt) -> None:
        span = self._spans.pop(attempt, None)
        outcome: dict[str, str | int] = {}
        if attempt.status is not None:
            outcome[_STATUS] = attempt.status
        kind = _kind_of_failure(attempt)
        if kind is not None:
            outcome[_ERROR] = kind
        if span is not None:
            span.set_attributes(outcome)
            if kind is not None:
                # No description: the text of an error belongs to whoever handles it.
                span.set_status(trace.StatusCode.ERROR)
            span.end()
        self._duration.record(attempt.elapsed or 0.0, {**_target(attempt), **outcome})

    # Metrics

    def _count(self, meter: metrics.Meter) -> None:
        def counter(
            name: str, unit: str, description: str, observe: Callable[[], Iterable[_Count]]
        ) -> None:
            meter.create_observable_counter(
                f"personaclick.{name}",
                callbacks=[lambda _: [metrics.Observation(*one) for one in observe()]],
                unit=unit,
                description=description,
            )

        counter("calls", "{call}", "Calls made, however they ended.", self._total("calls"))
        counter("retries", "{request}", "Attempts after the first.", self._total("retries"))
        counter(
            "limit.waits",
            "{request}",
            "Requests that a limit or Retry-After held back.",
            self._total("waits"),
        )
        counter("limit.wait_time", "s", "How long they were held back.", self._total("waited"))
        counter("cache.reads", "{read}", "Profile reads, by how they were answered.", self._reads)
        counter("sync.records", "{record}", "Records of syncs, by their fate.", self._syncs.fates)

    def _total(self, name: str) -> Callable[[], Iterable[_Count]]:
        return lambda: [(sum(getattr(stats, name) for stats in self._transports), {})]

    def _reads(self) -> Iterable[_Count]:
        for answer, name in (
            ("cache", "hits"),
            ("store", "shared_hits"),
            ("service", "misses"),
            ("read under way", "coalesced"),
        ):
            total = sum(getattr(stats, name) for stats in self._caches)
            yield total, {"personaclick.answered_by": answer}


class _Syncs:
    """What became of the records of all syncs; reports of ended ones are added up and let go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[Report] = []
        self._ended = dict.fromkeys(_OUTCOMES, 0)

    def add(self, report: Report) -> None:
        with self._lock:
            self._running.append(report)

    def fates(self) -> Iterable[_Count]:
        with self._lock:
            over = [report for report in self._running if report.ended_at is not None]
            self._running = [report for report in self._running if report not in over]
            for name in _OUTCOMES:
                self._ended[name] += sum(getattr(report, name) for report in over)
            return [
                (
                    self._ended[name] + sum(getattr(report, name) for report in self._running),
                    {"personaclick.outcome": name},
                )
                for name in _OUTCOMES
            ]


_Count = tuple[int | float, dict[str, str]]


def _target(attempt: Attempt) -> dict[str, str | int]:
    url = urlsplit(attempt.url)
    return {
        _METHOD: attempt.method,
        # The service's paths hold no ids: each is its own template.
        _TEMPLATE: url.path,
        "server.address": url.hostname or "",
        "server.port": url.port or (443 if url.scheme == "https" else 80),
    }


def _kind_of_failure(attempt: Attempt) -> str | None:
    """Name what went wrong: the status, the error's class, or that it was cancelled."""
    if attempt.status is not None and attempt.status >= 400:  # noqa: PLR2004
        return str(attempt.status)
    error: PersonaClickError | None = attempt.error
    if error is not None:
        return type(error).__name__
    return "cancelled" if attempt.status is None else None
