"""Records that wait for data which is on its way, and hold up nobody else (design, section 3, rule 4).

A handler answers :class:`~shared.errors.NotReadyError` for a record, and the record becomes a row of
``waiting_events`` in the transaction that handles its batch; the offset moves on. It is tried again when what
it waits for arrives (:func:`wake_waiting`, called by whoever brings it), else at growing intervals, and at
its deadline once more with ``may_wait`` false. Then it is a dead letter.

Order is kept per key. On a topic told apart by version a newer record replaces the older one that waits;
on the others what comes after a waiting record of its key waits behind it.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from shared.consuming.deduplication import IncomingEvent
from shared.log.port import LogRecord
from shared.store.due_times import is_due
from shared.store.engine import Store
from shared.store.in_list import in_list, in_list_parameter, list_values
from shared.store.types import UTCDateTime
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = [
    "FIRST_WAIT",
    "RECORDS_PER_TURN_MAX",
    "Place",
    "WaitingRecord",
    "WaitingRecords",
    "WaitingSummary",
    "forget_waiting",
    "next_wait",
    "wake_waiting",
]

Place = tuple[str, str]
"""A topic, and a key in it."""

FIRST_WAIT = timedelta(seconds=1)
WAIT_MAX = timedelta(seconds=60)
RECORDS_PER_TURN_MAX = 100
"""New records wait behind those that are tried again; this keeps the wait short."""


@dataclass(frozen=True, slots=True)
class WaitingRecord:
    """One record that was set aside. ``deadline_at`` is None while it waits behind another of its key."""

    id: str
    record: LogRecord
    version: int | None
    waits_for: str
    first_at: datetime
    deadline_at: datetime | None
    next_try_at: datetime
    attempts: int

    def has_expired(self, now: datetime) -> bool:
        """Tell whether it may wait no longer."""
        return self.deadline_at is not None and self.deadline_at <= now


@dataclass(frozen=True, slots=True)
class WaitingSummary:
    """How many records of a group wait, and since when the oldest does."""

    records: int = 0
    oldest_at: datetime | None = None

    def oldest_age_seconds(self, now: datetime) -> float:
        """Return the age of the oldest, 0 if none waits."""
        return max((now - self.oldest_at).total_seconds(), 0.0) if self.oldest_at else 0.0


class WaitingRecords:
    """The waiting records of one group."""

    def __init__(self, store: Store, group: str) -> None:
        self._store = store
        self._group = group
        self._table = store.tables.waiting_events

    async def due(self, now: datetime) -> list[WaitingRecord]:
        """Return the next records to try, oldest first: of each key only the first."""
        statement = (
            select(self._table)
            .where(self._is_first(), is_due(self._table.c.next_try_at, now, longest=WAIT_MAX))
            .order_by(*self._order())
            .limit(RECORDS_PER_TURN_MAX)
        )
        async with self._store.read() as connection:
            return [_record(row) for row in await connection.execute(statement)]

    async def next_try_at(self) -> datetime | None:
        """Return when the next record is due; None if none waits."""
        statement = select(func.min(self._table.c.next_try_at, type_=UTCDateTime)).where(self._is_first())
        async with self._store.read() as connection:
            moment: datetime | None = await connection.scalar(statement)
            return moment

    async def any_pending(self, now: datetime) -> bool:
        """Tell whether a record is due, or has not been tried again since it was set aside.

        Any other waits for something that nothing here is bringing just now.
        """
        has_turn = is_due(self._table.c.next_try_at, now, longest=WAIT_MAX)
        is_pending = or_(has_turn, self._table.c.attempts == 0)
        async with self._store.read() as connection:
            statement = select(exists().where(self._is_first(), is_pending))
            return bool((await connection.execute(statement)).scalar_one())

    async def summary(self) -> WaitingSummary:
        """Count them."""
        statement = select(func.count(), func.min(self._table.c.first_at, type_=UTCDateTime)).where(
            self._table.c.group_name == self._group
        )
        async with self._store.read() as connection:
            count, oldest = (await connection.execute(statement)).one()
            return WaitingSummary(count, oldest)

    async def oldest(self, limit: int) -> list[WaitingRecord]:
        """Return those that have waited longest."""
        statement = (
            select(self._table)
            .where(self._table.c.group_name == self._group)
            .order_by(*self._order())
            .limit(limit)
        )
        async with self._store.read() as connection:
            return [_record(row) for row in await connection.execute(statement)]

    async def of_keys(
        self, unit_of_work: UnitOfWork, arrivals: Sequence[IncomingEvent]
    ) -> dict[Place, list[WaitingRecord]]:
        """Return, by topic and key, what waits already of the keys that arrive."""
        wanted: defaultdict[str, set[str]] = defaultdict(set)
        for topic, event in arrivals:
            wanted[topic.name].add(event.subject)
        dialect = unit_of_work.connection.dialect.name
        found: defaultdict[Place, list[WaitingRecord]] = defaultdict(list)
        for name, keys in wanted.items():
            rows = await unit_of_work.connection.execute(
                _of_keys(unit_of_work.tables.waiting_events, dialect),
                {"group": self._group, "topic": name, "keys": list_values(sorted(keys), dialect)},
            )
            for row in rows:
                found[name, row.key].append(_record(row))
        return found

    async def put(self, unit_of_work: UnitOfWork, records: Sequence[WaitingRecord]) -> None:
        """Write down that records wait."""
        table = unit_of_work.tables.waiting_events
        await upsert(unit_of_work.connection, table, [_row(self._group, one) for one in records])

    async def forget(self, unit_of_work: UnitOfWork, ids: Collection[str]) -> None:
        """These records wait no longer."""
        if not ids:
            return
        table = unit_of_work.tables.waiting_events
        dialect = unit_of_work.connection.dialect.name
        await unit_of_work.connection.execute(delete(table).where(in_list(table.c.id, sorted(ids), dialect)))

    def _is_first(self) -> ColumnElement[bool]:
        """Whether a row of this group is the oldest of its key."""
        table, earlier = self._table, self._table.alias("earlier")
        is_older = or_(
            earlier.c.first_at < table.c.first_at,
            and_(earlier.c.first_at == table.c.first_at, earlier.c.offset < table.c.offset),
        )
        of_its_key = and_(
            earlier.c.group_name == table.c.group_name,
            earlier.c.topic == table.c.topic,
            earlier.c.key == table.c.key,
        )
        return and_(table.c.group_name == self._group, ~exists().where(of_its_key, is_older))

    def _order(self) -> list[ColumnElement[Any]]:
        return [self._table.c.first_at, self._table.c.partition, self._table.c.offset]


async def wake_waiting(unit_of_work: UnitOfWork, arrived: Collection[str]) -> None:
    """Let every record that waits for one of these be tried once this transaction is committed.

    ``arrived`` holds the words that handlers give as ``NotReadyError.waits_for``.
    """
    if not arrived:
        return
    dialect = unit_of_work.connection.dialect.name
    woken = await unit_of_work.connection.execute(
        _wake(unit_of_work.tables.waiting_events, dialect),
        {"now": unit_of_work.clock.now(), "arrived": list_values(sorted(arrived), dialect)},
    )
    if woken.rowcount:
        unit_of_work.has_arrivals = True


async def forget_waiting(unit_of_work: UnitOfWork, topic: str, mentioned: Collection[str]) -> int:
    """Delete the records of a topic whose JSON payload has one of these texts; return how many.

    For erasure: what an erased person wrote must not wait here. No index helps, and few records wait.
    """
    if not mentioned:
        return 0
    table = unit_of_work.tables.waiting_events
    rows = await unit_of_work.connection.execute(
        select(table.c.id, table.c.value).where(table.c.topic == topic)
    )
    ids = [
        row.id
        for row in rows
        if row.value is not None and any(one.encode() in row.value for one in mentioned)
    ]
    if ids:
        dialect = unit_of_work.connection.dialect.name
        await unit_of_work.connection.execute(delete(table).where(in_list(table.c.id, ids, dialect)))
    return len(ids)


def next_wait(attempts: int) -> timedelta:
    """Return how long to wait after so many tries in vain."""
    factor: int = 2 ** min(attempts, 16)
    return min(FIRST_WAIT * factor, WAIT_MAX)


def _record(row: Any) -> WaitingRecord:
    headers = [(name, text.encode()) for name, text in row.headers]
    # "offset" and "partition" are methods of some row classes elsewhere; the mapping is plain.
    columns: Mapping[str, Any] = row._mapping  # noqa: SLF001 - SQLAlchemy's documented name
    record = LogRecord(
        row.topic, columns["partition"], columns["offset"], row.key, headers, row.value, row.published_at
    )
    return WaitingRecord(
        row.id,
        record,
        row.version,
        row.waits_for,
        row.first_at,
        row.deadline_at,
        row.next_try_at,
        row.attempts,
    )


def _row(group: str, one: WaitingRecord) -> dict[str, Any]:
    return {
        "id": one.id,
        "group_name": group,
        "topic": one.record.topic,
        "partition": one.record.partition,
        "offset": one.record.offset,
        "key": one.record.key,
        "version": one.version,
        "headers": [[name, raw.decode(errors="replace")] for name, raw in one.record.headers],
        "value": one.record.value,
        "published_at": one.record.published_at,
        "waits_for": one.waits_for,
        "first_at": one.first_at,
        "deadline_at": one.deadline_at,
        "next_try_at": one.next_try_at,
        "attempts": one.attempts,
    }


@lru_cache(maxsize=64)
def _of_keys(table: Table, dialect: str) -> Select[Any]:
    """Built once per service: it is asked for every batch."""
    return (
        select(table)
        .where(
            table.c.group_name == bindparam("group"),
            table.c.topic == bindparam("topic"),
            in_list_parameter(table.c.key, "keys", dialect),
        )
        .order_by(table.c.first_at, table.c.offset)
    )


@lru_cache(maxsize=64)
def _wake(table: Table, dialect: str) -> Update:
    return (
        update(table)
        .where(in_list_parameter(table.c.waits_for, "arrived", dialect))
        .values(next_try_at=bindparam("now", type_=UTCDateTime))
    )
