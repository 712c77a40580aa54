"""What catalog remembers of governance, quality and usage, on SQLAlchemy: SQLite and PostgreSQL alike."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import and_, delete, exists, func, or_, select

from services.catalog.datasets.domain.condition import AlertFacts, OpenAlerts, open_alerts_of
from services.catalog.datasets.domain.insights import AlertDelivery, UseRecord, delivery_of
from services.catalog.migrations.tables import (
    ALERT_DELIVERIES,
    DATASETS,
    MEASUREMENTS,
    OPEN_ALERTS,
    USAGE_DAILY,
)
from shared.events.alerts import AlertState
from shared.events.notify import Delivery
from shared.events.quality import Measurement
from shared.store.chunks import chunks
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = [
    "InsightRepository",
]


class InsightRepository:
    """What catalog remembers of quality and usage, for its pages."""

    async def put_measurements(self, work: UnitOfWork, measurements: Sequence[Measurement]) -> None:
        """Write the latest measurement of each dataset and kind."""
        rows = [
            {
                "dataset_id": one.dataset_id,
                "kind": one.kind[:40],
                "measurement": one.model_dump(mode="json", exclude_none=True),
            }
            for one in measurements
        ]
        await upsert(work.connection, MEASUREMENTS, rows)

    async def forget_measurements(self, work: UnitOfWork, keys: Collection[tuple[UUID, str]]) -> None:
        """Delete measurements by dataset and kind."""
        for dataset_id, kind in keys:
            await work.connection.execute(
                delete(MEASUREMENTS).where(
                    MEASUREMENTS.c.dataset_id == dataset_id, MEASUREMENTS.c.kind == kind
                )
            )

    async def put_alerts(self, work: UnitOfWork, alerts: Sequence[AlertState]) -> None:
        """Keep those that are open, and forget those that are resolved."""
        rows = [
            {
                "alert_id": one.alert_id,
                "dataset_id": one.dataset_id,
                "kind": one.kind[:80],
                "severity": one.severity[:20],
                "cause": one.cause,
                "opened_at": one.opened_at,
                "is_taken": one.state == "acknowledged",
            }
            for one in alerts
            if one.state != "resolved"
        ]
        await upsert(work.connection, OPEN_ALERTS, rows)
        await self.forget_alerts(work, [one.alert_id for one in alerts if one.state == "resolved"])

    async def forget_alerts(self, work: UnitOfWork, alert_ids: Collection[UUID]) -> None:
        """Forget alerts."""
        for chunk in chunks(alert_ids):
            await work.connection.execute(delete(OPEN_ALERTS).where(OPEN_ALERTS.c.alert_id.in_(chunk)))

    async def note_deliveries(self, work: UnitOfWork, deliveries: Sequence[Delivery], *, sent: bool) -> None:
        """Note that messages about alerts arrived, or failed for good."""
        stewards: dict[UUID, UUID | None] = {}
        known: dict[UUID, AlertDelivery] = {}
        for chunk in chunks({one.dataset_id for one in deliveries if one.dataset_id is not None}):
            found = await work.connection.execute(
                select(DATASETS.c.dataset_id, DATASETS.c.steward_id).where(DATASETS.c.dataset_id.in_(chunk))
            )
            stewards.update((row.dataset_id, row.steward_id) for row in found)
        for chunk in chunks({one.about_id for one in deliveries}):
            rows = await work.connection.execute(
                select(ALERT_DELIVERIES).where(ALERT_DELIVERIES.c.alert_id.in_(chunk))
            )
            known.update((row.alert_id, delivery_of(row)) for row in rows)
        for one in deliveries:
            is_steward = one.dataset_id is not None and stewards.get(one.dataset_id) == one.person_id
            name = "failed_at" if not sent else "steward_sent_at" if is_steward else "other_sent_at"
            told = AlertDelivery(one.about_id, **{name: one.occurred_at})
            known[one.about_id] = known.get(one.about_id, told).with_later(told)
        rows_of = [{name: getattr(one, name) for name in AlertDelivery.__slots__} for one in known.values()]
        await upsert(work.connection, ALERT_DELIVERIES, rows_of)

    async def prune_deliveries(self, work: UnitOfWork, before: datetime) -> None:
        """Forget what became of messages before a moment, where the alert is no longer open."""
        moments = (
            ALERT_DELIVERIES.c.steward_sent_at,
            ALERT_DELIVERIES.c.other_sent_at,
            ALERT_DELIVERIES.c.failed_at,
        )
        is_open = exists().where(OPEN_ALERTS.c.alert_id == ALERT_DELIVERIES.c.alert_id)
        is_old = and_(*(or_(moment.is_(None), moment < before) for moment in moments))
        await work.connection.execute(delete(ALERT_DELIVERIES).where(is_old, ~is_open))

    async def datasets_of_alerts(self, work: UnitOfWork, alert_ids: Collection[UUID]) -> set[UUID]:
        """Return the datasets that these alerts are open on."""
        found: set[UUID] = set()
        for chunk in chunks(alert_ids):
            found.update(
                await work.connection.scalars(
                    select(OPEN_ALERTS.c.dataset_id).where(OPEN_ALERTS.c.alert_id.in_(chunk))
                )
            )
        return found

    async def open_alerts(
        self, work: UnitOfWork, dataset_ids: Collection[UUID]
    ) -> dict[UUID, OpenAlerts | None]:
        """Return what is open on each of these datasets."""
        facts: dict[UUID, list[AlertFacts]] = {dataset_id: [] for dataset_id in dataset_ids}
        for chunk in chunks(dataset_ids):
            rows = await work.connection.execute(
                select(OPEN_ALERTS).where(OPEN_ALERTS.c.dataset_id.in_(chunk))
            )
            for row in rows:
                facts[row.dataset_id].append(AlertFacts(row.severity, row.kind, row.opened_at))
        return {dataset_id: open_alerts_of(found) for dataset_id, found in facts.items()}

    async def put_days(self, work: UnitOfWork, days: Sequence[UseRecord]) -> None:
        """Write the absolute counts of whole days."""
        names = UseRecord.__slots__
        rows = [{name: getattr(day, name) for name in names} for day in days]
        await upsert(work.connection, USAGE_DAILY, rows)

    async def uses_since(
        self, work: UnitOfWork, first_day: date, dataset_ids: Collection[UUID] | None = None
    ) -> dict[UUID, int]:
        """Uses since ``first_day`` of these datasets, or of all that ever were used."""
        total = func.sum(USAGE_DAILY.c.views + USAGE_DAILY.c.downloads + USAGE_DAILY.c.api_calls)
        counted = (
            select(USAGE_DAILY.c.dataset_id, total.label("uses"))
            .where(USAGE_DAILY.c.day >= first_day)
            .group_by(USAGE_DAILY.c.dataset_id)
        )
        if dataset_ids is None:
            shown = select(DATASETS.c.dataset_id).where(DATASETS.c.uses_30d > 0)
            found = dict.fromkeys(await work.connection.scalars(shown), 0)
            rows = await work.connection.execute(counted)
            found.update((row.dataset_id, int(row.uses)) for row in rows)
            return found
        found = dict.fromkeys(dataset_ids, 0)
        for chunk in chunks(dataset_ids):
            rows = await work.connection.execute(counted.where(USAGE_DAILY.c.dataset_id.in_(chunk)))
            found.update((row.dataset_id, int(row.uses)) for row in rows)
        return found
