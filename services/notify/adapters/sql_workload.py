"""What waits for whoever answers for datasets: requests to decide, data that is out of date, open alerts."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.domain.matters import ALERT_TOPICS, MatterState
from services.notify.migrations.tables import DATASET_FRESHNESS, KNOWN_DATASETS, MATTERS
from shared.datasets.read_model import answered_for_by
from shared.identity.sharing_rights import MAY_DECIDE
from shared.identity.sql_rules import condition
from shared.identity.viewer import Viewer
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["SQLFreshnessRepository", "Workload", "workload_of"]

COUNTED_STATUSES = ("stale", "late")
WAITS_FOR_DECISION = MATTERS.c.kind == "sharing-request-submitted"
IDS_PER_STATEMENT_MAX = 500


@dataclass(frozen=True, slots=True)
class Workload:
    """Counts over all datasets that one person answers for."""

    datasets: int
    requests_waiting: int
    out_of_date: int
    late: int
    open_alerts: int


class SQLFreshnessRepository:
    """Implements :class:`services.notify.ports.FreshnessRepository`: only what is late or stale has a row."""

    async def put(self, work: UnitOfWork, statuses: Mapping[UUID, str | None]) -> None:
        rows = [
            {"dataset_id": dataset_id, "status": status}
            for dataset_id, status in statuses.items()
            if status in COUNTED_STATUSES
        ]
        await upsert(work.connection, DATASET_FRESHNESS, rows)
        well = [key for key, status in statuses.items() if status not in COUNTED_STATUSES]
        for start in range(0, len(well), IDS_PER_STATEMENT_MAX):
            part = well[start : start + IDS_PER_STATEMENT_MAX]
            await work.connection.execute(
                delete(DATASET_FRESHNESS).where(DATASET_FRESHNESS.c.dataset_id.in_(part))
            )


async def workload_of(connection: AsyncConnection, viewer: Viewer) -> Workload | None:
    """Return what waits for the viewer; None for somebody who answers for no data."""
    is_theirs = answered_for_by(viewer, KNOWN_DATASETS)
    if is_theirs is None:
        return None
    datasets = await connection.scalar(select(func.count()).select_from(KNOWN_DATASETS).where(is_theirs))
    statuses = await connection.execute(
        select(DATASET_FRESHNESS.c.status, func.count().label("datasets"))
        .join(KNOWN_DATASETS, KNOWN_DATASETS.c.dataset_id == DATASET_FRESHNESS.c.dataset_id)
        .where(is_theirs)
        .group_by(DATASET_FRESHNESS.c.status)
    )
    freshness = {row.status: row.datasets for row in statuses}
    return Workload(
        datasets=datasets or 0,
        requests_waiting=await _matters(connection, _may_decide(viewer), WAITS_FOR_DECISION),
        out_of_date=freshness.get("stale", 0),
        late=freshness.get("late", 0),
        open_alerts=await _matters(connection, is_theirs, MATTERS.c.topic.in_(sorted(ALERT_TOPICS))),
    )


def _may_decide(viewer: Viewer) -> ColumnElement[bool]:
    """Governance lists by the same rule what waits for a decision."""
    columns = {"requester_id": MATTERS.c.requester_id, "agency_id": MATTERS.c.agency_id}
    return condition(MAY_DECIDE, viewer, columns)


async def _matters(
    connection: AsyncConnection, is_theirs: ColumnElement[bool], wanted: ColumnElement[bool]
) -> int:
    counted = await connection.scalar(
        select(func.count())
        .select_from(MATTERS)
        .join(KNOWN_DATASETS, KNOWN_DATASETS.c.dataset_id == MATTERS.c.dataset_id)
        .where(is_theirs, wanted, MATTERS.c.state != MatterState.DONE.value)
    )
    return counted or 0
