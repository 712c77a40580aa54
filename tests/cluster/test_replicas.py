"""Replicas of one service on one PostgreSQL: who publishes what, and who does which work."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text, update

from shared.clock import Clock, SystemClock
from shared.errors import TransientError
from shared.events.envelope import decode
from shared.events.topics import TOPICS
from shared.events.usage import HitRecorded
from shared.jobs.exclusive_lock import exclusive_lock
from shared.jobs.recurring_work import RecurringWork
from shared.log.sqlite.event_log import SQLiteEventLog
from shared.outbox.relay import OutboxRelay, RelaySettings
from shared.outbox.shard_lease import LockedShardLease
from shared.store.delivery_tables import OUTBOX_SHARDS
from shared.store.engine import Store
from shared.store.session_locks import SessionLocks
from tests.support.databases import Databases
from tests.support.ledger_service import STATES, Ledger, dataset_id, ledger_store
from tests.support.log_bench import until

pytestmark = pytest.mark.cluster
QUICK = RelaySettings(rows_max=7, poll_seconds=0.02, pause_seconds_min=0.01, pause_seconds_max=0.05)
KEYS = 12
EVENTS_PER_WRITER = 150
WRITERS = 4
LOOK_SECONDS = 0.05
LOCK_HOLDERS = text(
    "SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory' AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
TERMINATE = text("SELECT pg_terminate_backend(:pid)")


@pytest.fixture
async def stores(postgres_databases: Databases) -> AsyncIterator[list[Store]]:
    """Two replicas' stores over one database."""
    url = await postgres_databases.url("ledger")
    opened = [ledger_store(url, SystemClock()) for _ in range(2)]
    for store in opened:
        await store.open()
    yield opened
    for store in opened:
        await store.close()


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SQLiteEventLog]:
    opened = SQLiteEventLog(tmp_path / "log", clock=SystemClock(), partitions=4)
    await opened.open()
    await opened.ensure_topics([TOPICS["usage.hits"]])
    yield opened
    await opened.close()


def shards_of(store: Store) -> LockedShardLease:
    return LockedShardLease(store, SystemClock(), look_seconds=LOOK_SECONDS)


async def look(*replicas: LockedShardLease) -> list[set[int]]:
    """Let each look twice, so that what one gives up is taken by another."""
    for _ in range(2):
        await asyncio.sleep(LOOK_SECONDS)
        found = [set(await shards.owned()) for shards in replicas]
    return found


@asynccontextmanager
async def relaying(store: Store, log: SQLiteEventLog) -> AsyncIterator["asyncio.Task[None]"]:
    """Run a relay for the length of the block."""
    stop = asyncio.Event()
    relay = OutboxRelay(store=store, log=log, clock=SystemClock(), shards=shards_of(store), settings=QUICK)
    task = asyncio.create_task(relay.run(stop))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)


async def write(ledger: Ledger, writer: int) -> None:
    """Emit events of all keys; a key's row gives each its number, under its lock."""
    for number in range(EVENTS_PER_WRITER):
        key = f"{(writer + number) % KEYS:02}"
        async with ledger.store.unit_of_work() as work:
            row = select(STATES.c.version).where(STATES.c.key == key).with_for_update()
            version = (await work.connection.execute(row)).scalar_one() + 1
            await work.connection.execute(update(STATES).where(STATES.c.key == key).values(version=version))
            ledger.emit_hit(work, f"{key}/{version}", key)
            if number % 5 == 0:
                await asyncio.sleep(0.002)  # ids become visible out of order where transactions overlap


async def kill_one_session(store: Store) -> None:
    """Cut the connection of one replica that holds locks, as soon as there is one."""
    async with store.dedicated() as connection:

        async def cut() -> bool:
            pid = (await connection.execute(LOCK_HOLDERS)).scalars().first()
            return (
                pid is not None and (await connection.execute(TERMINATE, {"pid": pid})).scalar_one() is True
            )

        await until(cut)


async def published(log: SQLiteEventLog) -> dict[str, list[str]]:
    """Partition key → dataset ids in the order of the log, repeats left out."""
    found: dict[str, list[str]] = defaultdict(list)
    for place in await log.end_offsets("usage.hits"):
        for record in await log.read(place, from_offset=0, records_max=100_000):
            told = str(decode(record.headers, record.value).payload(HitRecorded).hit.dataset_id)
            if told not in found[record.key]:
                found[record.key].append(told)
    return found


async def test_every_shard_has_one_owner_and_replicas_share_them_evenly(stores: Sequence[Store]) -> None:
    first, second = shards_of(stores[0]), shards_of(stores[1])
    assert await look(first) == [set(range(OUTBOX_SHARDS))]
    one, two = await look(first, second)
    assert (len(one), len(two), one | two) == (8, 8, set(range(OUTBOX_SHARDS)))
    await first.close()
    assert await look(second) == [set(range(OUTBOX_SHARDS))]
    await second.close()


async def test_a_replica_that_lost_its_session_is_told_before_it_publishes_again(
    stores: Sequence[Store],
) -> None:
    shards = LockedShardLease(stores[0], SystemClock(), look_seconds=60)
    assert set(await shards.owned()) == set(range(OUTBOX_SHARDS))
    await kill_one_session(stores[1])
    with pytest.raises(TransientError, match="ledger is away"):
        await shards.owned()
    assert set(await shards.owned()) == set(range(OUTBOX_SHARDS))
    await shards.close()


async def test_each_key_keeps_its_order_and_nothing_is_lost_with_four_writers_and_a_killed_relay(
    stores: Sequence[Store], log: SQLiteEventLog, clock: Clock
) -> None:
    keys = [f"{number:02}" for number in range(KEYS)]
    async with stores[0].unit_of_work() as work:
        await work.connection.execute(
            insert(STATES), [{"key": key, "views": 0, "version": 0} for key in keys]
        )
    ledgers = [Ledger(stores[number % 2]) for number in range(WRITERS)]
    async with relaying(stores[0], log), relaying(stores[1], log):
        writing = asyncio.gather(*(write(ledger, number) for number, ledger in enumerate(ledgers)))
        for _ in range(3):
            await asyncio.sleep(0.2)
            await kill_one_session(stores[0])
        await writing
        watcher = OutboxRelay(store=stores[0], log=log, clock=clock)
        await until(watcher.drained)
    async with stores[0].read() as connection:
        rows = (await connection.execute(select(STATES.c.key, STATES.c.version))).all()
    assert sum(row.version for row in rows) == WRITERS * EVENTS_PER_WRITER
    expected = {
        row.key: [str(dataset_id(f"{row.key}/{number}")) for number in range(1, row.version + 1)]
        for row in rows
    }
    assert await published(log) == expected


async def test_one_replica_at_a_time_does_a_portion_and_any_does_the_next(stores: Sequence[Store]) -> None:
    locks = [SessionLocks(store, "recurring work") for store in stores]
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def portion() -> int:
        begun.set()
        await go_on.wait()
        return 1

    async def nothing() -> int:
        return 0

    work = RecurringWork("ledger.tidy", 1.0, portion, nothing)
    mine, other = (exclusive_lock(work, each) for each in locks)
    running = asyncio.ensure_future(mine.run_once())
    await begun.wait()
    assert await other.run_once() == 0
    go_on.set()
    assert await running == 1
    assert await other.run_once() == 1
    for each in locks:
        await each.close()


async def test_work_of_a_replica_that_died_is_done_by_another(stores: Sequence[Store]) -> None:
    locks = [SessionLocks(store, "recurring work") for store in stores]
    assert await locks[0].try_lock(7)
    assert not await locks[1].try_lock(7)
    await kill_one_session(stores[1])
    await until(lambda: locks[1].try_lock(7))
    with pytest.raises(TransientError):
        await locks[0].unlock(7)
    for each in locks:
        await each.close()
