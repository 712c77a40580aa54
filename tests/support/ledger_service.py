"""A small service for tests of the log: emits hits and rollups, and counts what arrives, exactly.

It adds 1 for each hit, so that a hit lost or handled twice shows in the count, and keeps the latest rollup
of a key with the number of times it was written.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Column, Integer, MetaData, String, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from shared.clock import Clock, SystemClock
from shared.consuming.handling import Answer, Handlers, Outcome, Subscription, bind, for_each
from shared.errors import NotReadyError
from shared.events.envelope import Event
from shared.events.registry import HIT_RECORDED, ROLLUP_UPDATED
from shared.events.topics import ConsumerGroup
from shared.events.usage import Hit, HitRecorded, Rollup, RollupUpdated
from shared.process.service import Service
from shared.store.delivery_tables import delivery_tables
from shared.store.engine import Store, sqlite_url
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = [
    "COUNTING",
    "METADATA",
    "STATES",
    "Ledger",
    "Ports",
    "dataset_id",
    "ledger_store",
    "open_ledger",
]

METADATA = MetaData()
TABLES = delivery_tables(METADATA)
HIT_COUNTS = Table(
    "hit_counts",
    METADATA,
    Column("dataset_id", String(36), primary_key=True),
    Column("hits", Integer, nullable=False),
)
STATES = Table(
    "states",
    METADATA,
    Column("key", String(200), primary_key=True),
    Column("views", Integer, nullable=False),
    Column("version", Integer, nullable=False),
)
COUNTING = ConsumerGroup("ledger.counting", "ledger", ("usage.hits", "usage.rollups"), "tests of the log")
MIGRATIONS = Path(__file__).parent / "ledger_migrations"
NAMESPACE = UUID("6a1c2b50-7d6e-4c8e-9a52-0f3a3c2b1d00")
THE_DAY = datetime(2026, 3, 2, tzinfo=UTC)


def dataset_id(name: str) -> UUID:
    """The id that tests mean by a short name."""
    return uuid5(NAMESPACE, name)


@dataclass
class Ports:
    """What the handlers are given: a hook that may raise for an event, and a memory of their calls.

    ``missing``: what a hit answers instead of being counted, told whether it may still wait.
    """

    before: Callable[[Event], None] = lambda _event: None
    missing: Callable[[Event, bool], NotReadyError | None] = lambda _event, _may_wait: None
    batches: list[list[str]] = field(default_factory=list)


async def count_hits(batch: Sequence[Event], unit_of_work: UnitOfWork, ports: Ports) -> list[Answer]:
    """Add 1 for each hit that misses nothing."""
    ports.batches.append([event.id for event in batch])
    for event in batch:
        ports.before(event)
    missing = [ports.missing(event, unit_of_work.may_wait) for event in batch]
    counts = Counter(
        str(event.payload(HitRecorded).hit.dataset_id)
        for event, error in zip(batch, missing, strict=True)
        if error is None
    )
    is_postgres = unit_of_work.connection.dialect.name == "postgresql"
    statement: Any = (postgresql if is_postgres else sqlite).insert(HIT_COUNTS)
    statement = statement.on_conflict_do_update(
        index_elements=["dataset_id"], set_={"hits": HIT_COUNTS.c.hits + statement.excluded.hits}
    )
    rows = [{"dataset_id": name, "hits": count} for name, count in counts.items()]
    if rows:
        await unit_of_work.connection.execute(statement, rows)
    return [error or Outcome.APPLIED for error in missing]


async def keep_state(event: Event, unit_of_work: UnitOfWork, ports: Ports) -> Outcome:
    """Keep the latest state of a key; a tombstone ends it."""
    ports.batches.append([event.id])
    ports.before(event)
    if event.data is None:
        await unit_of_work.connection.execute(STATES.delete().where(STATES.c.key == event.subject))
        return Outcome.APPLIED
    rollup = event.payload(RollupUpdated).rollup
    row = {"key": event.subject, "views": rollup.views, "version": event.subjectversion}
    await upsert(unit_of_work.connection, STATES, [row])
    return Outcome.APPLIED


EVENT_HANDLERS: Handlers[Ports] = {
    HIT_RECORDED.name: count_hits,
    ROLLUP_UPDATED.name: for_each(keep_state),
}


def ledger_store(place: Path | str, clock: Clock) -> Store:
    """The store in a file, or at SQLAlchemy's URL; not open yet."""
    return Store(
        place if isinstance(place, str) else sqlite_url(place),
        service="ledger",
        metadata=METADATA,
        tables=TABLES,
        migrations=MIGRATIONS,
        clock=clock,
    )


@dataclass
class Ledger:
    """The service with its ports, for tests to emit with and to look into."""

    store: Store
    ports: Ports = field(default_factory=Ports)

    @property
    def subscription(self) -> Subscription:
        return Subscription(COUNTING, bind(EVENT_HANDLERS, self.ports))

    @property
    def service(self) -> Service:
        return Service("ledger", self.store, [self.subscription], [])

    async def emit_hits(self, names: Sequence[str], *, bucket: str = "00") -> list[str]:
        """Emit one hit per name, in one transaction; return the event ids."""
        async with self.store.unit_of_work() as unit_of_work:
            return [self.emit_hit(unit_of_work, name, bucket).id for name in names]

    def emit_hit(self, unit_of_work: UnitOfWork, name: str, bucket: str = "00") -> Event:
        """Emit one hit within a transaction."""
        hit = Hit(
            hit_id=uuid5(NAMESPACE, f"hit {name}"),
            dataset_id=dataset_id(name),
            kind="view",
            visitor_hash="0" * 64,
            visitor_bucket=bucket,
            occurred_at=THE_DAY,
        )
        return unit_of_work.emit(HIT_RECORDED, HitRecorded(hit=hit), subject=bucket)

    async def emit_state(self, name: str, version: int, views: int) -> str:
        """Emit one state of a key; return the event id."""
        rollup = Rollup(dataset_id=dataset_id(name), granularity="day", window_start=THE_DAY, views=views)
        async with self.store.unit_of_work() as unit_of_work:
            return unit_of_work.emit(
                ROLLUP_UPDATED, RollupUpdated(rollup=rollup), subject=name, subjectversion=version
            ).id

    async def emit_end(self, name: str, version: int | None) -> str:
        """Emit the tombstone of a key."""
        async with self.store.unit_of_work() as unit_of_work:
            return unit_of_work.emit_tombstone(
                ROLLUP_UPDATED,
                subject=name,
                partition_key=str(dataset_id(name)),
                subjectversion=version,
            ).id

    async def hits(self) -> dict[str, int]:
        """Dataset id → hits counted."""
        async with self.store.read() as connection:
            rows = await connection.execute(select(HIT_COUNTS.c.dataset_id, HIT_COUNTS.c.hits))
            return {row.dataset_id: row.hits for row in rows}

    async def hits_total(self) -> int:
        """All hits counted."""
        return sum((await self.hits()).values())

    async def states(self) -> dict[str, tuple[int, int]]:
        """Key → (version, views)."""
        async with self.store.read() as connection:
            rows = await connection.execute(select(STATES.c.key, STATES.c.version, STATES.c.views))
            return {key: (version, views) for key, version, views in rows}


@asynccontextmanager
async def open_ledger(place: Path | str, clock: Clock | None = None) -> AsyncIterator[Ledger]:
    """Open the service on a database of its own: a file, or what SQLAlchemy's URL names."""
    store = ledger_store(place, clock or SystemClock())
    await store.open()
    try:
        yield Ledger(store)
    finally:
        await store.close()
