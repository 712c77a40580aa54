"""The catalogue's datasets on SQLAlchemy: SQLite and PostgreSQL alike."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, case, false, or_, select, true, update

from services.catalog.datasets.domain.condition import OpenAlerts
from services.catalog.datasets.domain.entry import CatalogEntry, KnownRecord, popularity_bucket
from services.catalog.datasets.repository.rows import alerts_row, entry_of, row_of
from services.catalog.migrations.tables import CATALOG_REVISION, COUNTERS, DATASET_ALIASES, DATASETS
from shared.datasets.publisher_names import normalize_publisher
from shared.store.chunks import chunks
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = [
    "DatasetRepository",
]


_KEPT_ON_UPDATE = frozenset({"dataset_id", "indexed_revision"})


class DatasetRepository:
    """Keeps the catalog's datasets. Everything happens inside the given unit of work."""

    def __init__(self, jurisdiction_words: Collection[str]) -> None:
        self._jurisdiction_words = frozenset(jurisdiction_words)

    async def known(
        self, work: UnitOfWork, source_id: str, identifiers: Collection[str]
    ) -> dict[str, KnownRecord]:
        """What is remembered of the source's datasets with these identifiers, former ones included."""
        found: dict[str, KnownRecord] = {}
        columns = (
            DATASET_ALIASES.c.identifier,
            DATASETS.c.dataset_id,
            DATASETS.c.content_hash,
            DATASETS.c.retired,
        )
        joined = select(*columns).join(DATASETS, DATASETS.c.dataset_id == DATASET_ALIASES.c.dataset_id)
        for chunk in chunks(identifiers):
            rows = await work.connection.execute(
                joined.where(
                    DATASET_ALIASES.c.source_id == source_id, DATASET_ALIASES.c.identifier.in_(chunk)
                )
            )
            for row in rows:
                found[row.identifier] = KnownRecord(row.dataset_id, row.content_hash, row.retired)
        return found

    async def locked(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> dict[UUID, CatalogEntry]:
        """The entries of these ids, under a row lock; unknown ids are left out."""
        found: dict[UUID, CatalogEntry] = {}
        for chunk in chunks(sorted(dataset_ids)):
            rows = await work.connection.execute(
                select(DATASETS)
                .where(DATASETS.c.dataset_id.in_(chunk))
                .order_by(DATASETS.c.dataset_id)
                .with_for_update()
            )
            found.update((row.dataset_id, entry_of(row)) for row in rows)
        return found

    async def put(self, work: UnitOfWork, entries: Sequence[CatalogEntry]) -> None:
        """Write entries, new ones too, each under its identifier, and raise the catalogue's revision.

        Whatever has a ``document_revision`` above the indexed one is indexed soon after the commit.
        """
        if not entries:
            return
        rows = [row_of(entry, self._jurisdiction_words) for entry in entries]
        replaced = [name for name in rows[0] if name not in _KEPT_ON_UPDATE]
        await upsert(work.connection, DATASETS, rows, update=replaced)
        names = ("source_id", "identifier", "dataset_id")
        aliases = [{name: row[name] for name in names} for row in rows]
        await upsert(work.connection, DATASET_ALIASES, aliases, update=[])
        raised = await work.connection.execute(
            update(COUNTERS).where(COUNTERS.c.name == CATALOG_REVISION).values(value=COUNTERS.c.value + 1)
        )
        if raised.rowcount == 0:
            await upsert(work.connection, COUNTERS, [{"name": CATALOG_REVISION, "value": 1}])

    async def live_identifiers(self, work: UnitOfWork, source_id: str) -> list[str]:
        """Identifiers of the source's datasets that are not retired."""
        rows = await work.connection.scalars(
            select(DATASETS.c.identifier)
            .where(DATASETS.c.source_id == source_id, DATASETS.c.retired == false())
            .order_by(DATASETS.c.identifier)
        )
        return list(rows)

    async def ids_touched_by(
        self,
        work: UnitOfWork,
        *,
        publishers: Collection[str] = (),
        agency_ids: Collection[UUID] = (),
        identifiers: Collection[str] = (),
    ) -> list[UUID]:
        """Datasets with one of these publisher names (in any spelling), agencies or identifiers."""
        normalised = {normalize_publisher(name, self._jurisdiction_words) for name in publishers}
        wanted: list[tuple[Any, Collection[Any]]] = [
            (DATASETS.c.publisher_normalised, normalised),
            (DATASETS.c.agency_id, agency_ids),
            (DATASETS.c.identifier, identifiers),
        ]
        found: dict[UUID, None] = {}
        for column, values in wanted:
            for chunk in chunks(values):
                rows = await work.connection.scalars(select(DATASETS.c.dataset_id).where(column.in_(chunk)))
                found.update(dict.fromkeys(rows))
        return list(found)

    async def note_quality(self, work: UnitOfWork, scores: Mapping[UUID, float | None]) -> None:
        """Write scores; a revision rises only where the score differs in its second decimal."""
        rows = [
            {"key": dataset_id, "score": None if score is None else round(score, 2)}
            for dataset_id, score in scores.items()
        ]
        differs = DATASETS.c.quality_score.is_distinct_from(bindparam("score"))
        await self._note(work, rows, differs, {"quality_score": bindparam("score")})

    async def note_freshness(self, work: UnitOfWork, found: Mapping[UUID, tuple[str, str]]) -> None:
        """Write status and reason; a revision rises only where the status differs."""
        rows = [
            {"key": dataset_id, "status": status[:30], "why": why}
            for dataset_id, (status, why) in found.items()
        ]
        differs = or_(
            DATASETS.c.freshness != bindparam("status"), DATASETS.c.freshness_reason != bindparam("why")
        )
        values: dict[str, Any] = {"freshness": bindparam("status"), "freshness_reason": bindparam("why")}
        await self._note(work, rows, differs, values)

    async def note_use(self, work: UnitOfWork, uses: Mapping[UUID, int]) -> int:
        """Write uses of 30 days; a revision rises only where the popularity bucket differs.

        Returns how many datasets show another number now.
        """
        shown: dict[UUID, int | None] = {}
        for chunk in chunks(sorted(uses)):
            rows = await work.connection.execute(
                select(DATASETS.c.dataset_id, DATASETS.c.uses_30d)
                .where(DATASETS.c.dataset_id.in_(chunk))
                .order_by(DATASETS.c.dataset_id)
                .with_for_update()
            )
            shown.update((row.dataset_id, row.uses_30d) for row in rows)
        changed = [
            {"key": dataset_id, "uses": uses[dataset_id], "bucket": popularity_bucket(uses[dataset_id])}
            for dataset_id, number in shown.items()
            if number != uses[dataset_id]
        ]
        if changed:
            rises = case((DATASETS.c.popularity_bucket != bindparam("bucket"), 1), else_=0)
            await work.connection.execute(
                update(DATASETS)
                .where(DATASETS.c.dataset_id == bindparam("key"))
                .values(
                    uses_30d=bindparam("uses"),
                    document_revision=DATASETS.c.document_revision + rises,
                    popularity_bucket=bindparam("bucket"),
                ),
                changed,
            )
        return len(changed)

    async def lock(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> None:
        """Let nobody else write these datasets before the end of the transaction."""
        for chunk in chunks(sorted(dataset_ids)):
            await work.connection.execute(
                select(DATASETS.c.dataset_id)
                .where(DATASETS.c.dataset_id.in_(chunk))
                .order_by(DATASETS.c.dataset_id)
                .with_for_update()
            )

    async def note_alerts(self, work: UnitOfWork, found: Mapping[UUID, OpenAlerts | None]) -> None:
        """Write what alerts are open; a revision rises only where that differs. The rows must be locked."""
        at = work.clock.now()
        rows = [
            {"key": dataset_id, "at": at}
            | {f"new_{name}": value for name, value in alerts_row(alerts).items()}
            for dataset_id, alerts in found.items()
        ]
        names = alerts_row(None)
        differs = or_(*(DATASETS.c[name].is_distinct_from(bindparam(f"new_{name}")) for name in names))
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
        await self._note(work, rows, differs, values | {"alerts_changed_at": bindparam("at")})

    async def retired_before(self, work: UnitOfWork, moment: datetime, limit: int) -> list[CatalogEntry]:
        """Entries retired before ``moment`` whose key has not been ended on the topic yet."""
        rows = await work.connection.execute(
            select(DATASETS)
            .where(DATASETS.c.retired == true(), DATASETS.c.retired_at < moment, DATASETS.c.ended == false())
            .order_by(DATASETS.c.dataset_id)
            .limit(limit)
            .with_for_update()
        )
        return [entry_of(row) for row in rows]

    async def mark_ended(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> None:
        """Remember that the keys of these datasets have been ended by a tombstone."""
        for chunk in chunks(dataset_ids):
            await work.connection.execute(
                update(DATASETS).where(DATASETS.c.dataset_id.in_(chunk)).values(ended=True)
            )

    async def _note(
        self, work: UnitOfWork, rows: Sequence[Mapping[str, Any]], differs: Any, values: dict[str, Any]
    ) -> None:
        if rows:
            raised = DATASETS.c.document_revision + 1
            await work.connection.execute(
                update(DATASETS)
                .where(DATASETS.c.dataset_id == bindparam("key"), differs)
                .values(values | {"document_revision": raised}),
                # In one order wherever rows are locked, so that two writers never wait for each other.
                sorted(rows, key=lambda row: str(row["key"])),
            )
