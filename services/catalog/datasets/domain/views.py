"""What pages and the API show: immutable views, already filtered by what the viewer may see.

A view never holds a person's id. ``None`` always means "not known", never zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID

from services.catalog.changes_feed.domain.history import ChangeView
from services.catalog.datasets.domain.condition import Condition, Freshness, OpenAlerts, worst_of
from services.catalog.datasets.domain.insights import NotifiedOutcome
from shared.events.catalog import DatasetState
from shared.events.quality import Measurement


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
class AgencyView:
    """An agency with the number of its datasets that the viewer may see."""

    agency_id: UUID
    code: str
    name: str
    datasets: int


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
