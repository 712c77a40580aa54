"""Tells operators of hits and alerts through the process's metrics."""

from shared.telemetry.metrics import Metrics

__all__ = ["WATCH_WORK", "MetricsMeter"]

WATCH_WORK = "usage.watch"
"""The recurring work that looks for spikes and silence."""


class MetricsMeter:
    """Implements :class:`services.usage.ports.HitMeter`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def hits(self, kind: str, result: str, count: int) -> None:
        self._metrics.count("nutmeg_usage_hits_total", count, kind=kind, result=result)

    def alert(self, kind: str, change: str) -> None:
        self._metrics.count("nutmeg_alerts_total", service="usage", kind=kind, change=change)

    def not_judged(self, count: int) -> None:
        if count:
            self._metrics.count("nutmeg_work_failures_total", count, service="usage", work=WATCH_WORK)
