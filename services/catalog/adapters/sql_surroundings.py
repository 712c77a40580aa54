"""What catalog remembers of governance, quality and usage, on SQLAlchemy: SQLite and PostgreSQL alike."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, exists, func, or_, select

from services.catalog.adapters.entry_rows import chunks
from services.catalog.domain.condition import AlertFacts, OpenAlerts, open_alerts_of
from services.catalog.domain.entry import Surroundings
from services.catalog.domain.records import AlertDelivery, UseRecord
from services.catalog.migrations.tables import (
    AGENCIES,
    AGENCY_SPELLINGS,
    ALERT_DELIVERIES,
    DATASETS,
    MEASUREMENTS,
    OPEN_ALERTS,
    STEWARDSHIPS,
    USAGE_DAILY,
)
from shared.datasets.publisher_names import normalize_publisher
from shared.events.alerts import AlertState
from shared.events.catalog import DatasetState
from shared.events.governance import AgencyState, StewardshipState
from shared.events.notify import Delivery
from shared.events.quality import Measurement
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["SqlDirectoryCopy", "SqlInsightBook", "delivery_of"]


class SqlDirectoryCopy:
    """Implements :class:`services.catalog.ports.DirectoryCopy`."""

    def __init__(self, jurisdiction_words: Collection[str]) -> None:
        self._jurisdiction_words = frozenset(jurisdiction_words)

    async def surroundings(self, work: UnitOfWork, states: Collection[DatasetState]) -> Surroundings:
        publishers = {state.publisher_name for state in states if state.publisher_name is not None}
        normalised = {name: self._normalised(name) for name in publishers}
        owners: dict[str, UUID] = {}
        for chunk in chunks(set(normalised.values())):
            rows = await work.connection.execute(
                select(AGENCY_SPELLINGS).where(AGENCY_SPELLINGS.c.normalised.in_(chunk))
            )
            owners.update((row.normalised, row.agency_id) for row in rows)
        stewardships: dict[str, StewardshipState] = {}
        for chunk in chunks({state.identifier for state in states}):
            rows = await work.connection.execute(
                select(STEWARDSHIPS).where(STEWARDSHIPS.c.identifier.in_(chunk))
            )
            for row in rows:
                stewardships[row.identifier] = StewardshipState.model_validate(row.stewardship)
        agencies = await work.connection.execute(select(AGENCIES.c.agency_id, AGENCIES.c.name))
        return Surroundings(
            agency_names={row.agency_id: row.name for row in agencies},
            agency_of_publisher={
                name: owners[spelling] for name, spelling in normalised.items() if spelling in owners
            },
            stewardships=stewardships,
        )

    async def put_agencies(self, work: UnitOfWork, agencies: Sequence[AgencyState]) -> None:
        rows = [{"agency_id": one.agency_id, "code": one.code, "name": one.name} for one in agencies]
        await upsert(work.connection, AGENCIES, rows)
        await self._forget_spellings(work, [agency.agency_id for agency in agencies])
        owners = {
            self._normalised(spelling): agency.agency_id
            for agency in agencies
            for spelling in (agency.code, *agency.aliases, agency.name)
        }
        spellings = [{"normalised": key, "agency_id": owner} for key, owner in owners.items() if key]
        await upsert(work.connection, AGENCY_SPELLINGS, spellings)

    async def forget_agencies(self, work: UnitOfWork, agency_ids: Collection[UUID]) -> None:
        await self._forget_spellings(work, agency_ids)
        for chunk in chunks(agency_ids):
            await work.connection.execute(delete(AGENCIES).where(AGENCIES.c.agency_id.in_(chunk)))

    async def put_stewardships(self, work: UnitOfWork, stewardships: Sequence[StewardshipState]) -> None:
        rows = [
            {"identifier": one.identifier, "stewardship": one.model_dump(mode="json", exclude_none=True)}
            for one in stewardships
        ]
        await upsert(work.connection, STEWARDSHIPS, rows)

    async def forget_stewardships(self, work: UnitOfWork, identifiers: Collection[str]) -> None:
        for chunk in chunks(identifiers):
            await work.connection.execute(delete(STEWARDSHIPS).where(STEWARDSHIPS.c.identifier.in_(chunk)))

    async def _forget_spellings(self, work: UnitOfWork, agency_ids: Collection[UUID]) -> None:
        for chunk in chunks(agency_ids):
            await work.connection.execute(
                delete(AGENCY_SPELLINGS).where(AGENCY_SPELLINGS.c.agency_id.in_(chunk))
            )

    def _normalised(self, spelling: str) -> str:
        return normalize_publisher(spelling, self._jurisdiction_words)


def delivery_of(row: Any) -> AlertDelivery:
    """The moments in a row of ``alert_deliveries``."""
    return AlertDelivery(**{name: getattr(row, name) for name in AlertDelivery.__slots__})


class SqlInsightBook:
    """Implements :class:`services.catalog.ports.InsightBook`."""

    async def put_measurements(self, work: UnitOfWork, measurements: Sequence[Measurement]) -> None:
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
        for dataset_id, kind in keys:
            await work.connection.execute(
                delete(MEASUREMENTS).where(
                    MEASUREMENTS.c.dataset_id == dataset_id, MEASUREMENTS.c.kind == kind
                )
            )

    async def put_alerts(self, work: UnitOfWork, alerts: Sequence[AlertState]) -> None:
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
        for chunk in chunks(alert_ids):
            await work.connection.execute(delete(OPEN_ALERTS).where(OPEN_ALERTS.c.alert_id.in_(chunk)))

    async def note_deliveries(self, work: UnitOfWork, deliveries: Sequence[Delivery], *, sent: bool) -> None:
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
        moments = (
            ALERT_DELIVERIES.c.steward_sent_at,
            ALERT_DELIVERIES.c.other_sent_at,
            ALERT_DELIVERIES.c.failed_at,
        )
        is_open = exists().where(OPEN_ALERTS.c.alert_id == ALERT_DELIVERIES.c.alert_id)
        is_old = and_(*(or_(moment.is_(None), moment < before) for moment in moments))
        await work.connection.execute(delete(ALERT_DELIVERIES).where(is_old, ~is_open))

    async def datasets_of_alerts(self, work: UnitOfWork, alert_ids: Collection[UUID]) -> set[UUID]:
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
        facts: dict[UUID, list[AlertFacts]] = {dataset_id: [] for dataset_id in dataset_ids}
        for chunk in chunks(dataset_ids):
            rows = await work.connection.execute(
                select(OPEN_ALERTS).where(OPEN_ALERTS.c.dataset_id.in_(chunk))
            )
            for row in rows:
                facts[row.dataset_id].append(AlertFacts(row.severity, row.kind, row.opened_at))
        return {dataset_id: open_alerts_of(found) for dataset_id, found in facts.items()}

    async def put_days(self, work: UnitOfWork, days: Sequence[UseRecord]) -> None:
        names = UseRecord.__slots__
        rows = [{name: getattr(day, name) for name in names} for day in days]
        await upsert(work.connection, USAGE_DAILY, rows)

    async def uses_since(
        self, work: UnitOfWork, first_day: date, dataset_ids: Collection[UUID] | None = None
    ) -> dict[UUID, int]:
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
