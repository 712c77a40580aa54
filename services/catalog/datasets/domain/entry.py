"""One dataset as the catalogue keeps it, and how its parts make the state that is told.

Four hands write on a dataset: the source (a feed), the dictionary (columns), governance (agency, steward,
promises) and a steward or officer in the catalogue itself. They are kept apart, so that each can be taken
back, and :func:`compose` lays them over one another. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from typing import Literal, cast, get_args
from uuid import UUID

from services.catalog.datasets.domain.columns import attach_columns
from services.catalog.datasets.domain.condition import Freshness, OpenAlerts
from services.catalog.datasets.domain.differences import changed_fields
from services.catalog.datasets.domain.stewardship import Stewardship, merge_stewardship
from shared.events.catalog import (
    AccessLevel,
    Column,
    DatasetState,
    PublicDataset,
    Visibility,
    known_access_level,
    known_visibility,
)
from shared.events.governance import StewardshipState

POPULARITY_BUCKET_MAX = 24
"""2^24 uses in 30 days: whatever lies above ranks alike."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a steward or officer decided in the catalogue; None leaves the word of governance or source."""

    visibility: Visibility | None = None
    access_level: AccessLevel | None = None
    rights: str | None = None


@dataclass(frozen=True, slots=True)
class GovernanceContext:
    """What the directory says today: agencies by id and by publisher name, stewardships by identifier."""

    agency_names: Mapping[UUID, str]
    agency_of_publisher: Mapping[str, UUID]
    stewardships: Mapping[str, StewardshipState]


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One dataset with all its parts.

    ``source`` is the state as the feed tells it, ``state`` the one that is told. ``version`` rises when
    ``state`` changes, ``document_revision`` on every change that search or a page shows.
    ``content_hash`` is that of the feed's record. ``freshness`` and ``quality_score`` (0..1) come from
    quality, ``uses_30d`` from usage; None is "not known". ``open_alerts`` sums up what quality and usage
    alert of, and changed at ``alerts_changed_at``.
    """

    dataset_id: UUID
    source: DatasetState
    content_hash: str
    state: DatasetState
    columns: tuple[Column, ...] = ()
    columns_from: Literal["dictionary", "steward"] | None = None
    decisions: Overrides = Overrides()
    version: int = 1
    document_revision: int = 1
    retired_at: datetime | None = None
    retired_reason: str | None = None
    quality_score: float | None = None
    freshness: str = "not-known"
    freshness_reason: str = ""
    uses_30d: int | None = None
    popularity_bucket: int = 0
    open_alerts: OpenAlerts | None = None
    alerts_changed_at: datetime | None = None

    @property
    def etag(self) -> str:
        """The entity tag of what is told and shown of it now."""
        return f'"{self.version}.{self.document_revision}"'

    @property
    def is_public(self) -> bool:
        """Whether anyone may know of it now."""
        return self.retired_at is None and self.state.visibility == "public"


@dataclass(frozen=True, slots=True)
class Revised:
    """An entry before and after a change; ``fields`` of the state that differ, none if it stayed the same."""

    before: CatalogEntry
    after: CatalogEntry
    fields: tuple[str, ...]


def register(source: DatasetState, content_hash: str, surroundings: GovernanceContext) -> CatalogEntry:
    """A dataset seen for the first time."""
    entry = CatalogEntry(source.dataset_id, source, content_hash, source)
    return replace(entry, state=compose(entry, surroundings))


def revise(entry: CatalogEntry, surroundings: GovernanceContext, now: datetime) -> Revised:
    """Compose the state anew, after a part of ``entry`` or its surroundings changed.

    Version and revision rise only if the state differs from the one told before.
    """
    state = compose(entry, surroundings)
    fields = tuple(changed_fields(entry.state, state))
    if not fields:
        return Revised(entry, entry, ())
    after = replace(
        entry,
        state=state.model_copy(update={"metadata_changed_at": now}),
        version=entry.version + 1,
        document_revision=entry.document_revision + 1,
    )
    return Revised(entry, after, fields)


def retire(entry: CatalogEntry, reason: str, now: datetime) -> CatalogEntry:
    """The entry out of view, with its reason; the last state stays readable for who may see it."""
    return replace(
        entry,
        state=entry.state.model_copy(update={"retired_at": now, "metadata_changed_at": now}),
        retired_at=now,
        retired_reason=reason,
        version=entry.version + 1,
        document_revision=entry.document_revision + 1,
    )


def compose(entry: CatalogEntry, surroundings: GovernanceContext) -> DatasetState:
    """What is told of a dataset: source, then governance, then decisions, then the dictionary."""
    source = entry.source
    given = surroundings.stewardships.get(source.identifier)
    agency_id = given.agency_id if given is not None else None
    if agency_id is None and source.publisher_name is not None:
        agency_id = surroundings.agency_of_publisher.get(source.publisher_name)
    state = source.model_copy(
        update={
            "agency_id": agency_id,
            "agency_name": surroundings.agency_names.get(agency_id) if agency_id is not None else None,
            "retired_at": entry.retired_at,
            "metadata_changed_at": entry.state.metadata_changed_at,
        }
    )
    if given is not None:
        state = merge_stewardship(state, _stewardship(given))
    decisions = entry.decisions
    decided = {name: value for name in Overrides.__slots__ if (value := getattr(decisions, name)) is not None}
    state = state.model_copy(update=decided)
    return attach_columns(state, list(entry.columns)) if entry.columns else state


def _stewardship(given: StewardshipState) -> Stewardship:
    updated = given.data_updated_on
    return Stewardship(
        steward_id=given.steward_id,
        accrual_periodicity=given.accrual_periodicity,
        data_updated_at=None if updated is None else datetime.combine(updated, time(), UTC),
        access_level=None if given.access_level is None else known_access_level(given.access_level),
        visibility=None if given.visibility is None else known_visibility(given.visibility),
    )


def known_freshness(status: str | None) -> Freshness:
    """The status as search knows it; a word from a later version is "not-known"."""
    return cast("Freshness", status) if status in get_args(Freshness) else "not-known"


def formats_of(state: DatasetState) -> tuple[str, ...]:
    """The formats that the data comes in, each once, in the order of its distributions."""
    return tuple(dict.fromkeys(item.format for item in state.distributions if item.format))


def popularity_bucket(uses: int) -> int:
    """A logarithmic step of use: 0 for none, 1 for 1, 2 for 2–3, 3 for 4–7, and so on."""
    return min(max(uses, 0).bit_length(), POPULARITY_BUCKET_MAX)


def public_dataset(state: DatasetState) -> PublicDataset:
    """What anyone may know of a dataset."""
    return PublicDataset.model_validate(state)


@dataclass(frozen=True, slots=True)
class KnownRecord:
    """What the catalogue remembers of a dataset of the source, by its identifier."""

    dataset_id: UUID
    content_hash: str
    retired: bool = False
