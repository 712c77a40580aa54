"""Every service's migrations lead to the tables that its code names, and back to none, on every database."""

from importlib import import_module
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from shared.store.migrations import upgrade
from tests.support.databases import Databases

SERVICES = Path(__file__).parents[2] / "services"
MIGRATED = sorted(path.parents[1].name for path in SERVICES.glob("*/migrations/env.py"))


def differences(connection: Connection, metadata: MetaData) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


def downgrade(connection: Connection, migrations: Path) -> list[str]:
    """Take every revision back; return the tables that are left."""
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.attributes["connection"] = connection
    command.downgrade(config, "base")
    return [name for name in inspect(connection).get_table_names() if name != "alembic_version"]


@pytest.mark.parametrize("service", MIGRATED)
async def test_the_migrated_schema_is_the_one_that_the_code_names(service: str, databases: Databases) -> None:
    migrations = SERVICES / service / "migrations"
    metadata: MetaData = import_module(f"services.{service}.migrations.tables").METADATA
    engine = create_async_engine(await databases.url(service))
    try:
        await upgrade(engine, migrations)
        async with engine.begin() as connection:
            assert await connection.run_sync(differences, metadata) == []
        await upgrade(engine, migrations)
        async with engine.begin() as connection:
            assert await connection.run_sync(downgrade, migrations) == []
    finally:
        await engine.dispose()


def test_every_service_with_tables_has_migrations() -> None:
    assert {path.parents[1].name for path in SERVICES.glob("*/migrations/tables.py")} == set(MIGRATED)
