"""What is looked at for spikes and silence, and the alerts, on SQLAlchemy: SQLite and PostgreSQL alike."""

from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import case, delete, false, select, tuple_, update

from services.usage.anomalies.domain.alerts import AlertStep, KnownAlert, Subject
from services.usage.anomalies.domain.signals import WatchedDataset
from services.usage.counts.domain.counter import counts_of, day_start
from services.usage.migrations.tables import ALERTS, COUNTED_DAYS, KNOWN_DATASETS, ROLLUPS, WATCHED_DATASETS
from shared.events.alerts import AlertState
from shared.store.chunks import chunks
from shared.store.merge import merge
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["AnomalyMonitor", "CountedDailyUses", "UsageAlertRepository"]

ENDED_PER_TURN_MAX = 500
DUE_PER_PAGE = 2_000
_LONGEST_DUE = (WATCHED_DATASETS.c.due_at, WATCHED_DATASETS.c.dataset_id)


class AnomalyMonitor:
    """Says which datasets are to be looked at for spikes and silence, and what is to be seen."""

    async def begin(self, work: UnitOfWork, since: Mapping[UUID, date], *, due_at: datetime) -> None:
        """Watch these datasets from ``due_at`` or earlier on; the earliest day given counts."""
        rows = [
            {"dataset_id": dataset_id, "counted_since": day, "due_at": due_at}
            for dataset_id, day in sorted(since.items())
        ]
        old = WATCHED_DATASETS.c
        await merge(
            work.connection,
            WATCHED_DATASETS,
            rows,
            lambda new: {
                "counted_since": case(
                    (old.counted_since < new.counted_since, old.counted_since), else_=new.counted_since
                ),
                "due_at": case((old.due_at < new.due_at, old.due_at), else_=new.due_at),
            },
        )

    async def due(
        self,
        work: UnitOfWork,
        *,
        now: datetime,
        rows_max: int,
        is_wanted: Callable[[UUID], bool] | None = None,
    ) -> list[WatchedDataset]:
        """Return datasets to look at, longest due first, under a row lock; ``None`` wants all of them."""
        statement = select(WATCHED_DATASETS).where(WATCHED_DATASETS.c.due_at <= now)
        if is_wanted is not None:
            wanted = await self._wanted(work, now, rows_max, is_wanted)
            statement = statement.where(WATCHED_DATASETS.c.dataset_id.in_(wanted))
        statement = statement.order_by(*_LONGEST_DUE).limit(rows_max).with_for_update(skip_locked=True)
        rows = await work.connection.execute(statement)
        return [WatchedDataset(row.dataset_id, row.counted_since) for row in rows]

    async def _wanted(
        self, work: UnitOfWork, now: datetime, rows_max: int, is_wanted: Callable[[UUID], bool]
    ) -> list[UUID]:
        """Return the ids of due datasets that are wanted. The other rows are not locked: others want them."""
        found: list[UUID] = []
        after: tuple[datetime, UUID] | None = None
        while len(found) < rows_max:
            statement = select(*_LONGEST_DUE).where(WATCHED_DATASETS.c.due_at <= now)
            if after is not None:
                types = [column.type for column in _LONGEST_DUE]
                statement = statement.where(tuple_(*_LONGEST_DUE) > tuple_(*after, types=types))
            rows = (
                await work.connection.execute(statement.order_by(*_LONGEST_DUE).limit(DUE_PER_PAGE))
            ).all()
            found += [row.dataset_id for row in rows if is_wanted(row.dataset_id)]
            if len(rows) < DUE_PER_PAGE:
                break
            after = (rows[-1].due_at, rows[-1].dataset_id)
        return found[:rows_max]

    async def looked_at(self, work: UnitOfWork, dataset_ids: Collection[UUID], *, due_at: datetime) -> None:
        """Set when to look again."""
        for ids in chunks(sorted(dataset_ids)):
            await work.connection.execute(
                update(WATCHED_DATASETS).where(WATCHED_DATASETS.c.dataset_id.in_(ids)).values(due_at=due_at)
            )

    async def observed_days(self, work: UnitOfWork, *, since: date) -> list[date]:
        """Return the days on which anything at all was used, in order."""
        statement = (
            select(COUNTED_DAYS.c.day)
            .where(COUNTED_DAYS.c.day >= since, COUNTED_DAYS.c.uses > 0)
            .order_by(COUNTED_DAYS.c.day)
        )
        return list((await work.connection.execute(statement)).scalars())

    async def subjects(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> dict[UUID, Subject]:
        """Return what alerts tell of these datasets; retired ones are left out."""
        known = KNOWN_DATASETS
        subjects: dict[UUID, Subject] = {}
        for ids in chunks(sorted(dataset_ids)):
            statement = select(known.c.dataset_id, known.c.title, known.c.agency_id).where(
                known.c.dataset_id.in_(ids), known.c.retired == false()
            )
            for row in await work.connection.execute(statement):
                subjects[row.dataset_id] = Subject(row.dataset_id, row.title, row.agency_id)
        return subjects


class CountedDailyUses:
    """Implements :class:`services.usage.anomalies.commands.DailyUses` on the counts themselves."""

    def at_hand(self) -> None:
        return None

    async def daily_uses(
        self, work: UnitOfWork, dataset_ids: Collection[UUID], *, since: date
    ) -> dict[UUID, dict[date, int]]:
        uses: dict[UUID, dict[date, int]] = {}
        for ids in chunks(sorted(dataset_ids)):
            statement = select(ROLLUPS).where(
                ROLLUPS.c.dataset_id.in_(ids),
                ROLLUPS.c.granularity == "day",
                ROLLUPS.c.window_start >= day_start(since),
            )
            for row in await work.connection.execute(statement):
                if count := counts_of(row).uses:
                    uses.setdefault(row.dataset_id, {})[row.window_start.date()] = count
        return uses


class UsageAlertRepository:
    """Keeps alerts and their versions."""

    async def open_alerts(
        self, work: UnitOfWork, dataset_ids: Collection[UUID]
    ) -> dict[UUID, list[KnownAlert]]:
        """Return the alerts per dataset that are not resolved, under a row lock."""
        found: dict[UUID, list[KnownAlert]] = {}
        for ids in chunks(sorted(dataset_ids)):
            statement = (
                select(ALERTS)
                .where(ALERTS.c.dataset_id.in_(ids), ALERTS.c.state != "resolved")
                .order_by(ALERTS.c.alert_id)
                .with_for_update()
            )
            for row in await work.connection.execute(statement):
                alert = KnownAlert(AlertState.model_validate(row.document), row.first_day)
                found.setdefault(row.dataset_id, []).append(alert)
        return found

    async def find(self, work: UnitOfWork, alert_ids: Collection[UUID]) -> dict[UUID, KnownAlert]:
        """Return these alerts, whatever their state, under a row lock; unknown ones are left out."""
        found: dict[UUID, KnownAlert] = {}
        for ids in chunks(sorted(alert_ids)):
            statement = select(ALERTS).where(ALERTS.c.alert_id.in_(ids)).order_by(ALERTS.c.alert_id)
            for row in await work.connection.execute(statement.with_for_update()):
                found[row.alert_id] = KnownAlert(AlertState.model_validate(row.document), row.first_day)
        return found

    async def put(self, work: UnitOfWork, step: AlertStep) -> int | None:
        """Write the state and return its version; ``None`` if it was opened before: nothing to tell."""
        table, alert = ALERTS, step.alert
        statement = select(table.c.version).where(table.c.alert_id == alert.alert_id).with_for_update()
        version: int | None = (await work.connection.execute(statement)).scalar_one_or_none()
        if step.change == "opened" and version is not None:
            return None
        row = {
            "alert_id": alert.alert_id,
            "dataset_id": alert.dataset_id,
            "kind": alert.kind,
            "state": alert.state,
            "first_day": step.first_day,
            "document": alert.model_dump(mode="json", exclude_none=True),
            "version": (version or 0) + 1,
            "resolved_at": alert.resolved_at,
        }
        await upsert(work.connection, table, [row])
        return (version or 0) + 1

    async def take_ended(
        self, work: UnitOfWork, *, resolved_before: datetime
    ) -> list[tuple[UUID, UUID, int]]:
        """Delete alerts resolved long ago; return alert id, dataset id and the version of the tombstone."""
        statement = (
            select(ALERTS.c.alert_id, ALERTS.c.dataset_id, ALERTS.c.version)
            .where(ALERTS.c.resolved_at < resolved_before)
            .limit(ENDED_PER_TURN_MAX)
            .with_for_update()
        )
        ended = [
            (row.alert_id, row.dataset_id, row.version + 1)
            for row in await work.connection.execute(statement)
        ]
        for some in chunks([alert_id for alert_id, _, _ in ended]):
            await work.connection.execute(delete(ALERTS).where(ALERTS.c.alert_id.in_(some)))
        return ended
