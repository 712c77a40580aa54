"""A replica's name on one PostgreSQL: one process has it at a time, and it outlives no process."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from shared.clock import SystemClock
from shared.errors import ReplicaFencedError, TransientError
from shared.store.engine import Store
from shared.store.replica_names import ReplicaName
from tests.support.databases import Databases
from tests.support.ledger_service import ledger_store

pytestmark = pytest.mark.cluster
TERMINATE_HOLDERS = text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@pytest.fixture
async def store(postgres_databases: Databases) -> AsyncIterator[Store]:
    opened = ledger_store(await postgres_databases.url("ledger"), SystemClock())
    await opened.open()
    yield opened
    await opened.close()


def name_of(store: Store, replica: str, group: str = "usage.signals") -> ReplicaName:
    return ReplicaName(store, group, replica, clock=SystemClock(), wait_seconds_max=0.1)


async def test_a_name_is_refused_to_a_second_process_until_the_first_has_left(store: Store) -> None:
    first, second = name_of(store, "stream-0"), name_of(store, "stream-0")
    others = [name_of(store, "stream-1"), name_of(store, "stream-0", "usage.other")]
    await first.hold()
    await first.hold()
    with pytest.raises(ReplicaFencedError, match=r"stream-0 .* usage\.signals.*NUTMEG_KAFKA_REPLICA"):
        await second.hold()
    for other in others:
        await other.hold()
    await first.close()
    await second.hold()
    for name in (second, *others):
        await name.close()


async def test_who_lost_the_name_with_its_connection_takes_it_again_or_learns_that_another_has_it(
    store: Store,
) -> None:
    first, second = name_of(store, "stream-0"), name_of(store, "stream-0")
    await first.hold()
    for fenced in (False, True):
        async with store.dedicated() as connection:
            assert (await connection.execute(TERMINATE_HOLDERS)).scalar_one() == 1
        if fenced:
            await second.hold()
        with pytest.raises(TransientError):
            await first.hold()
        if not fenced:
            await first.hold()
            with pytest.raises(ReplicaFencedError):
                await second.hold()
    with pytest.raises(ReplicaFencedError):
        await first.hold()
    for name in (first, second):
        await name.close()
