"""The catalogue's pages on the real stack, over a reader that answers from fixed views."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from fastapi import FastAPI

from services.catalog.datasets.domain.views import AgencyView, DatasetView, RetiredView
from services.catalog.datasets.pages.routes import build_dataset_pages
from services.catalog.dcat.domain.export import Installation
from services.catalog.harvesting.commands.context import HarvestContext
from services.catalog.harvesting.domain.views import HarvestView
from services.catalog.harvesting.pages import build_harvest_pages
from services.catalog.search.domain.search import SearchQuery, Suggestion
from services.catalog.search.domain.views import HomeView, SearchView, ThemeTile
from services.catalog.search.pages.routes import build_search_pages
from shared.clock import SimulatedClock
from shared.http.app import build_app
from shared.http.settings import HTTPSettings
from shared.identity.viewer import Viewer
from shared.store.engine import Store
from shared.telemetry.metrics import Metrics
from tests.unit.catalog import page_views
from tests.unit.http.application import SIGNING_KEY, KnownTokens, always_ready

INSTALLATION = Installation(
    "https://data.example.gov", "State data", "State of Example", "Data team", "opendata@example.gov"
)


@dataclass
class FixedReader:
    """Answers from fixed views and remembers what was asked."""

    home_view: HomeView = field(default_factory=page_views.home)
    search_view: SearchView = field(default_factory=page_views.results)
    queries: list[SearchQuery] = field(default_factory=list)
    error: Exception | None = None

    async def home(self, viewer: Viewer) -> HomeView:
        self._fail()
        return self.home_view

    async def search(self, query: SearchQuery, viewer: Viewer) -> SearchView:
        self.queries.append(query)
        self._fail()
        return page_views.nothing_found() if query.text == "nothing at all" else self.search_view

    async def suggest(self, prefix: str, viewer: Viewer, size: int = 8) -> tuple[Suggestion, ...]:
        return ()

    async def dataset(self, dataset_id: UUID, viewer: Viewer) -> DatasetView | RetiredView | None:
        self._fail()
        made: dict[UUID, Callable[[], DatasetView | RetiredView]] = {
            page_views.FULL: page_views.full_dataset,
            page_views.BARE: page_views.bare_dataset,
            page_views.RESTRICTED: page_views.restricted_dataset,
            page_views.LONG: page_views.long_dataset,
            page_views.RETIRED: page_views.retired_dataset,
        }
        return made[dataset_id]() if dataset_id in made else None

    async def agencies(self, viewer: Viewer) -> tuple[AgencyView, ...]:
        return page_views.agencies() if self.home_view.datasets else ()

    async def themes(self, viewer: Viewer) -> tuple[ThemeTile, ...]:
        return self.home_view.tiles

    async def harvests(self, limit: int = 50) -> tuple[HarvestView, ...]:
        return page_views.harvests()

    async def harvest(self, harvest_id: UUID) -> HarvestView | None:
        return next((one for one in page_views.harvests() if one.harvest_id == harvest_id), None)

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


def build(reader: FixedReader | None = None) -> FastAPI:
    """The pages; confirming a harvest has no store here and is tested with the service."""
    every: Any = reader or FixedReader()  # it answers for each of the readers
    return build_app(
        title="Test",
        routers=[
            build_search_pages(every, every, every, INSTALLATION),
            build_dataset_pages(every, INSTALLATION),
            build_harvest_pages(cast("Store", None), cast("HarvestContext", None), every),
        ],
        authenticator=KnownTokens(),
        signing_key=SIGNING_KEY,
        metrics=Metrics(),
        clock=SimulatedClock(page_views.NOW),
        installation="State data",
        settings=HTTPSettings(rate_limit=""),
        readiness=always_ready,
    )
