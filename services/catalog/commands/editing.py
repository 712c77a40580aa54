"""What people and the directory change on datasets that are there: decisions, columns, surroundings."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from services.catalog.commands.publishing import publish_change
from services.catalog.domain.entry import CatalogEntry, Decisions, Revised, revise
from services.catalog.ports import CatalogPorts
from shared.events.catalog import Column
from shared.events.envelope import Event
from shared.events.registry import DATASET_REGISTERED
from shared.store.unit_of_work import UnitOfWork

__all__ = ["change_parts", "decide", "describe_columns", "end_retired", "review_all", "review_use"]

ENTRIES_PER_STATEMENT_MAX = 200
USE_DAYS = 30
ENDED_AFTER = timedelta(days=30)
"""A retired dataset's key is ended on the topic after this time (topics.py, ``tombstone_days``)."""

Change = Callable[[CatalogEntry], CatalogEntry]


async def decide(
    work: UnitOfWork,
    ports: CatalogPorts,
    dataset_id: UUID,
    decisions: Decisions,
    *,
    by: UUID | None = None,
) -> CatalogEntry | None:
    """Lay a person's decisions over what governance and source say; None for an unknown dataset.

    ``by`` is told with the change, for the access log.
    """
    return await _change_one(
        work, ports, dataset_id, lambda entry: replace(entry, decisions=decisions), by=by
    )


async def describe_columns(
    work: UnitOfWork, ports: CatalogPorts, dataset_id: UUID, columns: Sequence[Column], *, by_steward: bool
) -> CatalogEntry | None:
    """Give a dataset its data dictionary. What a steward wrote is not replaced by a fetched one."""

    def described(entry: CatalogEntry) -> CatalogEntry:
        if not by_steward and entry.columns_from == "steward":
            return entry
        return replace(entry, columns=tuple(columns), columns_from="steward" if by_steward else "dictionary")

    return await _change_one(work, ports, dataset_id, described)


async def review_all(
    work: UnitOfWork,
    ports: CatalogPorts,
    dataset_ids: Collection[UUID],
    cause_of: Callable[[CatalogEntry], Event | None],
) -> int:
    """Compose these datasets anew after the directory changed; return how many differ."""
    differing = 0
    for chunk in _chunks(list(dataset_ids)):
        entries = await ports.datasets.locked(work, chunk)
        for revised in await change_parts(work, ports, list(entries.values()), cause_of=cause_of):
            differing += bool(revised.fields)
    return differing


async def change_parts(
    work: UnitOfWork,
    ports: CatalogPorts,
    entries: Sequence[CatalogEntry],
    *,
    cause_of: Callable[[CatalogEntry], Event | None] = lambda _entry: None,
    by: UUID | None = None,
) -> list[Revised]:
    """Compose, write and tell entries whose parts or surroundings changed."""
    surroundings = await ports.directory.surroundings(work, [entry.source for entry in entries])
    now = work.clock.now()
    revised = [revise(entry, surroundings, now) for entry in entries]
    for one in revised:
        publish_change(work, one, cause=cause_of(one.after), changed_by=by)
    await ports.datasets.put(work, [one.after for one in revised if one.fields])
    work.after_commit(ports.wake_indexing)
    return revised


async def review_use(work: UnitOfWork, ports: CatalogPorts) -> int:
    """Count the last 30 days of every dataset again, since old uses fall out of them as time goes by."""
    first_day = work.clock.now().date() - timedelta(days=USE_DAYS - 1)
    changed = await ports.datasets.note_use(work, await ports.insights.uses_since(work, first_day))
    if changed:
        work.after_commit(ports.wake_indexing)
    return changed


async def end_retired(work: UnitOfWork, ports: CatalogPorts) -> int:
    """End the keys of datasets retired 30 days ago; their rows stay, with the reason."""
    due = await ports.datasets.retired_before(work, work.clock.now() - ENDED_AFTER, ENTRIES_PER_STATEMENT_MAX)
    for entry in due:
        work.emit_tombstone(
            DATASET_REGISTERED,
            subject=str(entry.dataset_id),
            partition_key=str(entry.dataset_id),
            subjectversion=entry.version + 1,
        )
    ended = [replace(entry, version=entry.version + 1) for entry in due]
    await ports.datasets.put(work, ended)
    await ports.datasets.mark_ended(work, [entry.dataset_id for entry in due])
    return len(due)


async def _change_one(
    work: UnitOfWork, ports: CatalogPorts, dataset_id: UUID, change: Change, *, by: UUID | None = None
) -> CatalogEntry | None:
    entry = (await ports.datasets.locked(work, [dataset_id])).get(dataset_id)
    if entry is None:
        return None
    changed = change(entry)
    revised = (await change_parts(work, ports, [changed], by=by))[0]
    if not revised.fields and changed != entry:
        # Nothing that is told differs, but who decided it does: it must outlive a later change elsewhere.
        await ports.datasets.put(work, [changed])
    return revised.after


def _chunks(dataset_ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    for start in range(0, len(dataset_ids), ENTRIES_PER_STATEMENT_MAX):
        yield dataset_ids[start : start + ENTRIES_PER_STATEMENT_MAX]
