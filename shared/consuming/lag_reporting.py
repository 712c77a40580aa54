"""Tells how far a group is behind, and takes back what can no longer be vouched for."""

from collections.abc import Awaitable, Callable, Mapping

from shared.clock import Clock
from shared.errors import TransientError
from shared.log.measuring import DeliveryMetrics
from shared.log.port import Lag, TopicPartition

__all__ = ["LAG_KEPT_SECONDS", "LagReporter"]

LAG_KEPT_SECONDS = 60.0
"""How long the last lag is told on while it cannot be measured. A group keeps a silent member for less."""


class LagReporter:
    """Reports the lag of one group's partitions that this process has.

    ``measure`` returns the lag of each partition that is ours just now, and raises ``TransientError``
    where it cannot. A partition that it does not name is another process's, so its figures are taken back.
    """

    def __init__(
        self,
        group: str,
        measure: Callable[[], Awaitable[Mapping[TopicPartition, Lag]]],
        *,
        metrics: DeliveryMetrics,
        clock: Clock,
    ) -> None:
        self._group = group
        self._measure = measure
        self._metrics = metrics
        self._clock = clock
        self._measured_at = clock.monotonic_seconds()
        self._told: frozenset[TopicPartition] = frozenset()

    async def report(self) -> None:
        """Measure and tell. Raises ``TransientError`` if the log is away."""
        try:
            lags = await self._measure()
        except TransientError:
            # Cut off for so long, this member may have lost its partitions: the owner tells, or nobody does.
            if self._clock.monotonic_seconds() - self._measured_at > LAG_KEPT_SECONDS:
                self.clear()
            raise
        self._measured_at = self._clock.monotonic_seconds()
        self._tell(lags)

    def clear(self) -> None:
        """Take every figure back: nothing is read any more."""
        self._tell({})

    def _tell(self, lags: Mapping[TopicPartition, Lag]) -> None:
        for gone in self._told - lags.keys():
            self._metrics.lag_ended(gone.topic, gone.partition, self._group)
        self._told = frozenset(lags)
        for place, lag in lags.items():
            self._metrics.lag(place.topic, place.partition, self._group, lag.records, lag.seconds)
