"""What a store promises of a server that other processes use, and that goes away and comes back."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, insert, select, text, update

from shared.clock import Clock, SystemClock
from shared.errors import TransientError
from shared.store.engine import Store
from tests.servers.fixtures import OwnServers
from tests.support.databases import Databases
from tests.support.ledger_service import STATES, ledger_store

pytestmark = pytest.mark.cluster


@pytest.fixture
async def store(postgres_databases: Databases, clock: Clock) -> AsyncIterator[Store]:
    """An open store with two rows."""
    opened = ledger_store(await postgres_databases.url("ledger"), clock)
    await opened.open()
    async with opened.unit_of_work() as work:
        rows = [{"key": key, "views": 0, "version": 1} for key in ("a", "b")]
        await work.connection.execute(insert(STATES), rows)
    yield opened
    await opened.close()


async def test_replicas_that_start_side_by_side_migrate_once(postgres_databases: Databases) -> None:
    url = await postgres_databases.url("fresh")
    stores = [ledger_store(url, SystemClock()) for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    async with stores[3].read() as connection:
        versions = await connection.execute(text("SELECT version_num FROM alembic_version"))
        assert versions.scalars().all() == ["0001"]
    await asyncio.gather(*(store.close() for store in stores))


async def test_one_of_two_transactions_that_block_each_other_is_told_to_try_again(store: Store) -> None:
    has_both = asyncio.Barrier(2)

    async def write(first: str, second: str) -> str:
        try:
            async with store.unit_of_work() as work:
                await work.connection.execute(update(STATES).where(STATES.c.key == first).values(views=1))
                await has_both.wait()
                await work.connection.execute(update(STATES).where(STATES.c.key == second).values(views=1))
        except TransientError as error:
            return str(error)
        return "written"

    told, written = sorted(await asyncio.gather(write("a", "b"), write("b", "a")))
    assert "deadlock detected" in told
    assert written == "written"


async def test_a_connection_that_is_lost_mid_transaction_leaves_nothing_and_the_next_is_whole(
    store: Store,
) -> None:
    async def write(*, killed: bool) -> None:
        async with store.unit_of_work() as work:
            await work.connection.execute(update(STATES).values(views=7))
            if killed:
                backend = (await work.connection.execute(select(func.pg_backend_pid()))).scalar_one()
                async with store.dedicated() as other:
                    await other.execute(select(func.pg_terminate_backend(backend)))
            await work.connection.execute(update(STATES).values(version=2))

    with pytest.raises(TransientError, match="ledger is away"):
        await write(killed=True)
    async with store.read() as connection:
        assert (await connection.execute(select(func.sum(STATES.c.views)))).scalar_one() == 0
    await write(killed=False)
    async with store.read() as connection:
        assert (await connection.execute(select(func.sum(STATES.c.views)))).scalar_one() == 14


async def test_a_server_that_is_down_is_away_for_now_and_back_when_it_is_back(
    own_servers: OwnServers, clock: Clock
) -> None:
    server = own_servers.postgres()
    store = ledger_store(f"{server.address}/postgres", clock)
    await store.open()
    await asyncio.to_thread(server.stop)

    async def write() -> None:
        async with store.unit_of_work() as work:
            await work.connection.execute(insert(STATES), [{"key": "a", "views": 1, "version": 1}])

    async def look() -> int:
        async with store.read() as connection:
            return int((await connection.execute(select(func.sum(STATES.c.views)))).scalar_one())

    for act in (write, look):
        with pytest.raises(TransientError, match="ledger is away"):
            await act()
    closed = ledger_store(f"{server.address}/postgres", clock)
    with pytest.raises(TransientError, match="ledger is away"):
        await closed.open()
    await asyncio.to_thread(server.start)
    await write()
    assert await look() == 1
    await store.close()
