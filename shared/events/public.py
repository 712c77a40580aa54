"""What leaves the installation: for each type that outside readers are told, a payload of its own.

These models are allow-lists. A public payload is built from the internal one by name (:func:`public_data`),
so a field that is added to an internal event is private until somebody adds it here. Left out on purpose:
ids of people; texts that people wrote; Nutmeg's own sentences (facts and codes leave, wording belongs to
pages); cells of data files; and how the installation works inside (sources, harvests, cures).
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from shared.events import registry
from shared.events.catalog import PublicDistribution
from shared.events.model import PublicModel
from shared.events.registry import EventType

__all__ = ["PUBLIC_MODELS", "PublicDatasetState", "public_data", "public_model_of"]


class PublicColumn(PublicModel):
    """One entry of the data dictionary."""

    name: str
    title: str | None = None
    type: str | None = None
    description: str | None = None


class PublicTruncatedText(PublicModel):
    """Mark left where a text was cut: the field, its full size in bytes and its SHA-256."""

    field: str
    size_bytes: int
    sha256: str


class PublicDatasetState(PublicModel):
    """A dataset as its published metadata describes it. The contact is a published one (DCAT-US)."""

    dataset_id: UUID
    identifier: str
    title: str
    description: str = ""
    keywords: list[str] = Field(default_factory=list)
    themes: list[str] = Field(default_factory=list)
    publisher_name: str | None = None
    agency_id: UUID | None = None
    agency_name: str | None = None
    contact_name: str | None = None
    contact_email: str | None = None
    access_level: str = "public"
    visibility: str = Field(
        default="public", description="who may see the record: pass on only what is public"
    )
    rights: str | None = None
    license: str | None = None
    landing_page: str | None = None
    issued: str | None = None
    modified: str | None = None
    data_updated_at: datetime | None = None
    accrual_periodicity: str | None = None
    temporal: str | None = None
    spatial: str | None = None
    languages: list[str] = Field(default_factory=list)
    references: list[str] = Field(default_factory=list)
    is_part_of: str | None = None
    described_by: str | None = None
    distributions: list[PublicDistribution] = Field(default_factory=list)
    columns: list[PublicColumn] = Field(default_factory=list)
    truncated: list[PublicTruncatedText] = Field(default_factory=list)
    is_sample: bool = False
    registered_at: datetime
    metadata_changed_at: datetime
    retired_at: datetime | None = None


class PublicDatasetRegistered(PublicModel):
    """A dataset was seen for the first time."""

    dataset: PublicDatasetState


class PublicDatasetChanged(PublicModel):
    """A known dataset changed; ``changed_fields`` names those fields of ``dataset`` that differ."""

    dataset: PublicDatasetState
    changed_fields: list[str]


class PublicDatasetRetired(PublicModel):
    """A dataset left its source, or was withdrawn by its agency."""

    dataset: PublicDatasetState


class PublicDimensionScore(PublicModel):
    """One ISO/IEC 25012 characteristic, 0 to 1; absent where it was not measured."""

    dimension: str
    score: float | None = None
    applies: bool = True


class PublicColumnProfiled(PublicModel):
    """What the rows say about one column, without any value of theirs."""

    name: str
    type: str
    null_fraction: float | None = None
    distinct_estimate: int | None = None


class PublicMeasurement(PublicModel):
    """The latest result of one kind of measurement on one dataset."""

    dataset_id: UUID
    kind: str = Field(description="metadata, freshness, profile or overall")
    score: float | None = None
    status: str | None = Field(
        default=None, description="freshness: ok, late, stale, not-applicable, not-known"
    )
    dimensions: list[PublicDimensionScore] = Field(default_factory=list)
    row_count: int | None = None
    columns: list[PublicColumnProfiled] = Field(default_factory=list)
    measured_at: datetime


class PublicMeasurementRecorded(PublicModel):
    """A measurement was made and differs from the one before."""

    measurement: PublicMeasurement


class PublicRollup(PublicModel):
    """Absolute counts of one dataset on one UTC day (COUNTER R5.1); a later event replaces an earlier one."""

    dataset_id: UUID
    granularity: str
    window_start: datetime
    views: int = 0
    downloads: int = 0
    api_calls: int = 0
    total_item_investigations: int = 0
    total_item_requests: int = 0
    unique_item_investigations: int = 0
    unique_item_requests: int = 0
    tdm_item_requests: int = 0


class PublicRollupUpdated(PublicModel):
    """The counts of a day changed."""

    rollup: PublicRollup


class PublicEvidence(PublicModel):
    """One observation that made or ended an alert."""

    name: str
    expected: str | None = None
    observed: str | None = None


class PublicAlertState(PublicModel):
    """An alert, for people and programs of the dataset's agency."""

    alert_id: UUID
    dataset_id: UUID
    dataset_title: str
    agency_id: UUID | None = None
    kind: str
    severity: str
    state: str
    evidence: list[PublicEvidence] = Field(default_factory=list)
    occurrences: int = 1
    opened_at: datetime
    changed_at: datetime
    acknowledged_at: datetime | None = None
    resolved_at: datetime | None = None


class PublicAlertOpened(PublicModel):
    """A dataset degraded from its baseline, or a resolved alert came back."""

    alert: PublicAlertState


class PublicAlertChanged(PublicModel):
    """The severity, the evidence or the acknowledgement of an open alert changed."""

    alert: PublicAlertState
    change: str


class PublicAlertResolved(PublicModel):
    """The dataset recovered."""

    alert: PublicAlertState


class PublicSharingRequest(PublicModel):
    """Where a request stands, for its requester and those who decide. What was written is on its page."""

    request_id: UUID
    dataset_id: UUID
    dataset_title: str
    agency_id: UUID | None = None
    status: str
    submitted_at: datetime
    changed_at: datetime
    due_on: date | None = None


class PublicSharingRequestChanged(PublicModel):
    """A sharing request was submitted, returned, approved, denied or withdrawn."""

    request: PublicSharingRequest


_MODELS: dict[EventType, type[PublicModel]] = {
    registry.DATASET_REGISTERED: PublicDatasetRegistered,
    registry.DATASET_CHANGED: PublicDatasetChanged,
    registry.DATASET_RETIRED: PublicDatasetRetired,
    registry.MEASUREMENT_RECORDED: PublicMeasurementRecorded,
    registry.ROLLUP_UPDATED: PublicRollupUpdated,
    registry.USAGE_ALERT_OPENED: PublicAlertOpened,
    registry.USAGE_ALERT_CHANGED: PublicAlertChanged,
    registry.USAGE_ALERT_RESOLVED: PublicAlertResolved,
    registry.QUALITY_ALERT_OPENED: PublicAlertOpened,
    registry.QUALITY_ALERT_CHANGED: PublicAlertChanged,
    registry.QUALITY_ALERT_RESOLVED: PublicAlertResolved,
    registry.SHARING_REQUEST_SUBMITTED: PublicSharingRequestChanged,
    registry.SHARING_REQUEST_RETURNED: PublicSharingRequestChanged,
    registry.SHARING_REQUEST_APPROVED: PublicSharingRequestChanged,
    registry.SHARING_REQUEST_DENIED: PublicSharingRequestChanged,
    registry.SHARING_REQUEST_WITHDRAWN: PublicSharingRequestChanged,
}

PUBLIC_MODELS: Mapping[str, type[PublicModel]] = {kind.name: model for kind, model in _MODELS.items()}
"""Event type name → what leaves of its payload. A type that is not here does not leave."""


def public_model_of(type_name: str) -> type[PublicModel]:
    """Return the public model of a type. Raises ``KeyError`` for a type that does not leave."""
    if type_name not in PUBLIC_MODELS:
        raise KeyError(f"{type_name} does not leave the installation; see shared/events/public.py")
    return PUBLIC_MODELS[type_name]


def public_data(type_name: str, payload: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    """Return what leaves of a payload, as JSON values, without what is null.

    ``payload`` is the internal one, or a document that this function returned before. Raises ``KeyError``
    for a type that does not leave.
    """
    public = public_model_of(type_name).model_validate(payload)
    told = public.model_dump(mode="json", exclude_none=True)
    if isinstance(public, PublicDatasetChanged):
        told["changed_fields"] = [
            name for name in public.changed_fields if name in PublicDatasetState.model_fields
        ]
    return told
