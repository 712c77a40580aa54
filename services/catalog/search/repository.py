"""Which rows the index has still to learn of, on SQLAlchemy: SQLite and PostgreSQL alike."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select, update

from services.catalog.datasets.domain.condition import open_alerts_of_row
from services.catalog.datasets.domain.entry import CatalogEntry
from services.catalog.migrations.tables import DATASETS, INDEX_RECONCILES
from services.catalog.search.domain.documents import search_document
from services.catalog.search.domain.reconciling import ExpectedDocument, LastReconcile
from services.catalog.search.domain.search import SearchDocument
from shared.events.catalog import DatasetState
from shared.store.chunks import chunks
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["IndexBacklog"]

INDEXED_COLUMNS = (
    DATASETS.c.dataset_id,
    DATASETS.c.state,
    DATASETS.c.document_revision,
    DATASETS.c.retired_at,
    DATASETS.c.quality_score,
    DATASETS.c.freshness,
    DATASETS.c.popularity_bucket,
    DATASETS.c.open_alerts,
    DATASETS.c.alert_severity,
    DATASETS.c.alert_kind,
)
"""What :func:`indexed_document_of` needs; reading the rest would double its time."""

THE_INDEX = "catalog"
"""There is one index, and so one row of ``index_reconciles``."""
_EXPECTED = select(
    DATASETS.c.dataset_id, DATASETS.c.document_revision, DATASETS.c.indexed_revision, DATASETS.c.retired_at
)
_IS_DIRTY = DATASETS.c.indexed_revision < DATASETS.c.document_revision


def indexed_document_of(row: Any) -> SearchDocument:
    """What the index ought to hold of a row with :data:`INDEXED_COLUMNS`."""
    state = DatasetState.model_validate(row.state)
    return search_document(
        CatalogEntry(
            row.dataset_id,
            state,
            "",
            state,
            document_revision=row.document_revision,
            retired_at=row.retired_at,
            quality_score=row.quality_score,
            freshness=row.freshness,
            popularity_bucket=row.popularity_bucket,
            open_alerts=open_alerts_of_row(row),
        )
    )


class IndexBacklog:
    """Which entries the index has still to learn of, and which revisions it ought to hold."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def dirty(self, limit: int) -> list[SearchDocument]:
        """Documents of entries whose revision is above the indexed one."""
        async with self._store.read() as connection:
            rows = (await connection.execute(select(*INDEXED_COLUMNS).where(_IS_DIRTY).limit(limit))).all()
        return await asyncio.to_thread(_documents_of, rows)

    async def dirty_count(self) -> int:
        """How many there are."""
        async with self._store.read() as connection:
            counted = await connection.scalar(select(func.count()).select_from(DATASETS).where(_IS_DIRTY))
        return counted or 0

    async def mark_indexed(self, work: UnitOfWork, revisions: Mapping[UUID, int]) -> None:
        """Remember that the index holds these revisions. An entry that changed since stays dirty."""
        if revisions:
            # An entry that changed meanwhile has a higher revision, and so stays to be indexed.
            await work.connection.execute(
                update(DATASETS)
                .where(DATASETS.c.dataset_id == bindparam("key"))
                .values(indexed_revision=bindparam("revision")),
                [{"key": dataset_id, "revision": revision} for dataset_id, revision in revisions.items()],
            )

    async def mark_dirty(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> None:
        """Have these entries indexed again."""
        for chunk in chunks(dataset_ids):
            await work.connection.execute(
                update(DATASETS).where(DATASETS.c.dataset_id.in_(chunk)).values(indexed_revision=0)
            )

    async def documents(self) -> AsyncIterator[SearchDocument]:
        """The document of every entry, for a rebuild."""
        after: UUID | None = None
        while True:
            page = select(*INDEXED_COLUMNS).order_by(DATASETS.c.dataset_id).limit(500)
            if after is not None:
                page = page.where(DATASETS.c.dataset_id > after)
            async with self._store.read() as connection:
                rows = (await connection.execute(page)).all()
            for document in await asyncio.to_thread(_documents_of, rows):
                yield document
            if not rows:
                return
            after = rows[-1].dataset_id

    async def expected(self, dataset_ids: Collection[UUID]) -> dict[UUID, ExpectedDocument]:
        """What the index ought to hold of these entries; unknown ids are left out."""
        found: dict[UUID, ExpectedDocument] = {}
        async with self._store.read() as connection:
            for chunk in chunks(dataset_ids):
                rows = await connection.execute(_EXPECTED.where(DATASETS.c.dataset_id.in_(chunk)))
                found |= {row.dataset_id: _expected_of(row) for row in rows}
        return found

    async def expected_after(self, after: UUID | None, limit: int) -> dict[UUID, ExpectedDocument]:
        """The same of the next entries in the order of their ids; empty at the end."""
        page = _EXPECTED.order_by(DATASETS.c.dataset_id).limit(limit)
        if after is not None:
            page = page.where(DATASETS.c.dataset_id > after)
        async with self._store.read() as connection:
            return {row.dataset_id: _expected_of(row) for row in await connection.execute(page)}

    async def last_reconcile(self) -> LastReconcile | None:
        """What the last comparison found; None before the first."""
        async with self._store.read() as connection:
            row = (await connection.execute(select(INDEX_RECONCILES))).one_or_none()
        return None if row is None else LastReconcile(row.compared_at, row.missing, row.extra, row.stale)

    async def note_reconcile(self, work: UnitOfWork, found: LastReconcile) -> None:
        """Keep what a comparison found in place of the one before."""
        values = {name: getattr(found, name) for name in LastReconcile.__slots__}
        await upsert(work.connection, INDEX_RECONCILES, [{"index_name": THE_INDEX} | values])


def _documents_of(rows: Sequence[Any]) -> list[SearchDocument]:
    return [indexed_document_of(row) for row in rows]


def _expected_of(row: Any) -> ExpectedDocument:
    return ExpectedDocument(row.document_revision, row.indexed_revision, row.retired_at)
