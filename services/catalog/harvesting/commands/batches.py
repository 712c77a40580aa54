"""Writes what one batch of a feed changes: rows, events and wishes for dictionaries, in one transaction."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from services.catalog.datasets.commands.publishing import publish_change, publish_registered, publish_retired
from services.catalog.datasets.domain.entry import CatalogEntry, register, retire, revise
from services.catalog.dcat.domain.records import ParsedRecord
from services.catalog.dictionary.commands import request_dictionaries
from services.catalog.harvesting.commands.context import HarvestContext
from services.catalog.harvesting.domain.differences import BatchPlan, ChangedRecord, NewRecord, dataset_state
from services.catalog.harvesting.domain.jobs import HarvestJob, HarvestSource
from shared.errors import EventTooLargeError
from shared.events.catalog import Cure, RejectedRecord
from shared.store.unit_of_work import UnitOfWork

__all__ = ["apply_batch", "retire_missing"]

RETIRED_REASON = "Its source no longer lists it."


async def apply_batch(
    work: UnitOfWork, context: HarvestContext, job: HarvestJob, source: HarvestSource, plan: BatchPlan
) -> BatchPlan:
    """Do what the plan says, and return what was done: what is too large for one event is rejected."""
    now = work.clock.now()
    known = await context.datasets.datasets.locked(work, [item.dataset_id for item in plan.changed])
    new = [(item, _new_entry(item, source, now)) for item in plan.created]
    changed = [
        (item, known[item.dataset_id], _with_record(known[item.dataset_id], item, source))
        for item in plan.changed
    ]
    sources = [entry.source for _, entry in new] + [entry.source for _, _, entry in changed]
    surroundings = await context.datasets.directory.surroundings(work, sources)
    written: list[CatalogEntry] = []
    refused: list[RejectedRecord] = []
    created: list[NewRecord] = []
    for fresh, blank in new:
        entry = register(blank.source, blank.content_hash, surroundings)
        try:
            publish_registered(work, entry, harvest_id=job.harvest_id, first_harvest=job.first_harvest)
        except EventTooLargeError as error:
            refused.append(_too_large(fresh.record, error))
            continue
        created.append(fresh)
        written.append(entry)
    applied: list[ChangedRecord] = []
    for change, before, entry in changed:
        revised = replace(revise(entry, surroundings, now), before=before)
        try:
            publish_change(work, revised, harvest_id=job.harvest_id)
        except EventTooLargeError as error:
            refused.append(_too_large(change.record, error))
            continue
        applied.append(change)
        written.append(revised.after)
    await context.datasets.datasets.put(work, written)
    await request_dictionaries(work, context.dictionaries, written)
    work.after_commit(context.datasets.wake_indexing)
    return BatchPlan(tuple(created), tuple(applied), plan.unchanged, (*plan.rejected, *refused))


async def retire_missing(
    work: UnitOfWork, context: HarvestContext, job: HarvestJob, identifiers: Collection[str]
) -> int:
    """Take datasets out of view that the feed no longer holds; return how many."""
    known = await context.datasets.datasets.known(work, job.source_id, identifiers)
    entries = await context.datasets.datasets.locked(work, [record.dataset_id for record in known.values()])
    now = work.clock.now()
    retired = []
    for before in entries.values():
        after = retire(before, RETIRED_REASON, now)
        publish_retired(work, before, after, harvest_id=job.harvest_id)
        retired.append(after)
    await context.datasets.datasets.put(work, retired)
    work.after_commit(context.datasets.wake_indexing)
    return len(retired)


def _new_entry(item: NewRecord, source: HarvestSource, now: datetime) -> CatalogEntry:
    state = dataset_state(
        item.record,
        dataset_id=uuid4(),
        source_id=source.source_id,
        registered_at=now,
        metadata_changed_at=now,
        is_sample=source.is_sample,
    )
    return CatalogEntry(state.dataset_id, state, item.content_hash, state)


def _with_record(entry: CatalogEntry, item: ChangedRecord, source: HarvestSource) -> CatalogEntry:
    """The known entry with what its source says now; one that was retired lives again."""
    state = dataset_state(
        item.record,
        dataset_id=entry.dataset_id,
        source_id=source.source_id,
        registered_at=entry.state.registered_at,
        metadata_changed_at=entry.state.metadata_changed_at,
        is_sample=source.is_sample,
    )
    is_without_dictionary = entry.columns_from == "dictionary" and state.described_by is None
    return replace(
        entry,
        source=state,
        content_hash=item.content_hash,
        retired_at=None,
        retired_reason=None,
        columns=() if is_without_dictionary else entry.columns,
        columns_from=None if is_without_dictionary else entry.columns_from,
    )


def _too_large(record: ParsedRecord, error: EventTooLargeError) -> RejectedRecord:
    problem = Cure(
        field="dataset",
        message=f"is too large to be told: {error}.",
        cure="Shorten the field that is named, or split the dataset.",
    )
    return RejectedRecord(identifier=record.identifier, title=record.title, problems=[problem])
