"""What a collector would see: the real SDK of OpenTelemetry, exporting to memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from personaclick_async.integrations.opentelemetry import Telemetry


class Backend:
    """A tracer and a meter provider of its own, and a Telemetry that reports to them."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.telemetry = self.another_telemetry()

    def another_telemetry(self) -> Telemetry:
        return Telemetry(tracer_provider=self.tracers, meter_provider=self.meters)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def metrics(self) -> dict[str, Metric]:
        found = self.reader.get_metrics_data()
        assert found is not None
        return {
            metric.name: metric
            for resource in found.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def points(self, name: str) -> list[Any]:
        return list(self.metrics()[name].data.data_points)

    def counts(self, name: str) -> dict[str, float]:
        """Give the values of a counter by the values of its attributes."""
        return {" ".join(point.attributes.values()): point.value for point in self.points(name)}


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    return dict(span.attributes or {})
