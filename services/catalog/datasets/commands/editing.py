"""What people and the directory change on datasets that are there: decisions, columns, surroundings."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from services.catalog.datasets.commands.context import DatasetContext
from services.catalog.datasets.commands.publishing import publish_change
from services.catalog.datasets.domain.entry import CatalogEntry, Overrides, Revised, revise
from services.catalog.datasets.domain.errors import DatasetNotFoundError
from shared.errors import NotAllowedError
from shared.events.catalog import Column
from shared.events.envelope import Event
from shared.events.registry import DATASET_REGISTERED
from shared.identity.viewer import Role, Viewer
from shared.store.chunks import chunks
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = [
    "EDITORS",
    "RequireVersion",
    "change_parts",
    "decide",
    "describe_columns",
    "end_retired",
    "entry_to_edit",
    "override",
    "recompute",
    "review_use",
]

ENTRIES_PER_STATEMENT_MAX = 200
USE_DAYS = 30
ENDED_AFTER = timedelta(days=30)
"""A retired dataset's key is ended on the topic after this time (topics.py, ``tombstone_days``)."""

EDITORS = (Role.STEWARD, Role.AGENCY_DATA_OFFICER, Role.CHIEF_DATA_OFFICER)

RequireVersion = Callable[[str], None]
"""Raises unless the entity tag is that of the version which the person has read."""

Change = Callable[[CatalogEntry], CatalogEntry]


async def override(
    store: Store,
    context: DatasetContext,
    viewer: Viewer,
    dataset_id: UUID,
    changes: Mapping[str, Any],
    *,
    require_version: RequireVersion,
) -> None:
    """Lay a person's decisions over what governance and source say; None takes one back.

    ``changes`` are fields of :class:`Overrides`. Raises ``DatasetNotFoundError`` and ``NotAllowedError``.
    """
    async with store.unit_of_work() as work:
        entry = await entry_to_edit(work, context, viewer, dataset_id, require_version)
        overrides = replace(entry.decisions, **changes)
        await decide(work, context, dataset_id, overrides, by=viewer.person_id)


async def entry_to_edit(
    work: UnitOfWork,
    context: DatasetContext,
    viewer: Viewer,
    dataset_id: UUID,
    require_version: RequireVersion,
) -> CatalogEntry:
    """Return the entry under its lock, if the viewer may change it and has read its present version.

    Raises ``DatasetNotFoundError``, ``NotAllowedError``, and what ``require_version`` raises.
    """
    entry = (await context.datasets.locked(work, [dataset_id])).get(dataset_id)
    if entry is None or not viewer.may_see(entry.state.visibility, entry.state.agency_id):
        raise DatasetNotFoundError(dataset_id)
    if viewer.is_program or not viewer.has(*EDITORS, agency_id=entry.state.agency_id):
        raise NotAllowedError(
            "Only a steward or data officer of the agency that publishes this dataset can change it.",
            fix="Ask them, or the chief data officer.",
        )
    require_version(entry.etag)
    return entry


async def decide(
    work: UnitOfWork,
    context: DatasetContext,
    dataset_id: UUID,
    decisions: Overrides,
    *,
    by: UUID | None = None,
) -> CatalogEntry | None:
    """Lay a person's decisions over what governance and source say; None for an unknown dataset.

    ``by`` is told with the change, for the access log.
    """
    return await _change_one(
        work, context, dataset_id, lambda entry: replace(entry, decisions=decisions), by=by
    )


async def describe_columns(
    work: UnitOfWork,
    context: DatasetContext,
    dataset_id: UUID,
    columns: Sequence[Column],
    *,
    by_steward: bool,
) -> CatalogEntry | None:
    """Give a dataset its data dictionary. What a steward wrote is not replaced by a fetched one."""

    def described(entry: CatalogEntry) -> CatalogEntry:
        if not by_steward and entry.columns_from == "steward":
            return entry
        return replace(entry, columns=tuple(columns), columns_from="steward" if by_steward else "dictionary")

    return await _change_one(work, context, dataset_id, described)


async def recompute(
    work: UnitOfWork,
    context: DatasetContext,
    dataset_ids: Collection[UUID],
    cause_of: Callable[[CatalogEntry], Event | None],
) -> int:
    """Compose these datasets anew after the directory changed; return how many differ."""
    differing = 0
    for chunk in chunks(dataset_ids, ENTRIES_PER_STATEMENT_MAX):
        entries = await context.datasets.locked(work, chunk)
        for revised in await change_parts(work, context, list(entries.values()), cause_of=cause_of):
            differing += bool(revised.fields)
    return differing


async def change_parts(
    work: UnitOfWork,
    context: DatasetContext,
    entries: Sequence[CatalogEntry],
    *,
    cause_of: Callable[[CatalogEntry], Event | None] = lambda _entry: None,
    by: UUID | None = None,
) -> list[Revised]:
    """Compose, write and tell entries whose parts or surroundings changed."""
    surroundings = await context.directory.surroundings(work, [entry.source for entry in entries])
    now = work.clock.now()
    revised = [revise(entry, surroundings, now) for entry in entries]
    for revision in revised:
        publish_change(work, revision, cause=cause_of(revision.after), changed_by=by)
    await context.datasets.put(work, [revision.after for revision in revised if revision.fields])
    work.after_commit(context.wake_indexing)
    return revised


async def review_use(work: UnitOfWork, context: DatasetContext) -> int:
    """Count the last 30 days of every dataset again, since old uses fall out of them as time goes by."""
    first_day = work.clock.now().date() - timedelta(days=USE_DAYS - 1)
    changed = await context.datasets.note_use(work, await context.insights.uses_since(work, first_day))
    if changed:
        work.after_commit(context.wake_indexing)
    return changed


async def end_retired(work: UnitOfWork, context: DatasetContext) -> int:
    """End the keys of datasets retired 30 days ago; their rows stay, with the reason."""
    due = await context.datasets.retired_before(
        work, work.clock.now() - ENDED_AFTER, ENTRIES_PER_STATEMENT_MAX
    )
    for entry in due:
        work.emit_tombstone(
            DATASET_REGISTERED,
            subject=str(entry.dataset_id),
            partition_key=str(entry.dataset_id),
            subjectversion=entry.version + 1,
        )
    ended = [replace(entry, version=entry.version + 1) for entry in due]
    await context.datasets.put(work, ended)
    await context.datasets.mark_ended(work, [entry.dataset_id for entry in due])
    return len(due)


async def _change_one(
    work: UnitOfWork, context: DatasetContext, dataset_id: UUID, change: Change, *, by: UUID | None = None
) -> CatalogEntry | None:
    entry = (await context.datasets.locked(work, [dataset_id])).get(dataset_id)
    if entry is None:
        return None
    changed = change(entry)
    revised = (await change_parts(work, context, [changed], by=by))[0]
    if not revised.fields and changed != entry:
        # Nothing that is told differs, but who decided it does: it must outlive a later change elsewhere.
        await context.datasets.put(work, [changed])
    return revised.after
