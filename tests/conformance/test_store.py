"""What every store promises, whatever database it stands on. SQLite and PostgreSQL."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zlib import crc32

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.clock import Clock
from shared.errors import EventTooLargeError, TransientError
from shared.events.envelope import decode
from shared.events.registry import ROLLUP_UPDATED
from shared.events.usage import Rollup, RollupUpdated
from shared.outbox.outbox_drained import outbox_drained
from shared.store.delivery_tables import OUTBOX_SHARDS
from shared.store.engine import Store, sqlite_url
from shared.store.types import Blob, JSONDocument, UTCDateTime
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert
from shared.telemetry.tracing import new_traceparent, use_traceparent
from tests.support.databases import Databases
from tests.support.ledger_service import STATES, THE_DAY, dataset_id, ledger_store

VALUES = Table(
    "typed_values",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("moment", UTCDateTime, nullable=True),
    Column("document", JSONDocument, nullable=True),
    Column("blob", Blob, nullable=True),
    Column("words", String(50), nullable=True),
)
ROLLUP = RollupUpdated(
    rollup=Rollup(dataset_id=dataset_id("a"), granularity="day", window_start=THE_DAY, views=1)
)


@pytest.fixture
async def store(databases: Databases, clock: Clock) -> AsyncIterator[Store]:
    """An open store."""
    opened = ledger_store(await databases.url("ledger"), clock)
    await opened.open()
    async with opened.unit_of_work() as unit_of_work:
        await unit_of_work.connection.run_sync(VALUES.metadata.create_all)
    yield opened
    await opened.close()


async def count(store: Store, table: Table) -> int:
    async with store.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


async def views(connection: AsyncConnection, key: str) -> int | None:
    return (await connection.execute(select(STATES.c.views).where(STATES.c.key == key))).scalar_one_or_none()


async def test_rows_and_events_are_committed_together(store: Store) -> None:
    async with store.unit_of_work() as unit_of_work:
        await unit_of_work.connection.execute(insert(STATES), [{"key": "a", "views": 1, "version": 1}])
        event = unit_of_work.emit(ROLLUP_UPDATED, ROLLUP, subject="a/day", subjectversion=1)
    assert await count(store, STATES) == 1
    async with store.read() as connection:
        (row,) = (await connection.execute(select(store.tables.outbox))).all()
    assert (row.topic, row.key, row.partition_key) == ("usage.rollups", "a/day", str(dataset_id("a")))
    assert row.shard == crc32(row.partition_key.encode()) % OUTBOX_SHARDS
    assert row.published_at is None
    assert decode([(name, text.encode()) for name, text in row.headers], row.value) == event


async def test_nothing_is_left_of_a_unit_of_work_that_raised(store: Store) -> None:
    called = []

    async def write() -> None:
        async with store.unit_of_work() as unit_of_work:
            await unit_of_work.connection.execute(insert(STATES), [{"key": "a", "views": 1, "version": 1}])
            unit_of_work.emit(ROLLUP_UPDATED, ROLLUP, subject="a", subjectversion=1)
            unit_of_work.after_commit(lambda: called.append(True))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write()
    assert (await count(store, STATES), await count(store, store.tables.outbox), called) == (0, 0, [])


async def test_nothing_is_left_of_a_unit_of_work_that_was_cancelled(store: Store) -> None:
    begun = asyncio.Event()

    async def write() -> None:
        async with store.unit_of_work() as unit_of_work:
            await unit_of_work.connection.execute(insert(STATES), [{"key": "a", "views": 1, "version": 1}])
            begun.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(write())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await count(store, STATES) == 0
    async with store.unit_of_work() as unit_of_work:
        await unit_of_work.connection.execute(insert(STATES), [{"key": "b", "views": 1, "version": 1}])
    assert await count(store, STATES) == 1


async def test_an_event_above_the_limit_ends_its_transaction(store: Store) -> None:
    large = ROLLUP.model_copy(
        update={"rollup": ROLLUP.rollup.model_copy(update={"granularity": "x" * 1_000_000})}
    )

    async def write() -> None:
        async with store.unit_of_work() as unit_of_work:
            await unit_of_work.connection.execute(insert(STATES), [{"key": "a", "views": 1, "version": 1}])
            unit_of_work.emit(ROLLUP_UPDATED, large, subject="a", subjectversion=1)

    with pytest.raises(EventTooLargeError, match="granularity"):
        await write()
    assert await count(store, STATES) == 0


async def test_entity_state_without_a_version_is_refused_where_it_is_emitted(store: Store) -> None:
    with pytest.raises(ValueError, match="subjectversion"):
        async with store.unit_of_work() as unit_of_work:
            unit_of_work.emit(ROLLUP_UPDATED, ROLLUP, subject="a")


async def test_reading_and_writing_back_at_the_same_time_loses_no_addition(store: Store) -> None:
    async with store.unit_of_work() as unit_of_work:
        await unit_of_work.connection.execute(insert(STATES), [{"key": "a", "views": 0, "version": 1}])

    async def add_one() -> None:
        async with store.unit_of_work() as unit_of_work:
            before = (
                await unit_of_work.connection.execute(
                    select(STATES.c.views).where(STATES.c.key == "a").with_for_update()
                )
            ).scalar_one()
            await asyncio.sleep(0.005)
            await unit_of_work.connection.execute(
                update(STATES).where(STATES.c.key == "a").values(views=before + 1)
            )

    await asyncio.gather(*(add_one() for _ in range(5)))
    async with store.read() as connection:
        assert await views(connection, "a") == 5


async def test_two_stores_on_one_database_lose_no_addition_either(
    store: Store, tmp_path: Path, clock: Clock
) -> None:
    other = Store(
        store.url,
        service="ledger",
        metadata=store.metadata,
        tables=store.tables,
        migrations=store._migrations,
        clock=clock,
    )
    await other.open()
    async with store.unit_of_work() as unit_of_work:
        await unit_of_work.connection.execute(insert(STATES), [{"key": "a", "views": 0, "version": 1}])

    async def add_one(of: Store) -> None:
        async with of.unit_of_work() as unit_of_work:
            statement = select(STATES.c.views).where(STATES.c.key == "a").with_for_update()
            before = (await unit_of_work.connection.execute(statement)).scalar_one()
            await asyncio.sleep(0.005)
            await unit_of_work.connection.execute(
                update(STATES).where(STATES.c.key == "a").values(views=before + 1)
            )

    await asyncio.gather(*(add_one(of) for of in (store, other) * 3))
    async with store.read() as connection:
        assert await views(connection, "a") == 6
    await other.close()


async def test_readers_see_only_what_is_committed_and_do_not_wait_for_the_writer(store: Store) -> None:
    async with store.unit_of_work() as unit_of_work:
        await unit_of_work.connection.execute(insert(STATES), [{"key": "a", "views": 1, "version": 1}])
        async with store.read() as connection:
            assert await views(connection, "a") is None
    async with store.read() as connection:
        assert await views(connection, "a") == 1


async def test_a_reader_sees_one_moment_throughout(store: Store) -> None:
    async with store.unit_of_work() as unit_of_work:
        await unit_of_work.connection.execute(insert(STATES), [{"key": "a", "views": 1, "version": 1}])
    async with store.read() as connection:
        assert await views(connection, "a") == 1
        async with store.unit_of_work() as unit_of_work:
            await unit_of_work.connection.execute(update(STATES).values(views=2))
        assert await views(connection, "a") == 1


async def test_a_reading_connection_cannot_write(store: Store) -> None:
    with pytest.raises(TransientError, match=r"read-?only"):
        async with store.read() as connection:
            await connection.execute(insert(STATES), [{"key": "a", "views": 1, "version": 1}])


async def test_callbacks_run_after_the_commit_and_the_relay_is_woken_once(store: Store) -> None:
    seen: list[str] = []
    store.on_emitted.append(lambda: seen.append("woken"))
    async with store.unit_of_work() as unit_of_work:
        unit_of_work.after_commit(lambda: seen.append("committed"))
        for version in (1, 2, 3):
            unit_of_work.emit(ROLLUP_UPDATED, ROLLUP, subject="a", subjectversion=version)
        assert seen == []
    assert seen == ["committed", "woken"]
    async with store.unit_of_work():
        pass
    assert seen == ["committed", "woken"]


async def test_what_a_unit_of_work_held_goes_with_it(store: Store) -> None:
    """A callback that holds the batch that holds the unit of work must not keep all of them in a ring."""

    class Batch:
        work: UnitOfWork

    async def write() -> weakref.ref[Batch]:
        batch = Batch()
        async with store.unit_of_work() as batch.work:
            batch.work.emit(ROLLUP_UPDATED, ROLLUP, subject="a", subjectversion=1)
            batch.work.after_commit(lambda: seen.append(type(batch)))
        return weakref.ref(batch)

    seen: list[type] = []
    gc.disable()
    try:
        left = await write()
        assert (seen, left()) == ([Batch], None)
    finally:
        gc.enable()


async def test_who_waits_for_publishing_waits_for_what_is_committed_and_for_nothing_later(
    store: Store,
) -> None:
    outbox = store.tables.outbox

    async def emit(subject: str, version: int = 1) -> None:
        async with store.unit_of_work() as work:
            work.emit(ROLLUP_UPDATED, ROLLUP, subject=subject, subjectversion=version)

    assert await outbox_drained(store, seconds_max=0)
    await emit("a")
    assert not await outbox_drained(store, seconds_max=0.1)
    waiting = asyncio.create_task(outbox_drained(store, seconds_max=30))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await emit("b")
    async with store.unit_of_work() as work:
        of_a = update(outbox).where(outbox.c.key == "a")
        await work.connection.execute(of_a.values(published_at=work.clock.now()))
    assert await waiting


async def test_emitted_events_continue_the_correlation_and_the_trace_of_their_cause(store: Store) -> None:
    trace = new_traceparent()
    with use_traceparent(trace):
        async with store.unit_of_work() as unit_of_work:
            first = unit_of_work.emit(ROLLUP_UPDATED, ROLLUP, subject="a", subjectversion=1)
    async with store.unit_of_work() as unit_of_work:
        second = unit_of_work.emit(ROLLUP_UPDATED, ROLLUP, subject="a", subjectversion=2, cause=first)
        unit_of_work.cause = second
        end = unit_of_work.emit_tombstone(ROLLUP_UPDATED, subject="a", partition_key="a", subjectversion=3)
    assert [first.traceparent, second.traceparent, end.traceparent] == [trace] * 3
    assert [first.correlationid, second.correlationid, end.correlationid] == [first.id] * 3
    assert [first.causationid, second.causationid, end.causationid] == [None, first.id, second.id]


async def test_upsert_inserts_and_replaces(store: Store) -> None:
    async with store.unit_of_work() as unit_of_work:
        row = {"key": "a", "views": 1, "version": 1}
        await upsert(unit_of_work.connection, STATES, [row, {**row, "key": "b"}])
        await upsert(unit_of_work.connection, STATES, [{**row, "views": 7}, {**row, "key": "c"}])
    async with store.read() as connection:
        rows = (await connection.execute(select(STATES.c.key, STATES.c.views).order_by("key"))).all()
    assert [tuple(row) for row in rows] == [("a", 7), ("b", 1), ("c", 1)]


async def test_upsert_with_an_empty_update_keeps_the_old_row(store: Store) -> None:
    async with store.unit_of_work() as unit_of_work:
        await upsert(unit_of_work.connection, STATES, [{"key": "a", "views": 1, "version": 1}])
        await upsert(unit_of_work.connection, STATES, [{"key": "a", "views": 9, "version": 9}], update=[])
        await upsert(unit_of_work.connection, STATES, [])
    async with store.read() as connection:
        assert await views(connection, "a") == 1


async def test_moments_come_back_in_utc_and_sort_by_time(store: Store) -> None:
    east = timezone(timedelta(hours=5))
    moments = [
        datetime(2026, 3, 2, 4, tzinfo=east),
        datetime(2026, 3, 2, 0, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 3, 2, tzinfo=UTC),
    ]
    async with store.unit_of_work() as unit_of_work:
        rows = [{"id": n, "moment": moment} for n, moment in enumerate(moments)]
        await unit_of_work.connection.execute(insert(VALUES), rows)
    async with store.read() as connection:
        found = (await connection.execute(select(VALUES.c.moment).order_by(VALUES.c.moment))).scalars().all()
        later = select(func.count()).where(VALUES.c.moment > datetime(2026, 3, 1, 23, 30, tzinfo=UTC))
        assert (await connection.execute(later)).scalar_one() == 2
    assert list(found) == sorted(moments)
    assert all(moment is not None and moment.utcoffset() == timedelta(0) for moment in found)


async def test_a_moment_without_a_zone_is_refused(store: Store) -> None:
    with pytest.raises(StatementError, match="no zone"):
        async with store.unit_of_work() as unit_of_work:
            await unit_of_work.connection.execute(
                insert(VALUES),
                [{"id": 1, "moment": datetime(2026, 3, 2)}],  # noqa: DTZ001
            )


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, "é"]}, [], "text", 0, False, {"nested": {"x": {}}}])
async def test_json_documents_come_back_as_they_were(store: Store, value: object) -> None:
    async with store.unit_of_work() as unit_of_work:
        await unit_of_work.connection.execute(insert(VALUES), [{"id": 1, "document": value}])
    async with store.read() as connection:
        assert (await connection.execute(select(VALUES.c.document))).scalar_one() == value


async def test_nothing_is_nothing_in_every_type(store: Store) -> None:
    async with store.unit_of_work() as unit_of_work:
        given = {"moment": None, "document": None, "blob": None, "words": None}
        await unit_of_work.connection.execute(insert(VALUES), [{"id": 1} | given])
        await unit_of_work.connection.execute(insert(VALUES), [{"id": 2}])
    async with store.read() as connection:
        rows = (await connection.execute(select(VALUES).order_by("id"))).all()
        without = select(func.count()).where(VALUES.c.document.is_(None))
        assert [tuple(row)[1:] for row in rows] == [(None, None, None, None)] * 2
        assert (await connection.execute(without)).scalar_one() == 2


async def test_a_wrong_statement_is_no_passing_trouble(store: Store) -> None:
    async def write_twice() -> None:
        async with store.unit_of_work() as unit_of_work:
            row = {"key": "a", "views": 1, "version": 1}
            await unit_of_work.connection.execute(insert(STATES), [row])
            await unit_of_work.connection.execute(insert(STATES), [row])

    with pytest.raises(IntegrityError):
        await write_twice()
    with pytest.raises(DBAPIError, match="no_such_table"):
        async with store.unit_of_work() as unit_of_work:
            await unit_of_work.connection.exec_driver_sql("SELECT * FROM no_such_table")


@pytest.mark.parametrize("error", [TimeoutError("a handler's own"), ValueError("a bad value")])
async def test_what_the_caller_raises_is_not_taken_for_an_absent_store(
    store: Store, error: Exception
) -> None:
    with pytest.raises(type(error), match=str(error)):
        async with store.unit_of_work():
            raise error
    with pytest.raises(type(error), match=str(error)):
        async with store.read():
            raise error


async def test_a_store_that_is_not_open_is_away_for_now(tmp_path: Path, clock: Clock) -> None:
    closed = ledger_store(sqlite_url(tmp_path / "x.sqlite3"), clock)
    with pytest.raises(TransientError, match="ledger is not open"):
        async with closed.unit_of_work():
            pass
    with pytest.raises(TransientError, match="ledger is not open"):
        async with closed.read():
            pass


async def test_opening_again_keeps_what_is_there(store: Store) -> None:
    async with store.unit_of_work() as unit_of_work:
        await unit_of_work.connection.execute(insert(STATES), [{"key": "a", "views": 1, "version": 1}])
    await store.close()
    await store.close()
    await store.open()
    assert await count(store, STATES) == 1
