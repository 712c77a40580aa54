"""Alerts for API and page: always those that the viewer may see."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field
from sqlalchemy import ColumnElement, Row, Select, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.quality.alerts.domain.alerts import alert_state
from services.quality.alerts.repository import alert_of
from services.quality.migrations.tables import ALERTS, KNOWN_DATASETS
from shared.datasets.read_model import visible_to
from shared.events.alerts import AlertState
from shared.events.model import PublicModel
from shared.identity.rules import WorksFor
from shared.identity.sql_rules import condition
from shared.identity.viewer import Viewer

__all__ = [
    "AlertDocument",
    "AlertFilter",
    "QualityAlertView",
    "alert_condition",
    "alert_document",
    "alert_seen_by",
    "alerts_seen_by",
    "may_see_alerts",
]

_ALERT_READERS = WorksFor("agency_id")


@dataclass(frozen=True, slots=True)
class QualityAlertView:
    """An alert as it is shown, with the version that it has."""

    state: AlertState
    version: int
    is_flapping: bool


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts to list. None leaves a filter out."""

    state: str | None = None
    kind: str | None = None
    agency_id: UUID | None = None
    dataset_id: UUID | None = None


class EvidenceDocument(PublicModel):
    """One observation that made or ended an alert."""

    name: str
    expected: str | None = None
    observed: str | None = None


class AlertDocument(PublicModel):
    """What the API tells the agency of an alert; who took it by id, which its inbox turns into a name."""

    alert_id: UUID
    dataset_id: UUID
    dataset_title: str
    agency_id: UUID | None = None
    kind: str
    severity: str
    state: str
    cause: str
    evidence: list[EvidenceDocument] = Field(default_factory=list)
    next_act: str
    occurrences: int = 1
    opened_at: datetime
    changed_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: UUID | None = None
    resolved_at: datetime | None = None


async def alerts_seen_by(
    connection: AsyncConnection,
    viewer: Viewer,
    wanted: AlertFilter,
    *,
    after: tuple[datetime, UUID] | None = None,
    count_max: int = 50,
) -> list[QualityAlertView]:
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


async def alert_seen_by(
    connection: AsyncConnection, viewer: Viewer, alert_id: UUID
) -> QualityAlertView | None:
    """Return one alert, if the viewer may see it."""
    row = (await connection.execute(_alerts_of(viewer).where(ALERTS.c.alert_id == alert_id))).one_or_none()
    return None if row is None else _alert_view(row)


def alert_document(view: QualityAlertView) -> dict[str, Any]:
    """Return one alert."""
    return {
        **AlertDocument.model_validate(view.state).model_dump(mode="json"),
        "version": view.version,
        "is_flapping": view.is_flapping,
        "_links": {"dataset": f"/api/v1/quality/datasets/{view.state.dataset_id}"},
    }


def may_see_alerts(viewer: Viewer, agency_id: UUID | None) -> bool:
    """Alerts are for government people of the agency, and for those of all agencies."""
    return viewer.sees_all_agencies or agency_id in viewer.agency_ids


def alert_condition(viewer: Viewer) -> ColumnElement[bool]:
    """Tell in SQL whose alerts the viewer may see."""
    return condition(_ALERT_READERS, viewer, KNOWN_DATASETS.c)


def _alerts_of(viewer: Viewer) -> Select[Any]:
    return (
        select(ALERTS, KNOWN_DATASETS.c.title, KNOWN_DATASETS.c.agency_id)
        .join(KNOWN_DATASETS, KNOWN_DATASETS.c.dataset_id == ALERTS.c.dataset_id)
        .where(visible_to(viewer, KNOWN_DATASETS), alert_condition(viewer), ALERTS.c.ended_at.is_(None))
    )


def _alert_view(row: Row[Any]) -> QualityAlertView:
    alert = alert_of(row)
    state = alert_state(alert, title=row.title, agency_id=row.agency_id)
    return QualityAlertView(state, alert.subject_version, alert.is_flapping)
