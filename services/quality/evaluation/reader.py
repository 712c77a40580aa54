"""Reading for the API and the page: always with what the viewer may see."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.quality.alerts.reader import alert_condition, may_see_alerts
from services.quality.evaluation.domain.dataset_quality import DatasetQuality, FileBaseline
from services.quality.evaluation.repository.dataset_quality import file_of_row, quality_of_row
from services.quality.evaluation.repository.first_harvests import is_ready
from services.quality.migrations.tables import (
    ALERTS,
    DATASET_QUALITY,
    FILES,
    FIRST_HARVESTS,
    KNOWN_DATASETS,
    MEASUREMENT_HISTORY,
    MEASUREMENTS,
)
from shared.datasets.read_model import visible_to
from shared.identity.viewer import Viewer

HISTORY_LINES_MAX = 100


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What the routes need to know of a dataset before they show or do anything."""

    dataset_id: UUID
    title: str
    agency_id: UUID | None
    agency_name: str | None


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One past measurement."""

    kind: str
    score: float | None
    status: str | None
    reason: str
    row_count: int | None
    measured_at: datetime


@dataclass(slots=True)
class AgencySummary:
    """How the datasets of one agency do. Scores are means, None where nothing was measured."""

    agency_id: UUID | None
    agency_name: str | None
    datasets: int = 0
    freshness: dict[str, int] = field(default_factory=dict)
    scores: dict[str, float | None] = field(default_factory=dict)
    open_alerts: int | None = None


async def visible_facts(connection: AsyncConnection, viewer: Viewer, dataset_id: UUID) -> DatasetFacts | None:
    """Return the dataset, if there is one that the viewer may see."""
    row = (
        await connection.execute(
            select(KNOWN_DATASETS).where(
                KNOWN_DATASETS.c.dataset_id == dataset_id, visible_to(viewer, KNOWN_DATASETS)
            )
        )
    ).one_or_none()
    return None if row is None else DatasetFacts(row.dataset_id, row.title, row.agency_id, row.agency_name)


async def history_of(connection: AsyncConnection, dataset_id: UUID) -> list[HistoryLine]:
    """Return the last measurements of a dataset, the newest first."""
    rows = await connection.execute(
        select(MEASUREMENT_HISTORY)
        .where(MEASUREMENT_HISTORY.c.dataset_id == dataset_id)
        .order_by(MEASUREMENT_HISTORY.c.measured_at.desc(), MEASUREMENT_HISTORY.c.id.desc())
        .limit(HISTORY_LINES_MAX)
    )
    return [
        HistoryLine(row.kind, row.score, row.status, row.reason, row.row_count, row.measured_at)
        for row in rows
    ]


async def summaries(connection: AsyncConnection, viewer: Viewer) -> list[AgencySummary]:
    """Return one summary per agency over the datasets that the viewer may see, by agency name."""
    agency = KNOWN_DATASETS.c.agency_id
    totals = await connection.execute(
        select(agency, func.max(KNOWN_DATASETS.c.agency_name).label("name"), func.count().label("datasets"))
        .where(visible_to(viewer, KNOWN_DATASETS))
        .group_by(agency)
    )
    found = {row.agency_id: AgencySummary(row.agency_id, row.name, row.datasets) for row in totals}
    measured = await connection.execute(
        select(
            agency,
            MEASUREMENTS.c.kind,
            MEASUREMENTS.c.status,
            func.count().label("datasets"),
            func.sum(MEASUREMENTS.c.score).label("total"),
            func.count(MEASUREMENTS.c.score).label("scored"),
        )
        .join(KNOWN_DATASETS, KNOWN_DATASETS.c.dataset_id == MEASUREMENTS.c.dataset_id)
        .where(visible_to(viewer, KNOWN_DATASETS))
        .group_by(agency, MEASUREMENTS.c.kind, MEASUREMENTS.c.status)
    )
    _add_measured(found, measured.all())
    if viewer.sees_government:
        await _add_alerts(connection, viewer, found.values())
    return sorted(
        found.values(), key=lambda summary: (summary.agency_name is None, summary.agency_name or "")
    )


def _add_measured(found: dict[UUID | None, AgencySummary], rows: Sequence[Row[Any]]) -> None:
    totals: dict[tuple[UUID | None, str], tuple[float, int]] = {}
    for row in rows:
        if row.kind == "freshness" and row.status is not None:
            found[row.agency_id].freshness[row.status] = row.datasets
        total, scored = totals.get((row.agency_id, row.kind), (0.0, 0))
        totals[row.agency_id, row.kind] = (total + (row.total or 0.0), scored + row.scored)
    for (agency_id, kind), (total, scored) in totals.items():
        found[agency_id].scores[kind] = round(total / scored, 4) if scored else None


async def _add_alerts(connection: AsyncConnection, viewer: Viewer, agencies: Iterable[AgencySummary]) -> None:
    agency = KNOWN_DATASETS.c.agency_id
    rows = await connection.execute(
        select(agency, func.count().label("alerts"))
        .select_from(ALERTS)
        .join(KNOWN_DATASETS, KNOWN_DATASETS.c.dataset_id == ALERTS.c.dataset_id)
        .where(visible_to(viewer, KNOWN_DATASETS), alert_condition(viewer), ALERTS.c.state != "resolved")
        .group_by(agency)
    )
    counts = {row.agency_id: row.alerts for row in rows}
    for summary in agencies:
        if may_see_alerts(viewer, summary.agency_id):
            summary.open_alerts = counts.get(summary.agency_id, 0)


async def read_dataset_quality(
    connection: AsyncConnection, dataset_id: UUID
) -> tuple[DatasetQuality, FileBaseline | None] | None:
    """Return what is remembered of a dataset and of its file, for reading only."""
    row = (
        await connection.execute(select(DATASET_QUALITY).where(DATASET_QUALITY.c.dataset_id == dataset_id))
    ).one_or_none()
    if row is None:
        return None
    file = (await connection.execute(select(FILES).where(FILES.c.dataset_id == dataset_id))).one_or_none()
    return quality_of_row(row), None if file is None else file_of_row(file)


async def count_due_checks(connection: AsyncConnection, now: datetime) -> int:
    """Return how many datasets' freshness is to be judged again."""
    due = and_(DATASET_QUALITY.c.next_check_at <= now, DATASET_QUALITY.c.is_retired.is_(False))
    return int(await connection.scalar(select(func.count(DATASET_QUALITY.c.dataset_id)).where(due)) or 0)


async def count_ready_harvests(connection: AsyncConnection, waited_since: datetime) -> int:
    """Return how many first harvests are to be summarized now."""
    return int(
        await connection.scalar(select(func.count(FIRST_HARVESTS.c.harvest_id)).where(is_ready(waited_since)))
        or 0
    )
