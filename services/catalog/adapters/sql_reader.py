"""What pages and the API read: catalog's own rows and its index, filtered by what the viewer may see."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Select, bindparam, exists, func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.adapters.entry_rows import alerts_of
from services.catalog.adapters.sql_changes import readable_by
from services.catalog.adapters.sql_harvests import job_of
from services.catalog.adapters.sql_summaries import SUMMARY_COLUMNS, own_datasets, summary_of
from services.catalog.adapters.sql_surroundings import delivery_of
from services.catalog.domain.condition import severity_rank
from services.catalog.domain.entry import known_freshness
from services.catalog.domain.folding import fold_changes
from services.catalog.domain.harvest_job import HarvestJob
from services.catalog.domain.records import AlertDelivery
from services.catalog.domain.search import (
    SearchHit,
    SearchQuery,
    Segment,
    Suggestion,
    ViewerScope,
)
from services.catalog.domain.views import (
    AgencyView,
    AlertView,
    ChangeView,
    DatasetSummary,
    DatasetView,
    HarvestView,
    HomeView,
    ResultView,
    RetiredView,
    SearchView,
    ThemeTile,
    UseOfDay,
    UseOfMonth,
    UseView,
)
from services.catalog.migrations.tables import (
    AGENCIES,
    ALERT_DELIVERIES,
    CHANGES,
    DATASETS,
    HARVEST_REJECTIONS,
    HARVESTS,
    MEASUREMENTS,
    OPEN_ALERTS,
    SOURCES,
    USAGE_DAILY,
)
from services.catalog.ports import CatalogIndex
from shared.clock import Clock
from shared.datasets.read_model import visible_to
from shared.events.catalog import DatasetState, RejectedRecord
from shared.events.quality import Measurement
from shared.events.registry import DATASET_CHANGED, DATASET_REGISTERED, DATASET_RETIRED
from shared.identity.viewer import Viewer
from shared.store.engine import Store

__all__ = ["SqlCatalogReader", "scope_of"]

EXCERPT_CHARACTERS = 240
HISTORY_LINES_MAX = 30
CHANGED_TODAY_MAX = 10
LINES_LOOKED_AT_MAX = 500
LINES_FOLDED_MAX = 5
ALERTS_SHOWN_MAX = 20
MOST_USED_MAX = 6
RELATED_MAX = 4
REJECTIONS_MAX = 1_000
DAYS_SHOWN = 30
MONTHS_SHOWN = 12

_KINDS: dict[str, Literal["registered", "changed", "retired"]] = {
    DATASET_REGISTERED.name: "registered",
    DATASET_CHANGED.name: "changed",
    DATASET_RETIRED.name: "retired",
}


def scope_of(viewer: Viewer) -> ViewerScope:
    """What the viewer may see, in the words of the index."""
    if viewer.sees_all_agencies:
        return ViewerScope.everything()
    if viewer.sees_government:
        return ViewerScope.government(viewer.agency_ids)
    return ViewerScope.public()


class SqlCatalogReader:
    """Implements :class:`services.catalog.ports.CatalogReader`."""

    def __init__(self, store: Store, index: CatalogIndex, clock: Clock) -> None:
        self._store = store
        self._index = index
        self._clock = clock

    async def home(self, viewer: Viewer) -> HomeView:
        tiles = await self.themes(viewer)
        async with self._store.read() as connection:
            is_seen = visible_to(viewer, DATASETS)
            counted = (
                await connection.execute(
                    select(
                        func.count().label("datasets"),
                        func.count(DATASETS.c.agency_id.distinct()).label("agencies"),
                    ).where(is_seen)
                )
            ).one()
            used = await connection.execute(
                select(*SUMMARY_COLUMNS)
                .where(is_seen, DATASETS.c.uses_30d > 0)
                .order_by(DATASETS.c.uses_30d.desc(), DATASETS.c.dataset_id)
                .limit(MOST_USED_MAX)
            )
            most_used = tuple(summary_of(row) for row in used)
            since = self._clock.now() - timedelta(hours=24)
            changes = _changes(viewer).where(CHANGES.c.happened_at >= since)
            total = await connection.scalar(
                changes.with_only_columns(func.count(CHANGES.c.dataset_id.distinct()))
            )
            lines = await _changed_today(connection, changes)
            own = await own_datasets(connection, viewer)
            is_sample = await connection.scalar(select(exists().where(SOURCES.c.is_sample == true())))
        return HomeView(
            datasets=counted.datasets,
            agencies=counted.agencies,
            tiles=tiles,
            changed_today=lines,
            changed_today_total=total or 0,
            most_used=most_used,
            is_sample=bool(is_sample),
            own=own,
        )

    async def search(self, query: SearchQuery, viewer: Viewer) -> SearchView:
        page = await self._index.search(replace(query, viewer=scope_of(viewer)))
        summaries = await self._summaries(viewer, [hit.dataset_id for hit in page.results])
        # A record hidden since it was indexed is left out here too: the rows have the last word.
        results = tuple(
            _result(hit, summaries[hit.dataset_id]) for hit in page.results if hit.dataset_id in summaries
        )
        return SearchView(
            page.total, page.total_relation, results, page.facets, page.next_cursor, page.relaxed
        )

    async def suggest(self, prefix: str, viewer: Viewer, size: int = 8) -> tuple[Suggestion, ...]:
        return await self._index.suggest(prefix, scope_of(viewer), size)

    async def dataset(self, dataset_id: UUID, viewer: Viewer) -> DatasetView | RetiredView | None:
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
            lines = await connection.execute(
                _changes(viewer)
                .where(CHANGES.c.dataset_id == dataset_id)
                .order_by(CHANGES.c.sequence.desc())
                .limit(HISTORY_LINES_MAX)
            )
            history = tuple(_change(line) for line in lines)
            use = await _use(connection, dataset_id, row.uses_30d, self._clock.now().date())
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
            open_alerts=alerts_of(row),
            alerts_changed_at=row.alerts_changed_at,
            related=await self._related(viewer, state),
        )

    async def agencies(self, viewer: Viewer) -> tuple[AgencyView, ...]:
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

    async def themes(self, viewer: Viewer) -> tuple[ThemeTile, ...]:
        page = await self._index.search(SearchQuery(size=1, viewer=scope_of(viewer)))
        tiles = [ThemeTile(count.value, count.count) for count in page.facets.get("theme", ())]
        return tuple(sorted(tiles, key=lambda tile: tile.theme.casefold()))

    async def harvests(self, limit: int = 50) -> tuple[HarvestView, ...]:
        newest = select(HARVESTS).order_by(HARVESTS.c.requested_at.desc()).limit(limit)
        async with self._store.read() as connection:
            return tuple(_harvest(job_of(row), ()) for row in await connection.execute(newest))

    async def harvest(self, harvest_id: UUID) -> HarvestView | None:
        async with self._store.read() as connection:
            row = (
                await connection.execute(select(HARVESTS).where(HARVESTS.c.harvest_id == harvest_id))
            ).one_or_none()
            if row is None:
                return None
            records = await connection.scalars(
                select(HARVEST_REJECTIONS.c.record)
                .where(HARVEST_REJECTIONS.c.harvest_id == harvest_id)
                .order_by(HARVEST_REJECTIONS.c.rejection_id)
                .limit(REJECTIONS_MAX)
            )
            rejections = [RejectedRecord.model_validate(record) for record in records]
        return _harvest(job_of(row), rejections)

    async def _summaries(self, viewer: Viewer, dataset_ids: Collection[UUID]) -> dict[UUID, DatasetSummary]:
        async with self._store.read() as connection:
            rows = await connection.execute(_summaries_seen_by(viewer), {"ids": list(dataset_ids)})
            return {row.dataset_id: summary_of(row) for row in rows}

    async def _related(self, viewer: Viewer, state: DatasetState) -> tuple[DatasetSummary, ...]:
        """The most used of the same theme; without a theme, of the same agency."""
        filters: dict[Any, frozenset[str]] = {}
        if state.themes:
            filters["theme"] = frozenset(state.themes[:1])
        elif state.agency_id is not None:
            filters["agency"] = frozenset({str(state.agency_id)})
        else:
            return ()
        query = SearchQuery(
            filters=filters,
            sort="popular",
            size=RELATED_MAX + 1,
            viewer=scope_of(viewer),
            with_facets=False,
        )
        page = await self._index.search(query)
        ids = [hit.dataset_id for hit in page.results if hit.dataset_id != state.dataset_id][:RELATED_MAX]
        summaries = await self._summaries(viewer, ids)
        return tuple(summaries[dataset_id] for dataset_id in ids if dataset_id in summaries)


@lru_cache(maxsize=256)
def _summaries_seen_by(viewer: Viewer) -> Select[Any]:
    """Kept, since to build it for each search took longer than to run it."""
    wanted = DATASETS.c.dataset_id.in_(bindparam("ids", expanding=True))
    return select(*SUMMARY_COLUMNS).where(wanted, visible_to(viewer, DATASETS))


def _changes(viewer: Viewer) -> Select[Any]:
    return (
        select(CHANGES)
        .join(DATASETS, DATASETS.c.dataset_id == CHANGES.c.dataset_id)
        .where(readable_by(viewer), CHANGES.c.event_type.in_(_KINDS))
    )


async def _changed_today(connection: AsyncConnection, changes: Select[Any]) -> tuple[ChangeView, ...]:
    """One line for each of the datasets that changed last, newest first."""
    # A line holds the whole state: first find out which are wanted, then read those.
    found = await connection.execute(
        changes.with_only_columns(CHANGES.c.dataset_id, CHANGES.c.sequence)
        .order_by(CHANGES.c.sequence.desc())
        .limit(LINES_LOOKED_AT_MAX)
    )
    by_dataset: dict[UUID, list[int]] = {}
    for row in found:
        if row.dataset_id in by_dataset or len(by_dataset) < CHANGED_TODAY_MAX:
            by_dataset.setdefault(row.dataset_id, []).append(row.sequence)
    wanted = [sequence for sequences in by_dataset.values() for sequence in sequences[:LINES_FOLDED_MAX]]
    rows = await connection.execute(select(CHANGES).where(CHANGES.c.sequence.in_(wanted)))
    lines = {row.sequence: _change(row) for row in rows}
    return tuple(
        replace(fold_changes([lines[one] for one in sequences[:LINES_FOLDED_MAX]]), times=len(sequences))
        for sequences in by_dataset.values()
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


def _change(row: Any) -> ChangeView:
    dataset = row.data["dataset"]
    return ChangeView(
        event_id=row.event_id,
        dataset_id=row.dataset_id,
        title=dataset["title"],
        agency_name=dataset.get("agency_name"),
        kind=_KINDS[row.event_type],
        changed_fields=tuple(row.data.get("changed_fields", ())),
        reason=row.data.get("reason"),
        happened_at=row.happened_at,
    )


def _result(hit: SearchHit, dataset: DatasetSummary) -> ResultView:
    marked = {highlight.field: highlight.segments for highlight in hit.highlights}
    return ResultView(
        dataset=dataset,
        title=marked.get("title") or (Segment(dataset.title),),
        excerpt=marked.get("description") or _excerpt(dataset.description),
        score=hit.score,
        explain=hit.explain,
    )


def _excerpt(description: str) -> tuple[Segment, ...]:
    text = " ".join(description[: EXCERPT_CHARACTERS * 4].split())
    if not text:
        return ()
    if len(text) > EXCERPT_CHARACTERS:
        text = text[:EXCERPT_CHARACTERS].rsplit(" ", 1)[0] + " …"
    return (Segment(text),)


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


def _harvest(job: HarvestJob, rejections: Iterable[RejectedRecord]) -> HarvestView:
    counts = job.counts
    return HarvestView(
        harvest_id=job.harvest_id,
        source_id=job.source_id,
        url=job.url,
        status=job.status,
        first_harvest=job.first_harvest,
        processed=job.processed,
        total=job.total,
        created=counts.created,
        changed=counts.changed,
        unchanged=counts.unchanged,
        retired=counts.retired,
        rejected=counts.rejected,
        known=job.known,
        missing=job.missing,
        message=job.message,
        rejections=tuple(rejections),
        requested_at=job.requested_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
    )
