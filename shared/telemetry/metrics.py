"""The metrics of one process, on a registry of its own, so that tests and hosts never share counts."""

from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from shared.telemetry.metric_names import (
    COUNTERS,
    GAUGES,
    HISTOGRAMS,
    CounterName,
    GaugeName,
    HistogramName,
    MetricName,
)

__all__ = ["METRICS_CONTENT_TYPE", "Metrics"]

METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts, gauges and histograms by their typed names.

    Labels are keyword arguments and must be exactly those of the definition, else ``ValueError``.
    """

    def __init__(self) -> None:
        # One more series per counter that nobody reads; the library has only a process-wide switch for it.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # has no annotations
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        self._counters = {
            name: Counter(name, definition.help, definition.labels, registry=self.registry)
            for name, definition in COUNTERS.items()
        }
        self._gauges = {
            name: Gauge(name, definition.help, definition.labels, registry=self.registry)
            for name, definition in GAUGES.items()
        }
        self._histograms = {
            name: Histogram(
                name, definition.help, definition.labels, buckets=definition.buckets, registry=self.registry
            )
            for name, definition in HISTOGRAMS.items()
        }

    def count(self, name: CounterName, value: float = 1, **labels: str) -> None:
        """Add ``value`` (never negative) to a counter."""
        counter = self._counters[name]
        (counter.labels(**labels) if labels else counter).inc(value)

    def set(self, name: GaugeName, value: float, **labels: str) -> None:
        """Set a gauge to ``value``, in the unit that its name ends with."""
        gauge = self._gauges[name]
        (gauge.labels(**labels) if labels else gauge).set(value)

    def observe(self, name: HistogramName, value: float, **labels: str) -> None:
        """Record one reading, in the unit that the name ends with."""
        histogram = self._histograms[name]
        (histogram.labels(**labels) if labels else histogram).observe(value)

    def forget(self, name: GaugeName, **labels: str) -> None:
        """Drop one series of a gauge whose thing is gone, such as a partition given away. Idempotent."""
        gauge = self._gauges[name]
        values = [labels[label] for label in GAUGES[name].labels]
        gauge.remove(*values)

    def value(self, name: MetricName, **labels: str) -> float:
        """Return a counter's or gauge's reading, or how many readings a histogram has; 0 if never used."""
        sample = f"{name}_count" if name in get_args(HistogramName) else name
        return self.registry.get_sample_value(sample, labels) or 0.0

    def render(self) -> bytes:
        """Return all series in the Prometheus text format 0.0.4."""
        return generate_latest(self.registry)
