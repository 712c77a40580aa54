"""A store with the tables that the HTTP and identity layers add, built as a service would."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Column, Integer, MetaData, String, Table

from shared.clock import Clock
from shared.http.idempotency import idempotency_table
from shared.identity.principals import principals_table
from shared.store.delivery_tables import delivery_tables
from shared.store.engine import Store
from tests.support.databases import Databases

METADATA = MetaData()
BUS_TABLES = delivery_tables(METADATA)
IDEMPOTENCY_KEYS = idempotency_table(METADATA)
PRINCIPALS = principals_table(METADATA)
ORDERS = Table("orders", METADATA, Column("id", Integer, primary_key=True), Column("title", String(200)))

_ENVIRONMENT = """
from shared.store.migrations import run_environment
from tests.unit.http.stores import METADATA

run_environment(METADATA)
"""
_REVISION = """
from alembic import op
from tests.unit.http.stores import METADATA

revision = "0001"
down_revision = None


def upgrade():
    METADATA.create_all(op.get_bind())
"""


@asynccontextmanager
async def open_store(directory: Path, clock: Clock, databases: Databases) -> AsyncIterator[Store]:
    migrations = directory / "migrations"
    (migrations / "versions").mkdir(parents=True)
    (migrations / "env.py").write_text(_ENVIRONMENT)
    (migrations / "versions" / "0001_first.py").write_text(_REVISION)
    store = Store(
        await databases.url("test"),
        service="test",
        metadata=METADATA,
        tables=BUS_TABLES,
        migrations=migrations,
        clock=clock,
    )
    await store.open()
    try:
        yield store
    finally:
        await store.close()
