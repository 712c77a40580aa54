"""What pages and the API show: immutable views, already filtered by what the viewer may see.

A view never holds a person's id. ``None`` always means "not known", never zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from services.catalog.domain.condition import Condition, OpenAlerts, worst_of
from services.catalog.domain.records import NotifiedOutcome
from services.catalog.domain.search import Facet, FacetCount, Freshness, Reason, Segment
from shared.events.catalog import DatasetState, RejectedRecord
from shared.events.quality import Measurement

HarvestStatus = Literal["queued", "running", "completed", "held", "failed", "parked"]


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """One dataset in a list. ``uses_30d`` are views, downloads and API calls of the last 30 days."""

    dataset_id: UUID
    title: str
    description: str
    identifier: str
    agency_id: UUID | None
    agency_name: str | None
    publisher_name: str | None
    themes: tuple[str, ...]
    formats: tuple[str, ...]
    access_level: str
    visibility: str
    license: str | None
    modified: str | None
    data_updated_at: datetime | None
    freshness: Freshness
    freshness_reason: str
    quality_score: float | None
    uses_30d: int | None
    is_sample: bool
    open_alerts: OpenAlerts | None = None

    @property
    def condition(self) -> Condition:
        """The worst of score, freshness and open alerts."""
        return worst_of(self.quality_score, self.freshness, self.open_alerts)


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
class AgencyView:
    """An agency with the number of its datasets that the viewer may see."""

    agency_id: UUID
    code: str
    name: str
    datasets: int


@dataclass(frozen=True, slots=True)
class ChangeView:
    """One line of a dataset's history, or of what changed today.

    ``changed_fields`` are field names of ``DatasetState``; ``reason`` is given for a retirement. ``times`` is
    above 1 where one line stands for several changes.
    """

    event_id: str
    dataset_id: UUID
    title: str
    agency_name: str | None
    kind: Literal["registered", "changed", "retired"]
    changed_fields: tuple[str, ...]
    reason: str | None
    happened_at: datetime
    times: int = 1


@dataclass(frozen=True, slots=True)
class OwnDatasets:
    """What somebody sees first who answers for datasets: how many, and those with open alerts, worst first.

    ``with_alerts`` counts all that have any, ``worst`` holds at most 6 of them. ``agency_ids`` are empty for
    somebody who answers for all.
    """

    datasets: int
    out_of_date: int
    with_alerts: int
    worst: tuple[DatasetSummary, ...]
    agency_ids: tuple[UUID, ...]


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


@dataclass(frozen=True, slots=True)
class UseOfDay:
    """Counted use of one UTC day."""

    day: date
    views: int
    downloads: int
    api_calls: int


@dataclass(frozen=True, slots=True)
class UseOfMonth:
    """Counted use of one calendar month, by its first day."""

    month: date
    views: int
    downloads: int
    api_calls: int


@dataclass(frozen=True, slots=True)
class UseView:
    """Use over time, oldest first: 30 days and 12 months without gaps, both empty when nothing is known."""

    days: tuple[UseOfDay, ...] = ()
    months: tuple[UseOfMonth, ...] = ()
    uses_30d: int | None = None


@dataclass(frozen=True, slots=True)
class AlertView:
    """An alert that is open on a dataset. ``cause`` is None where the viewer may not read it.

    ``is_taken`` tells that a person has taken charge; who it is, is told nowhere. ``notified`` is what the
    deliveries say: whom a message about it has reached, and when.
    """

    kind: str
    severity: str
    cause: str | None
    opened_at: datetime
    is_taken: bool
    notified: NotifiedOutcome = "nobody"
    notified_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DatasetView:
    """Everything a dataset page shows. ``measurements`` by kind: metadata, freshness, profile, overall.

    The rows and the header of the preview are in the ``profile`` measurement. ``state.steward_id`` is
    always None here; ``has_steward`` tells whether someone answers for the dataset.
    """

    state: DatasetState
    version: int
    etag: str
    has_steward: bool
    quality_score: float | None
    freshness: Freshness
    freshness_reason: str
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    use: UseView = UseView()
    history: tuple[ChangeView, ...] = ()
    alerts: tuple[AlertView, ...] = ()
    related: tuple[DatasetSummary, ...] = ()
    open_alerts: OpenAlerts | None = None
    alerts_changed_at: datetime | None = None

    @property
    def condition(self) -> Condition:
        """The worst of score, freshness and open alerts."""
        return worst_of(self.quality_score, self.freshness, self.open_alerts)


@dataclass(frozen=True, slots=True)
class RetiredView:
    """A dataset that left the catalogue, with the reason."""

    dataset_id: UUID
    title: str
    reason: str
    retired_at: datetime


@dataclass(frozen=True, slots=True)
class HarvestView:
    """One harvest. ``total`` is None until the feed was read once; ``message`` tells why it failed.

    ``known`` and ``missing`` are set when the feed was read to its end. At most 1,000 rejections are listed.
    """

    harvest_id: UUID
    source_id: str
    url: str | None
    status: HarvestStatus
    first_harvest: bool
    processed: int
    total: int | None
    created: int
    changed: int
    unchanged: int
    retired: int
    rejected: int
    known: int | None
    missing: int | None
    message: str | None
    rejections: tuple[RejectedRecord, ...]
    requested_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
