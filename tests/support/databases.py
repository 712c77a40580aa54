"""Each kind of database that a store may stand on, as a fixture: tests that ask for it run once over each."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.store.engine import sqlite_url

__all__ = ["Databases", "databases", "postgres_databases"]


@dataclass
class Databases:
    """Gives one empty database per name, and the same one when asked again. All go with the test."""

    folder: Path
    server: str | None
    """SQLAlchemy's URL of a PostgreSQL server; ``None`` for files in ``folder``."""
    _names: dict[str, str] = field(default_factory=dict)

    @property
    def is_postgres(self) -> bool:
        return self.server is not None

    async def url(self, name: str) -> str:
        """Return SQLAlchemy's URL of the database of that name."""
        if self.server is None:
            return sqlite_url(self.folder / f"{name}.db")
        if name not in self._names:
            self._names[name] = f"{name}_{uuid4().hex[:12]}"
            await self._run(f"CREATE DATABASE {self._names[name]}")
        return f"{self.server}/{self._names[name]}"

    async def drop(self) -> None:
        """Remove what was created on a server, whoever is still connected."""
        for name in self._names.values():
            await self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    async def _run(self, statement: str) -> None:
        engine = create_async_engine(f"{self.server}/postgres", isolation_level="AUTOCOMMIT")
        try:
            async with engine.connect() as connection:
                await connection.execute(text(statement))
        finally:
            await engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.cluster)])
async def databases(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Databases]:
    """Databases of each kind in turn."""
    server = request.getfixturevalue("real_postgres") if request.param == "postgresql" else None
    given = Databases(tmp_path, server)
    yield given
    await given.drop()


@pytest.fixture
async def postgres_databases(real_postgres: str, tmp_path: Path) -> AsyncIterator[Databases]:
    """Databases on a PostgreSQL server, for what only a server can do."""
    given = Databases(tmp_path, real_postgres)
    yield given
    await given.drop()
