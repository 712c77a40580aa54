"""Alembic, run in-process: each service keeps its revisions in ``adapters/migrations``."""

from pathlib import Path

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["run_environment", "upgrade"]

MIGRATION_LOCK = 0x6E75_746D_6567
"""Key of the advisory lock that a migration holds: "nutmeg" in ASCII, far above those of outbox shards."""


async def upgrade(engine: AsyncEngine, migrations: Path) -> None:
    """Bring the schema to the newest revision; a database already there costs one query.

    Replicas that start side by side wait for the first of them.
    """
    config = Config()
    config.set_main_option("script_location", str(migrations))
    head = ScriptDirectory.from_config(config).get_current_head()

    def run(connection: Connection) -> None:
        migrated = MigrationContext.configure(connection)
        if migrated.get_current_revision() == head:
            return
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            if migrated.get_current_revision() == head:
                return
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async with engine.begin() as connection:
        await connection.run_sync(run)


def run_environment(metadata: MetaData) -> None:
    """The body of every ``migrations/env.py``: run on the connection that :func:`upgrade` passes in."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection, target_metadata=metadata, render_as_batch=connection.dialect.name == "sqlite"
    )
    with context.begin_transaction():
        context.run_migrations()
