"""PostgreSQL restarted in the midst of transactions: what was open leaves nothing, and work goes on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from shared.clock import SimulatedClock
from shared.consuming.consumer_state import LoopState
from shared.errors import TransientError
from shared.outbox.relay import OutboxRelay, RelaySettings
from shared.outbox.shard_lease import LockedShardLease
from shared.store import engine as engine_module
from tests.servers.fixtures import OwnServers
from tests.servers.postgres import Postgres
from tests.support.databases import Databases
from tests.support.ledger_service import STATES, Ledger, dataset_id, open_ledger
from tests.support.log_bench import Bench, open_bench, until

pytestmark = [pytest.mark.faults, pytest.mark.cluster]

RESTARTS = 4
HITS = 20


@pytest.fixture(scope="module")
def postgres(own_servers: OwnServers) -> Postgres:
    return own_servers.postgres()


@pytest.fixture
async def url(postgres: Postgres, tmp_path: Path) -> AsyncIterator[str]:
    """An empty database of the server that may be restarted."""
    databases = Databases(tmp_path, postgres.address)
    yield await databases.url("ledger")
    await databases.drop()


def restart(postgres: Postgres) -> None:
    postgres.stop_at_once()
    postgres.start()


async def rows(ledger: Ledger) -> tuple[int, int]:
    """How many states are kept, and how many events are to be published."""
    outbox = ledger.store.tables.outbox
    async with ledger.store.read() as connection:
        states = (await connection.execute(select(STATES))).all()
        return len(states), len((await connection.execute(select(outbox.c.id))).all())


async def test_a_transaction_cut_off_by_a_restart_leaves_nothing_and_the_next_is_whole(
    postgres: Postgres, url: str
) -> None:
    async with open_ledger(url) as ledger:

        async def write(*, cut_off: bool) -> None:
            async with ledger.store.unit_of_work() as work:
                await work.connection.execute(insert(STATES), [{"key": "a", "views": 1, "version": 1}])
                ledger.emit_hit(work, "a")
                if cut_off:
                    await asyncio.to_thread(restart, postgres)

        # The outbox row and the commit come after the restart.
        with pytest.raises(TransientError, match="store of ledger is away"):
            await write(cut_off=True)
        assert await rows(ledger) == (0, 0)
        await write(cut_off=False)
        assert await rows(ledger) == (1, 1)


async def test_a_read_cut_off_by_a_restart_is_a_passing_error_and_the_next_one_answers(
    postgres: Postgres, url: str
) -> None:
    async with open_ledger(url) as ledger:

        async def look_twice() -> None:
            async with ledger.store.read() as connection:
                await connection.execute(select(STATES))
                await asyncio.to_thread(restart, postgres)
                await connection.execute(select(STATES))

        with pytest.raises(TransientError, match="store of ledger is away"):
            await look_twice()
        assert await rows(ledger) == (0, 0)


@pytest.mark.parametrize("fresh_seconds", [0.0, 60.0])
async def test_a_connection_that_the_server_ended_while_it_rested_is_replaced_without_an_error(
    url: str, monkeypatch: pytest.MonkeyPatch, fresh_seconds: float
) -> None:
    monkeypatch.setattr(engine_module, "FRESH_SECONDS", fresh_seconds)
    async with open_ledger(url) as ledger, open_ledger(url) as other:
        assert await rows(ledger) == (0, 0)
        async with other.store.unit_of_work() as work:
            ended = await work.connection.scalars(
                text(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
            assert list(ended)
        if fresh_seconds:
            # The end of the socket has to be read; without it, only a question tells.
            await asyncio.sleep(0.2)
        assert await rows(ledger) == (0, 0)


async def test_a_connection_that_was_used_just_now_is_not_asked_whether_it_lives(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(PGDialect_asyncpg, "do_ping", lambda _dialect, connection: asked.append(connection))
    async with open_ledger(url) as ledger:
        monkeypatch.setattr(engine_module, "FRESH_SECONDS", 60.0)
        await rows(ledger)
        assert asked == []
        monkeypatch.setattr(engine_module, "FRESH_SECONDS", 0.0)
        await rows(ledger)
        assert len(asked) == 1


async def emit_through_restarts(bench: Bench, postgres: Postgres) -> list[str]:
    """Write while the server goes down again and again; a transaction that failed is tried again."""
    names = []
    for number in range(RESTARTS):
        await asyncio.to_thread(postgres.stop_at_once)
        starting = asyncio.create_task(asyncio.to_thread(postgres.start))
        names += [f"hit {number}/{one}" for one in range(HITS)]
        for name in names[-HITS:]:
            while True:
                try:
                    await bench.ledger.emit_hits([name])
                    break
                except TransientError:
                    await asyncio.sleep(0.05)
        await starting
    return names


async def test_a_loop_and_a_relay_go_on_by_themselves_after_restarts_and_count_each_event_once(
    postgres: Postgres, url: str, tmp_path: Path, clock: SimulatedClock
) -> None:
    async with open_bench(tmp_path, clock, partitions=4, database_url=url) as bench:
        relay = OutboxRelay(
            store=bench.ledger.store,
            log=bench.log,
            clock=clock,
            shards=LockedShardLease(bench.ledger.store, clock, look_seconds=0.05),
            settings=RelaySettings(poll_seconds=0.05, pause_seconds_max=0.1),
        )
        stop = asyncio.Event()
        relaying = asyncio.create_task(relay.run(stop))
        loop = bench.loop()
        async with bench.running(loop) as consuming:
            names = await emit_through_restarts(bench, postgres)
            await until(relay.drained, unless=relaying)
            await until(loop.drained, unless=consuming)
            assert loop.status().state is LoopState.RUNNING
        stop.set()
        await relaying
        assert await bench.ledger.hits() == {str(dataset_id(name)): 1 for name in names}
        assert await bench.dead_letters() == []
