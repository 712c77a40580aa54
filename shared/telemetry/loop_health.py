"""How late the event loop wakes up: the one number that shows a blocking call in a one-process host."""

import asyncio

from shared.clock import Clock
from shared.telemetry.metrics import Metrics

__all__ = ["watch_event_loop"]

TICK_SECONDS = 0.5
READING_SECONDS = 15.0


async def watch_event_loop(
    metrics: Metrics,
    clock: Clock,
    stop: asyncio.Event,
    *,
    tick_seconds: float = TICK_SECONDS,
    reading_seconds: float = READING_SECONDS,
) -> None:
    """Set ``nutmeg_event_loop_delay_seconds`` to the worst delay of the last reading, until ``stop`` is set.

    A delay worse than the reading so far shows at once.
    """
    worst_seconds = 0.0
    reading_started = clock.monotonic_seconds()
    while not stop.is_set():
        asleep_since = clock.monotonic_seconds()
        try:
            await asyncio.wait_for(stop.wait(), tick_seconds)
        except TimeoutError:
            now = clock.monotonic_seconds()
            if now - reading_started > reading_seconds:
                worst_seconds, reading_started = 0.0, now
            worst_seconds = max(worst_seconds, now - asleep_since - tick_seconds)
            metrics.set("nutmeg_event_loop_delay_seconds", max(0.0, worst_seconds))
