"""How a record becomes a dead letter: durable before its offset moves, or the consumer stops."""

import asyncio

import structlog

from shared.clock import Clock
from shared.consuming.applying import Item
from shared.consuming.dead_letter_record import Failure, FailureReason, dead_letter_record
from shared.consuming.handling import Outcome
from shared.errors import (
    DeadLetterUnwritableError,
    InvalidEventError,
    TransientError,
    WaitExpiredError,
)
from shared.log.measuring import DeliveryMetrics
from shared.log.port import EventLog, LogRecord

__all__ = ["DeadLetterWriter"]

logger = structlog.get_logger(__name__)

ATTEMPTS_MAX = 3


class DeadLetterWriter:
    """Writes the dead letters of one group, and tells of each by metric and log line.

    ``waits_for_log``: an outage of the log is raised as it is, for a consumer that tries its batch again.
    """

    def __init__(
        self,
        group: str,
        *,
        log: EventLog,
        clock: Clock,
        metrics: DeliveryMetrics,
        retry_seconds: float,
        waits_for_log: bool = False,
    ) -> None:
        self._group = group
        self._log = log
        self._clock = clock
        self._metrics = metrics
        self._retry_seconds = retry_seconds
        self._waits_for_log = waits_for_log

    async def write(self, item: Item, error: Exception) -> None:
        """Write the dead letter of a record, and give it its outcome.

        Raises ``DeadLetterUnwritableError`` after some tries, and ``TransientError`` as said above.
        """
        reason = _reason(error)
        failure = Failure(reason, error, max(item.attempts, 1), item.first_at, self._clock.now())
        record = dead_letter_record(item.record, self._group, failure)
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                await self._log.publish([record])
                break
            except Exception as unwritable:
                if self._waits_for_log and isinstance(unwritable, TransientError):
                    raise
                if attempt == ATTEMPTS_MAX:
                    raise DeadLetterUnwritableError(
                        f"{self._group}: the dead letter of {_place(item.record)} cannot be written to "
                        f"{record.topic}: {unwritable}; the record was not passed over"
                    ) from unwritable
                await asyncio.sleep(self._retry_seconds * 2**attempt)
        item.outcome = Outcome.DEAD_LETTERED
        self._metrics.dead_lettered(item.record.topic, self._group, reason)
        logger.error(
            "dead letter",
            group=self._group,
            record=_place(item.record),
            reason=reason,
            error=f"{type(error).__qualname__}: {error}",
        )


def _reason(error: Exception) -> FailureReason:
    if isinstance(error, InvalidEventError):
        return "invalid"
    return "expired" if isinstance(error, WaitExpiredError) else "failed"


def _place(record: LogRecord) -> str:
    return f"{record.topic}/{record.partition}@{record.offset}"
