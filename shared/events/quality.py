"""What quality tells: the latest measurements of a dataset, and one summary per steward.

Topics: ``quality.measurements`` and ``quality.notices``; its alerts are in :mod:`shared.events.alerts`.
"""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from shared.events.model import EventModel

__all__ = [
    "AgencySummaryLine",
    "BaselineSummarised",
    "ColumnProfiled",
    "DimensionScore",
    "Measurement",
    "MeasurementRecorded",
    "SummaryLine",
    "ValueCount",
]


class DimensionScore(EventModel):
    """One ISO/IEC 25012 characteristic, 0 to 1. ``None`` is *not measured*, never 0.

    ``applies`` is false where it is not asked of the dataset: what is not public is not graded for access.
    """

    dimension: str
    score: float | None = None
    reason: str
    applies: bool = True


class ValueCount(EventModel):
    """One value of a column, and how many rows hold it."""

    value: str
    rows: int


class ColumnProfiled(EventModel):
    """What the rows say about one column.

    Text has no minimum and maximum: their order says nothing. It has its commonest values instead, of public
    data only, and none where few rows hold a value or the column may be about persons.
    """

    name: str
    type: str
    null_fraction: float | None = None
    minimum: str | None = None
    maximum: str | None = None
    distinct_estimate: int | None = None
    commonest: list[ValueCount] = Field(
        default_factory=list, description="at most 5, most rows first; of text without personal data"
    )


class Measurement(EventModel):
    """The latest result of one kind of measurement on one dataset."""

    dataset_id: UUID
    kind: str = Field(description="metadata, freshness, profile or overall")
    score: float | None = None
    status: str | None = Field(
        default=None, description="freshness: ok, late, stale, not-applicable, not-known"
    )
    reason: str = ""
    dimensions: list[DimensionScore] = Field(default_factory=list)
    row_count: int | None = None
    columns: list[ColumnProfiled] = Field(default_factory=list)
    preview_header: list[str] = Field(default_factory=list)
    preview_rows: list[list[str]] = Field(
        default_factory=list, description="at most 20 rows, of public data only"
    )
    measured_at: datetime


class MeasurementRecorded(EventModel):
    """A measurement was made and differs from the one before."""

    measurement: Measurement


class SummaryLine(EventModel):
    """One dataset worth a steward's first look, with the reason."""

    dataset_id: UUID
    title: str
    reason: str


class AgencySummaryLine(EventModel):
    """What a first harvest brought of one agency; ``agency_id`` is None where the publisher is not known."""

    agency_id: UUID | None = None
    datasets: int
    fresh: int
    late: int
    stale: int
    not_applicable: int
    without_steward: int
    mean_completeness: float | None = None


class BaselineSummarised(EventModel):
    """A first harvest was measured: one summary for one steward, instead of a storm of alerts.

    One more per harvest has ``agencies``: it is for those who answer for agencies, each of whom is told of
    their own. Datasets without a steward are in that one alone.
    """

    notice_id: UUID
    steward_id: UUID | None = None
    agency_id: UUID | None = None
    datasets: int
    fresh: int
    late: int
    stale: int
    not_applicable: int
    mean_completeness: float | None = None
    worst: list[SummaryLine] = Field(default_factory=list)
    next_act: str
    agencies: list[AgencySummaryLine] = Field(
        default_factory=list, description="one per agency, of the summary for data officers; else empty"
    )
