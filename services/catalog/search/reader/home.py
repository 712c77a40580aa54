"""What the home page shows."""

from datetime import timedelta

from sqlalchemy import exists, func, select, true

from services.catalog.changes_feed.reader import changed_since
from services.catalog.datasets.reader.summaries import SUMMARY_COLUMNS, own_datasets, summary_of
from services.catalog.migrations.tables import DATASETS, SOURCES
from services.catalog.search.domain.views import HomeView
from services.catalog.search.reader.search import SearchReader
from shared.datasets.read_model import visible_to
from shared.identity.viewer import Viewer
from shared.store.engine import Store

__all__ = ["HomeReader"]

MOST_USED_MAX = 6


class HomeReader:
    """Reads the home page for a viewer."""

    def __init__(self, store: Store, searches: SearchReader) -> None:
        self._store = store
        self._searches = searches

    async def home(self, viewer: Viewer) -> HomeView:
        """What the home page shows."""
        tiles = await self._searches.themes(viewer)
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
            since = self._store.clock.now() - timedelta(hours=24)
            lines, total = await changed_since(connection, viewer, since)
            own = await own_datasets(connection, viewer)
            is_sample = await connection.scalar(select(exists().where(SOURCES.c.is_sample == true())))
        return HomeView(
            datasets=counted.datasets,
            agencies=counted.agencies,
            tiles=tiles,
            changed_today=lines,
            changed_today_total=total,
            most_used=most_used,
            is_sample=bool(is_sample),
            own=own,
        )
