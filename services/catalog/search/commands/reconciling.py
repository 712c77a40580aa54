"""Compares index and rows by itself: once after a start, then at a fixed interval, one process for all."""

from datetime import datetime, timedelta

import structlog

from services.catalog.search.commands.indexing import IndexWorker
from services.catalog.search.domain.index import CatalogIndexError
from shared.clock import Clock

__all__ = ["ReconcileSchedule", "next_reconcile"]

AFTER_START = timedelta(hours=1)
"""A start brings the next comparison forward, unless the last one is younger than this."""

_log = structlog.get_logger(__name__)


def next_reconcile(
    last: datetime | None, *, started_at: datetime, delay: timedelta, interval: timedelta
) -> datetime:
    """Return when index and rows are due to be compared.

    ``delay`` is this process's own, so that replicas which start together do not begin together.
    """
    after_start = started_at + delay
    if last is None:
        return after_start
    by_interval = last + interval
    if last >= started_at - AFTER_START:
        return by_interval
    return min(after_start, by_interval)


class ReconcileSchedule:
    """Recurring work: looks often whether a comparison is due, and seldom makes one.

    The time of the last one is in the store, so replicas do not repeat one another.
    """

    def __init__(self, indexing: IndexWorker, clock: Clock, *, delay: timedelta, interval: timedelta) -> None:
        self._indexing = indexing
        self._clock = clock
        self._delay = delay
        self._interval = interval
        self._started_at: datetime | None = None

    async def run_once(self) -> int:
        """Compare and mend if it is due; 0, since nothing more is due right afterwards."""
        now = self._clock.now()
        self._started_at = self._started_at or now
        due = next_reconcile(
            await self._indexing.reconciled_at(),
            started_at=self._started_at,
            delay=self._delay,
            interval=self._interval,
        )
        if now < due:
            return 0
        try:
            drift = await self._indexing.reconcile(repair=True)
        except CatalogIndexError as error:
            _log.warning("index_away", error=str(error))
            return 0
        if any(drift.kinds().values()):
            _log.warning("index_drifted", **drift.kinds(), repaired=drift.repaired)
        return 0

    async def pending(self) -> int:
        """Nobody waits for it."""
        return 0
