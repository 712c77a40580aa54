"""Alembic, run in-process: each service keeps its revisions in ``adapters/migrations``."""

from pathlib import Path

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData
from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["run_environment", "upgrade"]


async def upgrade(engine: AsyncEngine, migrations: Path) -> None:
    """Bring the schema to the newest revision; a database already there costs one query."""
    config = Config()
    config.set_main_option("script_location", str(migrations))
    head = ScriptDirectory.from_config(config).get_current_head()

    def run(connection: Connection) -> None:
        if MigrationContext.configure(connection).get_current_revision() == head:
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
