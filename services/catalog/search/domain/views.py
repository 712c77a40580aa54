"""What the search page and the home page show: already filtered by what the viewer may see."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from services.catalog.changes_feed.domain.history import ChangeView
from services.catalog.datasets.domain.views import DatasetSummary, OwnDatasets
from services.catalog.search.domain.search import Facet, FacetCount, Reason, Segment


@dataclass(frozen=True, slots=True)
class ResultView:
    """One search result. The marked segments join to the whole title and to an excerpt of the description.

    ``excerpt`` is never empty where there is a description. ``score`` and ``explain`` are empty where an
    explicit sort ordered the results.
    """

    dataset: DatasetSummary
    title: tuple[Segment, ...]
    excerpt: tuple[Segment, ...]
    score: float | None
    explain: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class SearchView:
    """One page of results; ``relaxed`` tells in a sentence what was loosened."""

    total: int
    total_relation: Literal["eq", "gte"]
    results: tuple[ResultView, ...]
    facets: Mapping[Facet, tuple[FacetCount, ...]]
    next_cursor: str | None
    relaxed: str | None


@dataclass(frozen=True, slots=True)
class ThemeTile:
    """A theme (on the sample: a focal point) with the number of its datasets."""

    theme: str
    datasets: int


@dataclass(frozen=True, slots=True)
class HomeView:
    """What the home page shows.

    ``changed_today`` covers the last 24 hours: one line for each dataset, newest first, at most 10;
    ``changed_today_total`` counts datasets.
    """

    datasets: int
    agencies: int
    tiles: tuple[ThemeTile, ...]
    changed_today: tuple[ChangeView, ...]
    changed_today_total: int
    most_used: tuple[DatasetSummary, ...]
    is_sample: bool
    own: OwnDatasets | None = None
