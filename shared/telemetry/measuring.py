"""The metrics as a port, for code that names no technology: ``Metrics`` of ``metrics.py`` fulfils it."""

from typing import Protocol

from shared.telemetry.metric_names import CounterName, GaugeName, HistogramName

__all__ = ["Measurements"]


class Measurements(Protocol):
    """Takes counts, readings and durations by their typed names; labels as the definition has them."""

    def count(self, name: CounterName, value: float = 1, **labels: str) -> None:
        """Add to a counter."""
        ...

    def set(self, name: GaugeName, value: float, **labels: str) -> None:
        """Set a gauge."""
        ...

    def observe(self, name: HistogramName, value: float, **labels: str) -> None:
        """Record one reading."""
        ...
