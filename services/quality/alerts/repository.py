"""Alerts, on SQLAlchemy: one row per alert for ever, since its version must never fall."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from services.quality.alerts.domain.alerts import Alert, AlertKey
from services.quality.alerts.domain.findings import FindingEvidence
from services.quality.migrations.tables import ALERTS
from shared.store.chunks import chunks
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert


class QualityAlertRepository:
    """Keeps alerts."""

    async def of(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> dict[UUID, dict[AlertKey, Alert]]:
        """Return every alert of the datasets, their rows locked."""
        found: dict[UUID, dict[AlertKey, Alert]] = {}
        for keys in chunks(dataset_ids):
            rows = await work.connection.execute(
                select(ALERTS).where(ALERTS.c.dataset_id.in_(keys)).with_for_update()
            )
            for row in rows:
                alert = alert_of(row)
                found.setdefault(alert.dataset_id, {})[alert.key] = alert
        return found

    async def find(self, work: UnitOfWork, alert_ids: Collection[UUID]) -> dict[UUID, Alert]:
        """Return these alerts, their rows locked."""
        found: dict[UUID, Alert] = {}
        for keys in chunks(alert_ids):
            rows = await work.connection.execute(
                select(ALERTS).where(ALERTS.c.alert_id.in_(keys)).with_for_update()
            )
            found |= {row.alert_id: alert_of(row) for row in rows}
        return found

    async def put(self, work: UnitOfWork, alerts: Sequence[Alert]) -> None:
        await upsert(work.connection, ALERTS, [_row(alert, ended_at=None) for alert in alerts])

    async def to_end(self, work: UnitOfWork, resolved_before: datetime, count_max: int) -> list[Alert]:
        """Return alerts resolved before then, whose key was not ended yet."""
        rows = await work.connection.execute(
            select(ALERTS)
            .where(
                ALERTS.c.state == "resolved",
                ALERTS.c.resolved_at < resolved_before,
                ALERTS.c.ended_at.is_(None),
            )
            .order_by(ALERTS.c.resolved_at)
            .limit(count_max)
            .with_for_update()
        )
        return [alert_of(row) for row in rows]

    async def mark_tombstoned(self, work: UnitOfWork, alerts: Sequence[Alert]) -> None:
        """Remember that the keys were ended, and at which versions."""
        now = work.clock.now()
        await upsert(work.connection, ALERTS, [_row(alert, ended_at=now) for alert in alerts])


def alert_of(row: Row[Any]) -> Alert:
    """Return the alert in a row."""
    return Alert(
        alert_id=row.alert_id,
        dataset_id=row.dataset_id,
        key=AlertKey(row.kind, row.column_name),
        severity=row.severity,
        state=row.state,
        cause=row.cause,
        next_act=row.next_act,
        evidence=tuple(FindingEvidence(**line) for line in row.evidence),
        opened_at=row.opened_at,
        changed_at=row.changed_at,
        subject_version=row.version,
        occurrences=row.occurrences,
        is_flapping=row.is_flapping,
        resolved_at=row.resolved_at,
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
    )


def _row(alert: Alert, *, ended_at: datetime | None) -> dict[str, Any]:
    return {
        "alert_id": alert.alert_id,
        "dataset_id": alert.dataset_id,
        "kind": alert.key.kind,
        "column_name": alert.key.column,
        "severity": alert.severity,
        "state": alert.state,
        "cause": alert.cause,
        "next_act": alert.next_act,
        "evidence": [asdict(one) for one in alert.evidence],
        "opened_at": alert.opened_at,
        "changed_at": alert.changed_at,
        "resolved_at": alert.resolved_at,
        "acknowledged_at": alert.acknowledged_at,
        "acknowledged_by": alert.acknowledged_by,
        "occurrences": alert.occurrences,
        "is_flapping": alert.is_flapping,
        "version": alert.subject_version,
        "ended_at": ended_at,
    }
