"""What is remembered of datasets and of their files, on SQLite and PostgreSQL alike."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Row, delete, select

from services.quality.alerts.domain.alerts import AlertKey
from services.quality.evaluation.domain.completeness import CompletenessReport
from services.quality.evaluation.domain.dataset_quality import DatasetQuality, FileBaseline
from services.quality.evaluation.domain.volume import RowCount
from services.quality.migrations.tables import DATASET_QUALITY, FILES, PROFILE_JOBS
from services.quality.profiling.domain.profile import Profile
from shared.events.catalog import DatasetState
from shared.store.chunks import chunks
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

_REPORT = TypeAdapter(CompletenessReport)
_PROFILE = TypeAdapter(Profile)
_ROW_COUNTS = TypeAdapter(tuple[RowCount, ...])
_MOMENTS = TypeAdapter(tuple[datetime, ...])
_KEYS = TypeAdapter(list[AlertKey])


class DatasetQualityRepository:
    """Keeps what is remembered of each dataset, and of its file."""

    async def of(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> dict[UUID, DatasetQuality]:
        """Return the qualities that there are, their rows locked."""
        found: dict[UUID, DatasetQuality] = {}
        for keys in chunks(dataset_ids):
            rows = await work.connection.execute(
                select(DATASET_QUALITY).where(DATASET_QUALITY.c.dataset_id.in_(keys)).with_for_update()
            )
            found |= {row.dataset_id: quality_of_row(row) for row in rows}
        return found

    async def put(self, work: UnitOfWork, qualities: Sequence[DatasetQuality]) -> None:
        await upsert(work.connection, DATASET_QUALITY, [_quality_row(one) for one in qualities])

    async def due(self, work: UnitOfWork, now: datetime, count_max: int) -> list[UUID]:
        """Return datasets whose status can have changed by time alone."""
        rows = await work.connection.scalars(
            select(DATASET_QUALITY.c.dataset_id)
            .where(DATASET_QUALITY.c.next_check_at <= now, DATASET_QUALITY.c.is_retired.is_(False))
            .order_by(DATASET_QUALITY.c.next_check_at)
            .limit(count_max)
        )
        return list(rows)

    async def files_of(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> dict[UUID, FileBaseline]:
        found: dict[UUID, FileBaseline] = {}
        for keys in chunks(dataset_ids):
            rows = await work.connection.execute(select(FILES).where(FILES.c.dataset_id.in_(keys)))
            found |= {row.dataset_id: file_of_row(row) for row in rows}
        return found

    async def put_file(self, work: UnitOfWork, dataset_id: UUID, file: FileBaseline) -> None:
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
        for keys in chunks(dataset_ids):
            await work.connection.execute(delete(FILES).where(FILES.c.dataset_id.in_(keys)))

    async def forget(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> None:
        """Remove datasets whose record has ended, with their files and jobs."""
        for keys in chunks(dataset_ids):
            for table in (DATASET_QUALITY, FILES, PROFILE_JOBS):
                await work.connection.execute(delete(table).where(table.c.dataset_id.in_(keys)))


def quality_of_row(row: Row[Any]) -> DatasetQuality:
    """Return what a row remembers of a dataset."""
    return DatasetQuality(
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


def _quality_row(quality: DatasetQuality) -> dict[str, Any]:
    baseline = quality.metadata_baseline
    return {
        "dataset_id": quality.dataset.dataset_id,
        "dataset": quality.dataset.model_dump(mode="json", exclude_none=True),
        "is_retired": quality.is_retired,
        "harvest_id": quality.harvest_id,
        "known_at_baseline": sorted(
            ([key.kind, key.column] for key in quality.known_at_baseline), key=lambda key: str(key)
        ),
        "baselined": sorted(quality.baselined),
        "metadata_baseline": None if baseline is None else _REPORT.dump_python(baseline, mode="json"),
        "link_works": quality.link_works,
        "updated_at": _MOMENTS.dump_python(quality.updated_at, mode="json"),
        "next_check_at": quality.next_check_at,
    }


def file_of_row(row: Row[Any]) -> FileBaseline:
    """Return what a row remembers of a file."""
    return FileBaseline(
        baseline=None if row.baseline is None else _PROFILE.validate_python(row.baseline),
        latest=None if row.latest is None else _PROFILE.validate_python(row.latest),
        row_counts=_ROW_COUNTS.validate_python(row.row_counts),
        url=row.url,
        etag=row.etag,
        last_modified=row.last_modified,
    )
