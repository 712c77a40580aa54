"""What the catalogue tells: the full state of a dataset each time it changes.

Owner: catalog. Topics: ``catalog.datasets`` (internal, every record) and ``catalog.public`` (the public
subset, for outside services). Field names follow DCAT-US 1.1 in snake case where it has one.
"""

from datetime import datetime
from typing import Literal, cast, get_args
from uuid import UUID

from pydantic import Field

from shared.events.model import EventModel, PublicModel

AccessLevel = Literal["public", "restricted public", "non-public"]
"""Who may get the *data* (DCAT-US 1.1, ``accessLevel``): the values known today. Events may carry others."""

Visibility = Literal["public", "government", "agency"]
"""Who may see the *record*: everyone, any signed-in government person, or the owning agency alone.

Events may carry other values; a consumer that does not know one hides the record."""

DESCRIPTION_BYTES_MAX = 64 * 1024
"""A longer text is cut here and marked with its length and hash (design, section 3, rule 6)."""


class Distribution(EventModel):
    """One way to get the data (DCAT-US 1.1 ``distribution``)."""

    title: str | None = None
    description: str | None = None
    download_url: str | None = None
    access_url: str | None = None
    media_type: str | None = None
    format: str | None = None


class Column(EventModel):
    """One entry of the data dictionary."""

    name: str
    title: str | None = None
    type: str | None = None
    description: str | None = None


class Cure(EventModel):
    """What was wrong with a field of the source record, and what Nutmeg did about it."""

    field: str
    message: str
    cure: str


class TruncatedText(EventModel):
    """Mark left where a text was cut: the field, its full size in bytes and its SHA-256."""

    field: str
    size_bytes: int
    sha256: str


class DatasetState(EventModel):
    """Everything that is known about one dataset. ``subjectversion`` of the event is its version."""

    dataset_id: UUID
    source_id: str
    identifier: str
    title: str
    description: str = ""
    keywords: list[str] = Field(default_factory=list)
    themes: list[str] = Field(default_factory=list)
    publisher_name: str | None = None
    agency_id: UUID | None = None
    agency_name: str | None = None
    steward_id: UUID | None = None
    contact_name: str | None = None
    contact_email: str | None = None
    access_level: AccessLevel | str = "public"
    visibility: Visibility | str = "public"
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
    distributions: list[Distribution] = Field(default_factory=list)
    columns: list[Column] = Field(default_factory=list)
    cures: list[Cure] = Field(default_factory=list)
    truncated: list[TruncatedText] = Field(default_factory=list)
    is_sample: bool = False
    registered_at: datetime
    metadata_changed_at: datetime
    retired_at: datetime | None = None


class DatasetRegistered(EventModel):
    """A dataset was seen for the first time."""

    dataset: DatasetState
    harvest_id: UUID | None = None
    first_harvest: bool = Field(
        default=False,
        description="True when the dataset arrived with the first harvest of its source: a baseline.",
    )


class DatasetChanged(EventModel):
    """A known dataset changed; ``changed_fields`` names the fields of :class:`DatasetState` that differ."""

    dataset: DatasetState
    changed_fields: list[str]
    harvest_id: UUID | None = None
    changed_by: UUID | None = Field(default=None, description="The person who decided it, if one did.")


class DatasetRetired(EventModel):
    """A dataset left its source, or was withdrawn. The record is kept, hidden, with its reason."""

    dataset: DatasetState
    reason: str
    harvest_id: UUID | None = None


class PublicDistribution(PublicModel):
    """One way to get the data, as outside services are told."""

    title: str | None = None
    description: str | None = None
    download_url: str | None = None
    access_url: str | None = None
    media_type: str | None = None
    format: str | None = None


class PublicDataset(PublicModel):
    """What anyone may know of a dataset: for outside services, without internal ids of people."""

    dataset_id: UUID
    identifier: str
    title: str
    description: str = ""
    keywords: list[str] = Field(default_factory=list)
    themes: list[str] = Field(default_factory=list)
    agency_name: str | None = None
    access_level: AccessLevel | str = "public"
    license: str | None = None
    landing_page: str | None = None
    modified: str | None = None
    accrual_periodicity: str | None = None
    distributions: list[PublicDistribution] = Field(default_factory=list)


class PublicDatasetPublished(PublicModel):
    """A public record is new or changed. When it turns hidden or retires, the key gets a tombstone."""

    dataset: PublicDataset


class RejectedRecord(EventModel):
    """A record of a feed that could not be kept."""

    identifier: str | None = None
    title: str | None = None
    problems: list[Cure]


class HarvestCompleted(EventModel):
    """One harvest ended: what it did, in numbers (a notice)."""

    harvest_id: UUID
    source_id: str
    first_harvest: bool
    created: int
    changed: int
    unchanged: int
    retired: int
    rejected: int
    rejections: list[RejectedRecord] = Field(default_factory=list)
    started_at: datetime
    completed_at: datetime


class HarvestHeld(EventModel):
    """A feed lost more than half of its datasets: nothing is retired until a person confirms (a notice)."""

    harvest_id: UUID
    source_id: str
    known: int
    missing: int


def known_visibility(word: str) -> Visibility:
    """The visibility; a word that this version does not know hides the record rather than showing it."""
    return cast("Visibility", word) if word in get_args(Visibility) else "agency"


def known_access_level(word: str) -> AccessLevel:
    """The access level; a word that this version does not know closes the data."""
    return cast("AccessLevel", word) if word in get_args(AccessLevel) else "non-public"
