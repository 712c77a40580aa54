"""Counts what was measured, for operators."""

from shared.telemetry.metrics import Metrics


class MetricsMeter:
    """Implements :class:`services.quality.ports.Meter`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def measured(self, kind: str, outcome: str) -> None:
        """See the port."""
        self._metrics.count("nutmeg_quality_measurements_total", kind=kind, outcome=outcome)

    def alert(self, kind: str, change: str) -> None:
        """See the port."""
        self._metrics.count("nutmeg_alerts_total", service="quality", kind=kind, change=change)
