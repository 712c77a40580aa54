"""Ids read from any store are plain ones: they can be written as JSON like those that were just made."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import orjson
import pytest
from sqlalchemy import insert, select

from services.governance.bootstrap import bootstrap
from services.governance.migrations.tables import PEOPLE
from services.governance.settings import GovernanceSettings
from shared.clock import SimulatedClock
from shared.identity.signing_key import SigningKey
from shared.store.engine import Store
from tests.support.databases import Databases


@pytest.fixture
async def store(clock: SimulatedClock, databases: Databases) -> AsyncIterator[Store]:
    url = await databases.url("governance")
    built = bootstrap(GovernanceSettings(), database_url=url, clock=clock, signing_key=SigningKey.generate())
    await built.service.store.open()
    yield built.service.store
    await built.service.store.close()


async def test_an_id_that_was_stored_is_read_as_a_plain_one(store: Store, clock: SimulatedClock) -> None:
    person_id = uuid4()
    row = {"person_id": person_id, "version": 1, "changed_at": clock.now(), "erased": False}
    async with store.unit_of_work() as work:
        await work.connection.execute(insert(PEOPLE).values(row))
    async with store.read() as connection:
        found = await connection.scalar(select(PEOPLE.c.person_id).where(PEOPLE.c.person_id == person_id))
        among = await connection.scalar(select(PEOPLE.c.person_id).where(PEOPLE.c.person_id.in_([person_id])))
    assert found == among == person_id
    assert type(found) is UUID
    assert orjson.loads(orjson.dumps(found)) == str(person_id)
