"""Tells what happened to a dataset: the full state inside Nutmeg, the public part to everyone outside."""

from uuid import UUID

from services.catalog.datasets.domain.entry import CatalogEntry, Revised, public_dataset
from shared.events.catalog import (
    DatasetChanged,
    DatasetRegistered,
    DatasetRetired,
    PublicDatasetPublished,
)
from shared.events.envelope import Event
from shared.events.registry import (
    DATASET_CHANGED,
    DATASET_REGISTERED,
    DATASET_RETIRED,
    PUBLIC_DATASET_PUBLISHED,
)
from shared.store.unit_of_work import UnitOfWork

__all__ = ["publish_change", "publish_registered", "publish_retired"]


def publish_registered(
    work: UnitOfWork, entry: CatalogEntry, *, harvest_id: UUID | None, first_harvest: bool
) -> None:
    """Tell of a dataset seen for the first time. Raises ``EventTooLargeError``."""
    data = DatasetRegistered(dataset=entry.state, harvest_id=harvest_id, first_harvest=first_harvest)
    work.emit(DATASET_REGISTERED, data, subject=str(entry.dataset_id), subjectversion=entry.version)
    _publish_public(work, None, entry, None)


def publish_change(
    work: UnitOfWork,
    revised: Revised,
    *,
    harvest_id: UUID | None = None,
    cause: Event | None = None,
    changed_by: UUID | None = None,
) -> None:
    """Tell of a change, if there was one. Raises ``EventTooLargeError``."""
    if not revised.fields:
        return
    after = revised.after
    data = DatasetChanged(
        dataset=after.state, changed_fields=list(revised.fields), harvest_id=harvest_id, changed_by=changed_by
    )
    work.emit(DATASET_CHANGED, data, subject=str(after.dataset_id), subjectversion=after.version, cause=cause)
    _publish_public(work, revised.before, after, cause)


def publish_retired(
    work: UnitOfWork, before: CatalogEntry, after: CatalogEntry, *, harvest_id: UUID | None
) -> None:
    """Tell of a dataset that left, with its reason."""
    data = DatasetRetired(dataset=after.state, reason=after.retired_reason or "", harvest_id=harvest_id)
    work.emit(DATASET_RETIRED, data, subject=str(after.dataset_id), subjectversion=after.version)
    _publish_public(work, before, after, None)


def _publish_public(
    work: UnitOfWork, before: CatalogEntry | None, after: CatalogEntry, cause: Event | None
) -> None:
    """Publish what anyone may know where that changed; end the key of a record that turned hidden."""
    subject = str(after.dataset_id)
    told = public_dataset(before.state) if before is not None and before.is_public else None
    if after.is_public:
        telling = public_dataset(after.state)
        if telling != told:
            work.emit(
                PUBLIC_DATASET_PUBLISHED,
                PublicDatasetPublished(dataset=telling),
                subject=subject,
                subjectversion=after.version,
                cause=cause,
            )
    elif told is not None:
        work.emit_tombstone(
            PUBLIC_DATASET_PUBLISHED, subject=subject, partition_key=subject, subjectversion=after.version
        )
