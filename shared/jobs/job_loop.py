"""Runs one piece of recurring work until told to stop, and keeps it running when it raises."""

import asyncio
import contextlib
from dataclasses import dataclass

import structlog

from shared.clock import Clock
from shared.errors import NotReadyError, TransientError
from shared.jobs.recurring_work import RecurringWork
from shared.log.measuring import DeliveryMetrics, NullDeliveryMetrics

__all__ = ["JobLoop", "JobLoopStatus"]

logger = structlog.get_logger(__name__)

PAUSE_SECONDS_MIN = 0.5
PAUSE_SECONDS_MAX = 60.0
OUTAGE_PAUSE_SECONDS_MAX = 4.0
"""While a store or the index is away, which ends without anybody's doing anything here."""

WAITING_PAUSE_SECONDS = 1.0
"""While data that the work needs is on its way."""


@dataclass(frozen=True, slots=True)
class JobLoopStatus:
    """How a piece of recurring work is doing. ``last_error`` is ``None`` while the last run went well."""

    name: str
    runs: int
    failures: int
    items_done: int
    pending: int | None
    """``None`` when it could not be counted just now."""
    last_error: str | None


class JobLoop:
    """Calls ``run_once`` again at once while there is something to do, else when woken or due."""

    def __init__(
        self, work: RecurringWork, *, service: str, clock: Clock, metrics: DeliveryMetrics | None = None
    ) -> None:
        self.work = work
        self.items_done = 0
        self._service = service
        self._clock = clock
        self._metrics: DeliveryMetrics = metrics or NullDeliveryMetrics()
        self._woken = asyncio.Event()
        self._is_running = False
        self._runs = 0
        self._failures = 0
        self._failures_in_a_row = 0
        self._last_error: str | None = None
        self._is_outage = False
        self._is_waiting = False

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set; a portion that was begun is finished."""
        if self.work.on_wake is not None:
            self.work.on_wake(self._woken.set)
        while not stop.is_set():
            self._woken.clear()
            if await self._portion() == 0:
                await self._wait(stop)

    def wake(self) -> None:
        """Let it look now for what is due, as after a jump of a simulated clock."""
        self._woken.set()

    async def busy(self) -> bool:
        """Tell whether anything is due or being done."""
        return self._is_running or await self.work.pending() > 0

    async def status(self) -> JobLoopStatus:
        """Return how it is doing."""
        pending: int | None = None
        with contextlib.suppress(Exception):
            pending = await self.work.pending()
        return JobLoopStatus(
            self.work.name, self._runs, self._failures, self.items_done, pending, self._last_error
        )

    async def _portion(self) -> int:
        self._is_running, self._is_waiting = True, False
        self._runs += 1
        try:
            done = await self.work.run_once()
        except NotReadyError as error:
            # Nothing has failed: what it needs is on its way. It looks again soon.
            self._is_waiting = True
            logger.info("recurring work waits", service=self._service, work=self.work.name, cause=str(error))
            self._failures_in_a_row, self._last_error = 0, None
            return 0
        except Exception as error:
            self._failures += 1
            self._failures_in_a_row = min(self._failures_in_a_row + 1, 16)
            self._last_error = f"{type(error).__qualname__}: {error}"
            self._is_outage = isinstance(error, TransientError)
            self._metrics.work_run(self._service, self.work.name, is_failed=True)
            if self._is_outage:
                logger.warning(
                    "recurring work waits", service=self._service, work=self.work.name, cause=str(error)
                )
            else:
                logger.exception("recurring work failed", service=self._service, work=self.work.name)
            return 0
        finally:
            self._is_running = False
        self._failures_in_a_row, self._last_error = 0, None
        self.items_done += done
        self._metrics.work_run(self._service, self.work.name, is_failed=False)
        return done

    async def _wait(self, stop: asyncio.Event) -> None:
        seconds = self.work.interval_seconds
        events = [self._woken, stop]
        if self._is_waiting:
            seconds = min(seconds, WAITING_PAUSE_SECONDS)
        if self._failures_in_a_row:
            # Being woken must not make failing work spin.
            seconds_max = OUTAGE_PAUSE_SECONDS_MAX if self._is_outage else PAUSE_SECONDS_MAX
            seconds = min(PAUSE_SECONDS_MIN * 2**self._failures_in_a_row, seconds_max)
            events = [stop]
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
