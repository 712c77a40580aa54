"""Data dictionaries to fetch, on SQLAlchemy: SQLite and PostgreSQL alike."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from services.catalog.dictionary.domain import DictionaryFetch
from services.catalog.migrations.tables import DICTIONARY_FETCHES
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["DictionaryFetchRepository"]


class DictionaryFetchRepository:
    """Data dictionaries to fetch, one per dataset."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def ask(self, work: UnitOfWork, wanted: Mapping[UUID, str]) -> None:
        """Fetch the dictionary of each dataset from its address, soon; again where it was fetched before."""
        now = work.clock.now()
        known = {
            row.dataset_id: row
            for row in await work.connection.execute(
                select(DICTIONARY_FETCHES).where(DICTIONARY_FETCHES.c.dataset_id.in_(list(wanted)))
            )
        }
        rows = []
        for dataset_id, url in wanted.items():
            old = known.get(dataset_id)
            is_same = old is not None and old.url == url
            if old is not None and is_same and old.parked_at is not None:
                continue  # only an operator lets it go
            rows.append(
                {
                    "dataset_id": dataset_id,
                    "url": url,
                    "attempts": 0,
                    "next_attempt_at": now,
                    "message": None,
                    "etag": old.etag if old is not None and is_same else None,
                    "last_modified": old.last_modified if old is not None and is_same else None,
                    "unended_attempts": old.unended_attempts if old is not None and is_same else 0,
                    "parked_at": None,
                }
            )
        await upsert(work.connection, DICTIONARY_FETCHES, rows)

    async def due(self, now: datetime, limit: int) -> list[DictionaryFetch]:
        """Fetches that are due."""
        async with self._store.read() as connection:
            rows = await connection.execute(
                select(DICTIONARY_FETCHES)
                .where(_is_due(now))
                .order_by(DICTIONARY_FETCHES.c.next_attempt_at)
                .limit(limit)
            )
            return [DictionaryFetch(**row) for row in rows.mappings()]

    async def due_count(self, now: datetime) -> int:
        """How many are due."""
        async with self._store.read() as connection:
            counted = await connection.scalar(
                select(func.count()).select_from(DICTIONARY_FETCHES).where(_is_due(now))
            )
        return counted or 0

    async def parked(self, limit: int) -> list[DictionaryFetch]:
        """The fetches that were parked last."""
        fetch = DICTIONARY_FETCHES.c
        async with self._store.read() as connection:
            rows = await connection.execute(
                select(DICTIONARY_FETCHES)
                .where(fetch.parked_at.is_not(None))
                .order_by(fetch.parked_at.desc(), fetch.dataset_id)
                .limit(limit)
            )
            return [DictionaryFetch(**row) for row in rows.mappings()]

    async def parked_count(self) -> int:
        """How many are parked."""
        async with self._store.read() as connection:
            counted = await connection.scalar(
                select(func.count())
                .select_from(DICTIONARY_FETCHES)
                .where(DICTIONARY_FETCHES.c.parked_at.is_not(None))
            )
        return counted or 0

    async def release(self, work: UnitOfWork, dataset_id: UUID) -> bool:
        """Make a parked fetch due, as if nobody had tried it; false if there is none."""
        fetch = DICTIONARY_FETCHES.c
        released = await work.connection.execute(
            update(DICTIONARY_FETCHES)
            .where(fetch.dataset_id == dataset_id, fetch.parked_at.is_not(None))
            .values(
                attempts=0,
                unended_attempts=0,
                parked_at=None,
                message=None,
                next_attempt_at=work.clock.now(),
            )
            .returning(fetch.dataset_id)
        )
        return bool(released.all())

    async def put(self, work: UnitOfWork, fetch: DictionaryFetch) -> None:
        """Write what came of a fetch."""
        row = {name: getattr(fetch, name) for name in DictionaryFetch.__slots__}
        await upsert(work.connection, DICTIONARY_FETCHES, [row])


def _is_due(now: datetime) -> ColumnElement[bool]:
    fetch = DICTIONARY_FETCHES.c
    # A first try is due as soon as it is asked for, whatever the clock says since.
    is_new = and_(fetch.attempts == 0, fetch.next_attempt_at.is_not(None))
    return or_(is_new, fetch.next_attempt_at <= now)
