"""One transaction of a service: its own rows and its outbox rows, committed together or not at all."""

from collections.abc import Callable
from typing import Any
from zlib import crc32

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.clock import Clock
from shared.events.envelope import Event, encode, new_event, tombstone
from shared.events.model import EventModel
from shared.events.registry import EventType
from shared.events.topics import Deduplication
from shared.store.delivery_tables import OUTBOX_SHARDS, DeliveryTables
from shared.telemetry.tracing import current_traceparent

__all__ = ["UnitOfWork"]


class UnitOfWork:
    """Gives handlers the connection and takes the events they emit.

    ``cause`` is the event being handled; emitted events continue its correlation and trace. It is set while
    events are handled one by one; a handler of whole batches passes ``cause`` with each event it emits.
    Without a cause, events continue the trace of the request being served. The store writes the outbox
    rows just before it commits, and wakes the relay once afterwards.
    """

    def __init__(
        self, connection: AsyncConnection, tables: DeliveryTables, clock: Clock, *, version_floor: int = 0
    ) -> None:
        self.connection = connection
        self.tables = tables
        self.clock = clock
        self.cause: Event | None = None
        self.traceparent: str | None = current_traceparent()
        self.may_wait = True
        """False where the event being handled has waited for missing data as long as it may."""
        self.has_arrivals = False
        """Whether records that were set aside can be tried again once this is committed."""
        self._version_floor = version_floor
        self._rows: list[dict[str, Any]] = []
        self._after_commit: list[Callable[[], None]] = []

    def emit(
        self,
        event_type: EventType,
        data: EventModel,
        *,
        subject: str,
        subjectversion: int | None = None,
        cause: Event | None = None,
        event_id: str | None = None,
    ) -> Event:
        """Add an event to this transaction and return it.

        Raises ``EventTooLargeError`` at once, so that the transaction ends and nothing stalls the relay;
        ``ValueError`` for entity state without ``subjectversion``, which no consumer could put in order.
        """
        if subjectversion is None and event_type.topic.deduplication is Deduplication.VERSION:
            raise ValueError(f"{event_type.name} is entity state: pass subjectversion")
        cause = cause or self.cause
        event = new_event(
            event_type,
            data,
            subject=subject,
            time=self.clock.now(),
            subjectversion=self._raised(subjectversion),
            cause=cause,
            traceparent=(cause.traceparent if cause else None) or self.traceparent,
            event_id=event_id,
        )
        self._append(event_type, event)
        return event

    def emit_tombstone(
        self,
        event_type: EventType,
        *,
        subject: str,
        partition_key: str,
        subjectversion: int | None = None,
        cause: Event | None = None,
    ) -> Event:
        """Add the record that ends a key of a compacted topic."""
        event = tombstone(
            event_type,
            subject=subject,
            partition_key=partition_key,
            time=self.clock.now(),
            subjectversion=self._raised(subjectversion),
            cause=cause or self.cause,
        )
        self._append(event_type, event)
        return event

    def _raised(self, version: int | None) -> int | None:
        """Return a version above all that were told before this store lost its rows, if it ever did."""
        return None if version is None else version + self._version_floor

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once the transaction is durable; never if it rolls back."""
        self._after_commit.append(callback)

    @property
    def emitted_count(self) -> int:
        """How many events this transaction will publish."""
        return len(self._rows)

    async def flush_outbox(self) -> None:
        """Write the outbox rows in one statement. The store calls it before it commits."""
        if self._rows:
            await self.connection.execute(insert(self.tables.outbox), self._rows)

    def committed(self) -> None:
        """Run the callbacks and let go of them. The store calls it after it committed.

        A callback may hold what holds this unit of work: a whole batch would then stay in memory until the
        garbage collector finds the ring, minutes later.
        """
        callbacks, self._after_commit = self._after_commit, []
        for callback in callbacks:
            callback()

    def _append(self, event_type: EventType, event: Event) -> None:
        headers, value = encode(event)
        partition_key = event.partitionkey or event.subject
        self._rows.append(
            {
                "shard": crc32(partition_key.encode()) % OUTBOX_SHARDS,
                "topic": event_type.topic.name,
                "key": event.subject,
                "partition_key": partition_key,
                "headers": [[name, raw.decode()] for name, raw in headers],
                "value": value,
                "created_at": event.time,
                "published_at": None,
            }
        )
