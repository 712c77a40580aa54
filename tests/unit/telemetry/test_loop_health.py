"""The event loop's delay is seen."""

import asyncio
import time

from shared.clock import SystemClock
from shared.telemetry.loop_health import watch_event_loop
from shared.telemetry.metrics import Metrics


async def test_a_blocking_call_shows_as_event_loop_delay() -> None:
    metrics, stop = Metrics(), asyncio.Event()
    watching = asyncio.create_task(watch_event_loop(metrics, SystemClock(), stop, tick_seconds=0.01))
    await asyncio.sleep(0.005)
    time.sleep(0.3)
    await asyncio.sleep(0.05)
    stop.set()
    await watching
    assert metrics.value("nutmeg_event_loop_delay_seconds") >= 0.2
