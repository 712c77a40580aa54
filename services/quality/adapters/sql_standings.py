"""Standings of datasets and of their files, on SQLAlchemy: SQLite and PostgreSQL alike."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Row, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.quality.adapters.chunks import chunked
from services.quality.domain.alerts import AlertKey
from services.quality.domain.completeness import CompletenessReport
from services.quality.domain.profile import Profile
from services.quality.domain.standing import FileStanding, Standing
from services.quality.domain.volume import RowCount
from services.quality.migrations.tables import FILES, PROFILE_JOBS, STANDINGS
from shared.events.catalog import DatasetState
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

_REPORT = TypeAdapter(CompletenessReport)
_PROFILE = TypeAdapter(Profile)
_ROW_COUNTS = TypeAdapter(tuple[RowCount, ...])
_MOMENTS = TypeAdapter(tuple[datetime, ...])
_KEYS = TypeAdapter(list[AlertKey])


class SqlStandings:
    """Implements :class:`services.quality.ports.Standings`."""

    async def of(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> dict[UUID, Standing]:
        found: dict[UUID, Standing] = {}
        for keys in chunked(dataset_ids):
            rows = await work.connection.execute(
                select(STANDINGS).where(STANDINGS.c.dataset_id.in_(keys)).with_for_update()
            )
            found |= {row.dataset_id: _standing(row) for row in rows}
        return found

    async def put(self, work: UnitOfWork, standings: Sequence[Standing]) -> None:
        await upsert(work.connection, STANDINGS, [_standing_row(one) for one in standings])

    async def due(self, work: UnitOfWork, now: datetime, count_max: int) -> list[UUID]:
        rows = await work.connection.scalars(
            select(STANDINGS.c.dataset_id)
            .where(STANDINGS.c.next_check_at <= now, STANDINGS.c.is_retired.is_(False))
            .order_by(STANDINGS.c.next_check_at)
            .limit(count_max)
        )
        return list(rows)

    async def files_of(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> dict[UUID, FileStanding]:
        found: dict[UUID, FileStanding] = {}
        for keys in chunked(dataset_ids):
            rows = await work.connection.execute(select(FILES).where(FILES.c.dataset_id.in_(keys)))
            found |= {row.dataset_id: _file(row) for row in rows}
        return found

    async def put_file(self, work: UnitOfWork, dataset_id: UUID, file: FileStanding) -> None:
        row = {
            "dataset_id": dataset_id,
            "baseline": _PROFILE.dump_python(file.baseline, mode="json") if file.baseline else None,
            "latest": _PROFILE.dump_python(file.latest, mode="json") if file.latest else None,
            "row_counts": _ROW_COUNTS.dump_python(file.row_counts, mode="json"),
            "url": file.url,
            "etag": file.etag,
            "last_modified": file.last_modified,
        }
        await upsert(work.connection, FILES, [row])

    async def forget_files(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> None:
        for keys in chunked(dataset_ids):
            await work.connection.execute(delete(FILES).where(FILES.c.dataset_id.in_(keys)))

    async def forget(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> None:
        for keys in chunked(dataset_ids):
            for table in (STANDINGS, FILES, PROFILE_JOBS):
                await work.connection.execute(delete(table).where(table.c.dataset_id.in_(keys)))


async def read_standing(
    connection: AsyncConnection, dataset_id: UUID
) -> tuple[Standing, FileStanding | None] | None:
    """Return what is remembered of a dataset and of its file, for reading only."""
    row = (
        await connection.execute(select(STANDINGS).where(STANDINGS.c.dataset_id == dataset_id))
    ).one_or_none()
    if row is None:
        return None
    file = (await connection.execute(select(FILES).where(FILES.c.dataset_id == dataset_id))).one_or_none()
    return _standing(row), None if file is None else _file(file)


def _standing(row: Row[Any]) -> Standing:
    return Standing(
        dataset=DatasetState.model_validate(row.dataset),
        is_retired=row.is_retired,
        harvest_id=row.harvest_id,
        known_at_baseline=frozenset(_KEYS.validate_python(row.known_at_baseline)),
        baselined=frozenset(row.baselined),
        metadata_baseline=None
        if row.metadata_baseline is None
        else _REPORT.validate_python(row.metadata_baseline),
        link_works=row.link_works,
        updated_at=_MOMENTS.validate_python(row.updated_at),
        next_check_at=row.next_check_at,
    )


def _standing_row(standing: Standing) -> dict[str, Any]:
    baseline = standing.metadata_baseline
    return {
        "dataset_id": standing.dataset.dataset_id,
        "dataset": standing.dataset.model_dump(mode="json", exclude_none=True),
        "is_retired": standing.is_retired,
        "harvest_id": standing.harvest_id,
        "known_at_baseline": sorted(
            ([key.kind, key.column] for key in standing.known_at_baseline), key=lambda key: str(key)
        ),
        "baselined": sorted(standing.baselined),
        "metadata_baseline": None if baseline is None else _REPORT.dump_python(baseline, mode="json"),
        "link_works": standing.link_works,
        "updated_at": _MOMENTS.dump_python(standing.updated_at, mode="json"),
        "next_check_at": standing.next_check_at,
    }


def _file(row: Row[Any]) -> FileStanding:
    return FileStanding(
        baseline=None if row.baseline is None else _PROFILE.validate_python(row.baseline),
        latest=None if row.latest is None else _PROFILE.validate_python(row.latest),
        row_counts=_ROW_COUNTS.validate_python(row.row_counts),
        url=row.url,
        etag=row.etag,
        last_modified=row.last_modified,
    )
