"""The relay: sends a service's committed events to the log, and remembers what the log acknowledged.

Rules (design, section 3.1): *unpublished* rows in id order, never ``id > last`` (ids become visible out of
order where transactions overlap), at most 500 at a time, one UPDATE per batch, one wake-up per transaction
with a poll beneath. A crash between the acknowledgement and the UPDATE sends a batch twice; consumers know
versions and ids. Rows stay 24 h after publishing, so that they can be sent again should the log turn out
to have lost them.
"""

import asyncio
import contextlib
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

import structlog
from sqlalchemy import Row, Select, Table, Update, bindparam, delete, func, select, update

from shared.clock import Clock
from shared.consuming.log_agreement import LogLoss, log_losses, present_marks, replace_marks
from shared.errors import TransientError
from shared.events.topics import TOPICS
from shared.log.measuring import DeliveryMetrics, NullDeliveryMetrics
from shared.log.port import EventLog, LogPosition, OutgoingRecord
from shared.outbox.shard_lease import AllShardsLease, ShardLease
from shared.store.delivery_tables import OUTBOX_SHARDS
from shared.store.engine import Store
from shared.store.high_marks import raise_marks
from shared.store.in_list import in_list_parameter, list_values
from shared.store.notes import write_note
from shared.store.wal_truncation import truncate_wal

__all__ = ["OutboxRelay", "RelaySettings"]

logger = structlog.get_logger(__name__)

PUBLISHED_KEPT = timedelta(hours=24)
INBOX_DAYS_DEFAULT = 37
REASON_CHARACTERS_MAX = 500
BATCH_BYTES_MAX = 16 * 1024 * 1024
"""500 events of 900 KiB would be 440 MiB; such a batch ends early."""


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """How the relay paces itself."""

    rows_max: int = 500
    poll_seconds: float = 1.0
    pause_seconds_min: float = 0.2
    pause_seconds_max: float = 30.0
    report_seconds: float = 5.0
    gather_seconds: float = 0.05
    """How soon after one publishing the next begins, at the earliest, so that a trickle goes in portions."""


class OutboxRelay:
    """Publishes the rows of some shards: all of them in one process, its part of them as one of several."""

    def __init__(
        self,
        *,
        store: Store,
        log: EventLog,
        clock: Clock,
        metrics: DeliveryMetrics | None = None,
        shards: ShardLease | None = None,
        settings: RelaySettings | None = None,
    ) -> None:
        self._store = store
        self._log = log
        self._clock = clock
        self._metrics: DeliveryMetrics = metrics or NullDeliveryMetrics()
        self._shards: ShardLease = shards or AllShardsLease()
        self._settings = settings or RelaySettings()
        self._emitted = asyncio.Event()
        self._failures_in_a_row = 0
        self._next_report = 0.0
        self._next_publishing = 0.0
        self.published_count = 0
        self.cause: str | None = None
        """Why nothing is published just now, in words; ``None`` while all is well."""

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until ``stop`` is set, then what is still there. Checks the log's history first."""
        wake = self._emitted.set
        self._store.on_emitted.append(wake)
        try:
            checked = False
            while not stop.is_set():
                try:
                    if not checked:
                        await self.check_history()
                        checked = True
                    begun = self._clock.monotonic_seconds()
                    if await self.publish_all():
                        self._next_publishing = begun + self._settings.gather_seconds
                    await self._report()
                except TransientError as error:
                    await self._wait_out(stop, error)
                else:
                    self._failures_in_a_row, self.cause = 0, None
                    await self._wait(stop, self._settings.poll_seconds)
                    await self._gather(stop)
            # What is left can wait for the next start if the log is away just now.
            with contextlib.suppress(TransientError):
                await self.publish_all()
        finally:
            self._store.on_emitted.remove(wake)
            await self._shards.close()

    async def publish_all(self) -> int:
        """Publish what is unpublished and return how many rows that was. Raises ``TransientError``."""
        total, is_cut = 0, True
        while is_cut:
            # What is emitted from here on sets it again, and so is found at the latest by the next wake-up.
            self._emitted.clear()
            count, is_cut = await self._publish_batch()
            total += count
        return total

    async def _publish_batch(self) -> tuple[int, bool]:
        """Publish one batch; return its size, and whether a limit cut it, so that there is more."""
        rows = await self._unpublished(await self._shards.owned())
        if not rows:
            return 0, False
        records = [
            OutgoingRecord(
                row.topic,
                row.key,
                row.partition_key,
                [(name, text.encode()) for name, text in row.headers],
                row.value,
            )
            for row in rows
        ]
        positions = await self._log.publish(records)
        epoch = (await self._log.epochs())[0]
        await self._mark_published(rows, positions, epoch)
        self.published_count += len(rows)
        self._metrics.published(self._store.service, len(rows))
        # Said with each batch: with a backlog, or under a steady load, it may be long until none is left.
        self._failures_in_a_row, self.cause = 0, None
        await self._report()
        size_bytes = rows[-1].bytes_before + len(rows[-1].value or b"")
        return len(rows), len(rows) == self._settings.rows_max or size_bytes >= BATCH_BYTES_MAX

    async def check_history(self) -> int:
        """Compare the marks with the log, and send the last 24 h again if it lost something.

        Returns how many rows that is. See :mod:`shared.log.sqlite.event_log` for why this is noticed, and why
        sending again is harmless. Raises ``TransientError``.
        """
        losses = await log_losses(self._store, self._log)
        return await self._send_again(losses) if losses else 0

    async def depth(self) -> int:
        """Return how many events are committed but not published."""
        return (await self._backlog())[0]

    async def oldest_age_seconds(self) -> float:
        """Return the age of the oldest unpublished event; 0 if there is none."""
        return (await self._backlog())[1]

    async def drained(self) -> bool:
        """Tell whether everything committed so far is published."""
        return await self.depth() == 0

    async def prune(self) -> int:
        """Delete rows that were published more than 24 h ago, and inbox rows past their use.

        The inbox is kept for a topic's retention and a week: no copy can arrive later than that.
        Then whatever the service itself deleted leaves the write-ahead log too: an erased person's rows are
        gone from every file once their events are.
        """
        now = self._clock.now()
        outbox, inbox = self._store.tables.outbox, self._store.tables.inbox
        async with self._store.unit_of_work() as unit_of_work:
            due = outbox.c.published_at < now - PUBLISHED_KEPT
            deleted = (await unit_of_work.connection.execute(delete(outbox).where(due))).rowcount
            if deleted:
                # A log that lost more than a day cannot be made whole from here any more.
                await write_note(unit_of_work, "outbox_pruned_before", (now - PUBLISHED_KEPT).isoformat())
        async with self._store.read() as connection:
            topics = (await connection.execute(select(inbox.c.topic).distinct())).scalars().all()
        for topic in topics:
            days = TOPICS[topic].inbox_days if topic in TOPICS else INBOX_DAYS_DEFAULT
            due = (inbox.c.topic == topic) & (inbox.c.handled_at < now - timedelta(days=days))
            async with self._store.unit_of_work() as unit_of_work:
                deleted += (await unit_of_work.connection.execute(delete(inbox).where(due))).rowcount
        await truncate_wal(self._store)
        return int(deleted)

    async def _unpublished(self, shards: Collection[int]) -> Sequence[Row[Any]]:
        """Return the next rows in id order, few enough to be held in memory."""
        of_shards = None if len(shards) == OUTBOX_SHARDS else frozenset(shards)
        statement = _next_rows(self._store.tables.outbox, of_shards, self._settings.rows_max)
        async with self._store.read() as connection:
            rows: Sequence[Row[Any]] = (await connection.execute(statement)).all()
        return rows

    async def _mark_published(
        self, rows: Sequence[Row[Any]], positions: Sequence[LogPosition], epoch: str
    ) -> None:
        outbox = self._store.tables.outbox
        highest: dict[tuple[str, int], int] = {}
        for row, position in zip(rows, positions, strict=True):
            place = (row.topic, position.partition)
            highest[place] = max(highest.get(place, 0), position.offset)
        marks = [
            {"topic": topic, "partition": partition, "epoch": epoch, "acknowledged_offset": offset}
            for (topic, partition), offset in highest.items()
        ]
        async with self._store.unit_of_work() as unit_of_work:
            dialect = unit_of_work.connection.dialect.name
            await unit_of_work.connection.execute(
                _published(outbox, dialect),
                {"ids": list_values([row.id for row in rows], dialect), "at": self._clock.now()},
            )
            await raise_marks(
                unit_of_work.connection, self._store.tables.log_marks, marks, "acknowledged_offset"
            )

    async def _send_again(self, losses: Sequence[LogLoss]) -> int:
        outbox = self._store.tables.outbox
        topics = sorted({loss.topic for loss in losses})
        marks = await present_marks(self._log, topics)
        async with self._store.unit_of_work() as unit_of_work:
            recent = outbox.c.published_at >= self._clock.now() - PUBLISHED_KEPT
            result = await unit_of_work.connection.execute(
                update(outbox).where(outbox.c.topic.in_(topics), recent).values(published_at=None)
            )
            # A crash right here finds marks of what is there, and the rows still unpublished.
            await replace_marks(unit_of_work, topics, marks)
        words = "; ".join(loss.words for loss in losses)
        if any(loss.is_truncation for loss in losses):
            await self._log.begin_epoch(f"{self._store.service}: {words}"[:REASON_CHARACTERS_MAX])
        self._metrics.resent(self._store.service, result.rowcount)
        logger.critical(
            "the log lost acknowledged records; the last 24 h are sent again, what is older is not",
            service=self._store.service,
            lost=words,
            rows=result.rowcount,
        )
        return int(result.rowcount)

    async def _backlog(self) -> tuple[int, float]:
        table = self._store.tables.outbox
        statement = select(func.count(), func.min(table.c.created_at)).where(table.c.published_at.is_(None))
        async with self._store.read() as connection:
            count, oldest = (await connection.execute(statement)).one()
        age = (self._clock.now() - oldest).total_seconds() if oldest is not None else 0.0
        return count, max(age, 0.0)

    async def _report(self) -> None:
        now = self._clock.monotonic_seconds()
        if now >= self._next_report:
            self._next_report = now + self._settings.report_seconds
            self._metrics.outbox(self._store.service, *await self._backlog())

    async def _wait_out(self, stop: asyncio.Event, error: TransientError) -> None:
        seconds = min(
            self._settings.pause_seconds_max, self._settings.pause_seconds_min * 2**self._failures_in_a_row
        )
        self._failures_in_a_row = min(self._failures_in_a_row + 1, 16)
        if self.cause is None:
            logger.warning("relay waits", service=self._store.service, cause=str(error))
        self.cause = str(error)
        self._emitted.clear()
        # Above all now has the age of what waits to be told.
        with contextlib.suppress(TransientError):
            await self._report()
        # Half is fixed, half is chance, so that relays do not come back all at once.
        seconds *= 0.5 + random.random() / 2  # noqa: S311 - spreads load, guards nothing
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)

    async def _gather(self, stop: asyncio.Event) -> None:
        """Let events right after others wait for their neighbours; the first after a pause never waits."""
        left = self._next_publishing - self._clock.monotonic_seconds()
        if left > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(left, self._settings.gather_seconds))

    async def _wait(self, stop: asyncio.Event, seconds: float) -> None:
        """Wait for the next transaction that emits, for ``stop``, or for the poll beneath."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._emitted, stop)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


@lru_cache(maxsize=256)
def _next_rows(outbox: Table, shards: frozenset[int] | None, rows_max: int) -> Select[tuple[Any, ...]]:
    """Return the statement that reads a batch. Building it costs more than running it, so it is kept."""
    waiting = select(outbox).where(outbox.c.published_at.is_(None))
    if shards is not None:
        waiting = waiting.where(outbox.c.shard.in_(shards))
    first = waiting.order_by(outbox.c.id).limit(rows_max).subquery()
    size = func.coalesce(func.length(first.c.value), 0)
    before = (func.sum(size).over(order_by=first.c.id) - size).label("bytes_before")
    sized = select(first, before).subquery()
    return select(sized).where(sized.c.bytes_before < BATCH_BYTES_MAX).order_by(sized.c.id)


@lru_cache(maxsize=64)
def _published(outbox: Table, dialect: str) -> Update:
    of_batch = in_list_parameter(outbox.c.id, "ids", dialect)
    return update(outbox).where(of_batch).values(published_at=bindparam("at"))
