"""Reading for the API and the page: always with what the viewer may see."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.quality.adapters.sql_alerts import alert_of
from services.quality.domain.alerts import Alert
from services.quality.domain.telling import alert_state
from services.quality.migrations.tables import ALERTS, KNOWN_DATASETS, MEASUREMENT_HISTORY, MEASUREMENTS
from shared.datasets.read_model import visible_to
from shared.events.alerts import AlertState
from shared.identity.rules import WorksFor
from shared.identity.sql_rules import condition
from shared.identity.viewer import Viewer

HISTORY_LINES_MAX = 100

_ALERT_READERS = WorksFor("agency_id")


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


@dataclass(frozen=True, slots=True)
class AlertView:
    """An alert as it is shown, with the version that it has."""

    state: AlertState
    version: int
    is_flapping: bool


@dataclass(slots=True)
class AgencySummary:
    """How the datasets of one agency do. Scores are means, None where nothing was measured."""

    agency_id: UUID | None
    agency_name: str | None
    datasets: int = 0
    freshness: dict[str, int] = field(default_factory=dict)
    scores: dict[str, float | None] = field(default_factory=dict)
    open_alerts: int | None = None


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts to list. None leaves a filter out."""

    state: str | None = None
    kind: str | None = None
    agency_id: UUID | None = None
    dataset_id: UUID | None = None


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


async def alerts_seen_by(
    connection: AsyncConnection,
    viewer: Viewer,
    wanted: AlertFilter,
    *,
    after: tuple[datetime, UUID] | None = None,
    count_max: int = 50,
) -> list[AlertView]:
    """Return alerts that the viewer may see, the latest change first, from the place ``after`` on."""
    conditions = [
        column == value
        for column, value in (
            (ALERTS.c.state, wanted.state),
            (ALERTS.c.kind, wanted.kind),
            (ALERTS.c.dataset_id, wanted.dataset_id),
            (KNOWN_DATASETS.c.agency_id, wanted.agency_id),
        )
        if value is not None
    ]
    if after is not None:
        changed_at, alert_id = after
        same_time = and_(ALERTS.c.changed_at == changed_at, ALERTS.c.alert_id > alert_id)
        conditions.append(or_(ALERTS.c.changed_at < changed_at, same_time))
    statement = _alerts_of(viewer).where(*conditions)
    ordered = statement.order_by(ALERTS.c.changed_at.desc(), ALERTS.c.alert_id).limit(count_max)
    return [_alert_view(row) for row in await connection.execute(ordered)]


async def alert_seen_by(connection: AsyncConnection, viewer: Viewer, alert_id: UUID) -> AlertView | None:
    """Return one alert, if the viewer may see it."""
    row = (await connection.execute(_alerts_of(viewer).where(ALERTS.c.alert_id == alert_id))).one_or_none()
    return None if row is None else _alert_view(row)


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
    return sorted(found.values(), key=lambda one: (one.agency_name is None, one.agency_name or ""))


def may_see_alerts(viewer: Viewer, agency_id: UUID | None) -> bool:
    """Alerts are for government people of the agency, and for those of all agencies."""
    return viewer.sees_all_agencies or agency_id in viewer.agency_ids


def _alert_condition(viewer: Viewer) -> ColumnElement[bool]:
    return condition(_ALERT_READERS, viewer, KNOWN_DATASETS.c)


def _alerts_of(viewer: Viewer) -> Select[Any]:
    return (
        select(ALERTS, KNOWN_DATASETS.c.title, KNOWN_DATASETS.c.agency_id)
        .join(KNOWN_DATASETS, KNOWN_DATASETS.c.dataset_id == ALERTS.c.dataset_id)
        .where(visible_to(viewer, KNOWN_DATASETS), _alert_condition(viewer), ALERTS.c.ended_at.is_(None))
    )


def _alert_view(row: Row[Any]) -> AlertView:
    alert: Alert = alert_of(row)
    state = alert_state(alert, title=row.title, agency_id=row.agency_id)
    return AlertView(state, alert.subject_version, alert.is_flapping)


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
        .where(visible_to(viewer, KNOWN_DATASETS), _alert_condition(viewer), ALERTS.c.state != "resolved")
        .group_by(agency)
    )
    counts = {row.agency_id: row.alerts for row in rows}
    for one in agencies:
        if may_see_alerts(viewer, one.agency_id):
            one.open_alerts = counts.get(one.agency_id, 0)
