"""What pages and the API read: catalog's own rows and its index, filtered by what the viewer may see."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.changes_feed.reader import dataset_history
from services.catalog.datasets.domain.condition import open_alerts_of_row, severity_rank
from services.catalog.datasets.domain.entry import known_freshness
from services.catalog.datasets.domain.insights import AlertDelivery, delivery_of
from services.catalog.datasets.domain.views import (
    AgencyView,
    AlertView,
    DatasetSummary,
    DatasetView,
    RetiredView,
    UseOfDay,
    UseOfMonth,
    UseView,
)
from services.catalog.migrations.tables import (
    AGENCIES,
    ALERT_DELIVERIES,
    DATASETS,
    MEASUREMENTS,
    OPEN_ALERTS,
    USAGE_DAILY,
)
from shared.datasets.read_model import visible_to
from shared.events.catalog import DatasetState
from shared.events.quality import Measurement
from shared.identity.viewer import Viewer
from shared.store.engine import Store

__all__ = ["DatasetReader", "FindRelated"]

ALERTS_SHOWN_MAX = 20
DAYS_SHOWN = 30
MONTHS_SHOWN = 12


FindRelated = Callable[[Viewer, DatasetState], Awaitable[tuple[DatasetSummary, ...]]]
"""Finds datasets like this one that the viewer may see. Search does, which stands on datasets."""


class DatasetReader:
    """Reads datasets and agencies. Every answer holds only what the given viewer may see."""

    def __init__(self, store: Store, find_related: FindRelated) -> None:
        self._store = store
        self._find_related = find_related

    async def dataset(self, dataset_id: UUID, viewer: Viewer) -> DatasetView | RetiredView | None:
        """A dataset page; None for an unknown and for a hidden dataset alike."""
        async with self._store.read() as connection:
            row = (
                await connection.execute(select(DATASETS).where(DATASETS.c.dataset_id == dataset_id))
            ).one_or_none()
            if row is None or not viewer.may_see(row.visibility, row.agency_id):
                return None
            if row.retired:
                return RetiredView(row.dataset_id, row.title, row.retired_reason or "", row.retired_at)
            measured = await connection.scalars(
                select(MEASUREMENTS.c.measurement).where(MEASUREMENTS.c.dataset_id == dataset_id)
            )
            measurements = [Measurement.model_validate(document) for document in measured]
            history = await dataset_history(connection, viewer, dataset_id)
            use = await _use(connection, dataset_id, row.uses_30d, self._store.clock.now().date())
            alerts = await _alerts(connection, row, viewer)
        state = DatasetState.model_validate(row.state)
        return DatasetView(
            state=state.model_copy(update={"steward_id": None}),
            version=row.version,
            etag=f'"{row.version}.{row.document_revision}"',
            has_steward=row.steward_id is not None,
            quality_score=row.quality_score,
            freshness=known_freshness(row.freshness),
            freshness_reason=row.freshness_reason,
            measurements={one.kind: one for one in measurements},
            use=use,
            history=history,
            alerts=alerts,
            open_alerts=open_alerts_of_row(row),
            alerts_changed_at=row.alerts_changed_at,
            related=await self._find_related(viewer, state),
        )

    async def agencies(self, viewer: Viewer) -> tuple[AgencyView, ...]:
        """Every agency by name, with its number of datasets."""
        counted = (
            select(DATASETS.c.agency_id, func.count().label("datasets"))
            .where(visible_to(viewer, DATASETS))
            .group_by(DATASETS.c.agency_id)
        )
        async with self._store.read() as connection:
            numbers = {row.agency_id: row.datasets for row in await connection.execute(counted)}
            rows = await connection.execute(select(AGENCIES).order_by(AGENCIES.c.name))
            return tuple(
                AgencyView(row.agency_id, row.code, row.name, numbers.get(row.agency_id, 0)) for row in rows
            )


async def _alerts(connection: AsyncConnection, dataset: Any, viewer: Viewer) -> tuple[AlertView, ...]:
    """What is open on a dataset that the viewer may see, the worst first.

    What exactly was found is for people of the agency, and for everybody where the data is public itself.
    """
    is_open = dataset.visibility == "public" and dataset.state.get("access_level") == "public"
    may_read = is_open or viewer.may_see("agency", dataset.agency_id)
    rows = await connection.execute(
        select(OPEN_ALERTS, *(ALERT_DELIVERIES.c[name] for name in AlertDelivery.__slots__[1:]))
        .outerjoin(ALERT_DELIVERIES, ALERT_DELIVERIES.c.alert_id == OPEN_ALERTS.c.alert_id)
        .where(OPEN_ALERTS.c.dataset_id == dataset.dataset_id)
        .order_by(OPEN_ALERTS.c.opened_at.desc(), OPEN_ALERTS.c.alert_id)
        .limit(ALERTS_SHOWN_MAX)
    )
    alerts = [
        AlertView(
            row.kind,
            row.severity,
            row.cause if may_read else None,
            row.opened_at,
            row.is_taken,
            *delivery_of(row).outcome_since(row.opened_at),
        )
        for row in rows
    ]
    return tuple(sorted(alerts, key=lambda one: severity_rank(one.severity)))


async def _use(connection: AsyncConnection, dataset_id: UUID, uses_30d: int | None, today: date) -> UseView:
    months = [_month_before(today, back) for back in range(MONTHS_SHOWN - 1, -1, -1)]
    days = [today - timedelta(days=back) for back in range(DAYS_SHOWN - 1, -1, -1)]
    rows = await connection.execute(
        select(USAGE_DAILY).where(
            USAGE_DAILY.c.dataset_id == dataset_id, USAGE_DAILY.c.day >= min(months[0], days[0])
        )
    )
    counted = {row.day: (row.views, row.downloads, row.api_calls) for row in rows}
    if not counted:
        return UseView(uses_30d=uses_30d)
    nothing = (0, 0, 0)
    return UseView(
        days=tuple(UseOfDay(day, *counted.get(day, nothing)) for day in days),
        months=tuple(
            UseOfMonth(month, *_sum(number for day, number in counted.items() if day.replace(day=1) == month))
            for month in months
        ),
        uses_30d=uses_30d,
    )


def _sum(numbers: Iterable[tuple[int, int, int]]) -> tuple[int, int, int]:
    views = downloads = api_calls = 0
    for one in numbers:
        views, downloads, api_calls = views + one[0], downloads + one[1], api_calls + one[2]
    return views, downloads, api_calls


def _month_before(today: date, back: int) -> date:
    number = today.year * 12 + today.month - 1 - back
    return date(number // 12, number % 12 + 1, 1)
