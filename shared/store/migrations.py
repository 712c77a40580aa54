"""Alembic, run in-process: each service keeps its revisions in ``migrations``."""

from collections.abc import Collection
from pathlib import Path

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, MetaData, func, inspect, select
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import SchemaError

__all__ = ["run_environment", "upgrade"]

MIGRATION_LOCK = 0x6E75_746D_6567
"""Key of the advisory lock that a migration holds: "nutmeg" in ASCII, far above those of outbox shards."""


async def upgrade(engine: AsyncEngine, migrations: Path, *, tables: Collection[str] = ()) -> None:
    """Bring the schema to the newest revision; a database already there costs one query.

    Replicas that start side by side wait for the first of them. Raises ``SchemaError`` for a schema that is
    newer than the program, or was left halfway: afterwards all of ``tables`` have to be there.
    """
    config = Config()
    config.set_main_option("script_location", str(migrations))
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()

    def run(connection: Connection) -> None:
        migrated = MigrationContext.configure(connection)
        current = migrated.get_current_revision()
        if current == head:
            return
        _check_revision(scripts, current)
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            if migrated.get_current_revision() == head:
                return
        _check_beginning(connection, tables)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async with engine.begin() as connection:
        await connection.run_sync(run)
        await connection.run_sync(_check_end, tables)


def _check_revision(scripts: ScriptDirectory, current: str | None) -> None:
    try:
        known = current is None or scripts.get_revision(current) is not None
    except CommandError:
        known = False
    if not known:
        raise SchemaError(
            f"its schema has revision {current}, which this version does not know: it was written by a newer "
            "Nutmeg; install that version, or put a backup back (nutmeg restore)"
        )


def _check_beginning(connection: Connection, tables: Collection[str]) -> None:
    if MigrationContext.configure(connection).get_current_revision() is not None:
        return
    there = sorted(set(inspect(connection).get_table_names()) & set(tables))
    if there:
        raise SchemaError(
            f"it has tables ({there[0]}, …) but no revision: a migration was left halfway; "
            "put a backup back (nutmeg restore)"
        )


def _check_end(connection: Connection, tables: Collection[str]) -> None:
    lacking = sorted(set(tables) - set(inspect(connection).get_table_names()))
    if lacking:
        raise SchemaError(
            f"its schema is called up to date but lacks {', '.join(lacking)}: a migration was left halfway; "
            "put a backup back (nutmeg restore)"
        )


def run_environment(metadata: MetaData) -> None:
    """The body of every ``migrations/env.py``: run on the connection that :func:`upgrade` passes in."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection, target_metadata=metadata, render_as_batch=connection.dialect.name == "sqlite"
    )
    with context.begin_transaction():
        context.run_migrations()
