"""The latest measurements with their versions, and their history."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, insert, select

from services.quality.evaluation.domain.payloads import RecordedMeasurement
from services.quality.migrations.tables import MEASUREMENT_HISTORY, MEASUREMENTS
from shared.events.quality import Measurement
from shared.store.chunks import chunks
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert


class MeasurementRepository:
    """Keeps the latest measurements with their versions, and the history."""

    async def of(
        self, work: UnitOfWork, dataset_ids: Collection[UUID]
    ) -> dict[tuple[UUID, str], RecordedMeasurement]:
        found: dict[tuple[UUID, str], RecordedMeasurement] = {}
        for keys in chunks(dataset_ids):
            rows = await work.connection.execute(
                select(MEASUREMENTS).where(MEASUREMENTS.c.dataset_id.in_(keys)).with_for_update()
            )
            for row in rows:
                measurement = None if row.document is None else Measurement.model_validate(row.document)
                found[row.dataset_id, row.kind] = RecordedMeasurement(measurement, row.version)
        return found

    async def put(self, work: UnitOfWork, rows: Sequence[tuple[Measurement, int]]) -> None:
        """Write latest measurements and add a line of history for each."""
        if not rows:
            return
        latest = [
            {
                "dataset_id": one.dataset_id,
                "kind": one.kind,
                "version": version,
                "score": one.score,
                "status": one.status,
                "document": one.model_dump(mode="json", exclude_none=True),
            }
            for one, version in rows
        ]
        history = [
            {
                "dataset_id": one.dataset_id,
                "kind": one.kind,
                "version": version,
                "score": one.score,
                "status": one.status,
                "reason": one.reason,
                "row_count": one.row_count,
                "measured_at": one.measured_at,
            }
            for one, version in rows
        ]
        await upsert(work.connection, MEASUREMENTS, latest)
        await work.connection.execute(insert(MEASUREMENT_HISTORY), history)

    async def withdraw(self, work: UnitOfWork, keys: Mapping[tuple[UUID, str], int]) -> None:
        """Empty these measurements; the value is the version of the withdrawal."""
        rows = [
            {
                "dataset_id": dataset_id,
                "kind": kind,
                "version": version,
                "score": None,
                "status": None,
                "document": None,
            }
            for (dataset_id, kind), version in keys.items()
        ]
        await upsert(work.connection, MEASUREMENTS, rows)

    async def prune_history(self, work: UnitOfWork, before: datetime) -> None:
        await work.connection.execute(
            delete(MEASUREMENT_HISTORY).where(MEASUREMENT_HISTORY.c.measured_at < before)
        )
