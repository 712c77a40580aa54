"""Compares the whole search index with the catalogue's rows, a bounded portion at a time.

Rows and index both change while they are read. So what looks wrong at first sight is looked at a second time,
and counts only if its row has stood still and been indexed in between.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from services.catalog.search.domain.index import CatalogIndex
from services.catalog.search.domain.reconciling import (
    ExpectedDocument,
    Reconciliation,
    is_as_expected,
    reconcile,
)
from services.catalog.search.domain.search import IndexedRevision
from services.catalog.search.repository import IndexBacklog

__all__ = ["survey"]

DOCUMENTS_PER_LOOK = 1_000


@dataclass(slots=True)
class _FirstSight:
    """Live rows, visible documents, and what was expected of the entries that looked wrong."""

    live: int = 0
    visible: int = 0
    suspects: dict[UUID, ExpectedDocument | None] = field(default_factory=dict)


async def survey(index: CatalogIndex, ledger: IndexBacklog, retired_before: datetime) -> Reconciliation:
    """Return how the index differs, and what mends it. Raises ``CatalogIndexError``."""
    first = await _first_sight(index, ledger, retired_before)
    found = Reconciliation.nothing()
    if first.suspects:
        held = {
            document.dataset_id: document
            async for document in index.scan()
            if document.dataset_id in first.suspects
        }
        found = reconcile(await _unmoved(ledger, first.suspects, held), held, retired_before)
    return replace(found, drift=replace(found.drift, store=first.live, index=first.visible))


async def _first_sight(index: CatalogIndex, ledger: IndexBacklog, retired_before: datetime) -> _FirstSight:
    found = _FirstSight()
    seen: set[UUID] = set()
    async for documents in _portions(index.scan()):
        expected = await ledger.expected([document.dataset_id for document in documents])
        for document in documents:
            key = document.dataset_id
            seen.add(key)
            found.visible += not document.hidden
            if not is_as_expected(document, expected.get(key), retired_before):
                found.suspects[key] = expected.get(key)
    after: UUID | None = None
    while page := await ledger.expected_after(after, DOCUMENTS_PER_LOOK):
        for after, row in page.items():
            if row.retired_at is None:
                found.live += 1
                if after not in seen:
                    found.suspects[after] = row
    return found


async def _unmoved(
    ledger: IndexBacklog,
    suspects: Mapping[UUID, ExpectedDocument | None],
    held: dict[UUID, IndexedRevision],
) -> dict[UUID, ExpectedDocument]:
    """What is expected of the suspects whose row stood still; the others are taken out of ``held``."""
    expected: dict[UUID, ExpectedDocument] = {}
    keys = list(suspects)
    for start in range(0, len(keys), DOCUMENTS_PER_LOOK):
        portion = keys[start : start + DOCUMENTS_PER_LOOK]
        now = await ledger.expected(portion)
        for key in portion:
            row = now.get(key)
            if row != suspects[key] or (row is not None and row.waits):
                held.pop(key, None)
            elif row is not None:
                expected[key] = row
    return expected


async def _portions(documents: AsyncIterator[IndexedRevision]) -> AsyncIterator[list[IndexedRevision]]:
    portion: list[IndexedRevision] = []
    async for document in documents:
        portion.append(document)
        if len(portion) == DOCUMENTS_PER_LOOK:
            yield portion
            portion = []
    if portion:
        yield portion
