"""Keeps the search index at what catalog's own rows say.

The rows are the truth and the index follows: a row whose revision is above the indexed one is handed to the
index, which refuses anything older than it holds. So a batch may be sent twice, and after a crash is.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from services.catalog.search.commands.survey import survey
from services.catalog.search.domain.index import CatalogIndex, CatalogIndexError
from services.catalog.search.domain.reconciling import IndexDrift, LastReconcile, Reconciliation
from services.catalog.search.domain.search import RebuildReport
from services.catalog.search.repository import IndexBacklog
from shared.store.engine import Store
from shared.store.notes import NoteName, read_note
from shared.telemetry.metrics import Metrics

__all__ = ["IndexWorker"]

DOCUMENTS_PER_BATCH = 2_000
PURGED_AFTER = timedelta(seconds=60)
"""A retired document is forgotten no earlier: a write that is still under way could bring it back."""

_NOTES_OF_A_LOSS: tuple[NoteName, ...] = ("loss_accepted", "refusal")

_log = structlog.get_logger(__name__)


class IndexWorker:
    """Recurring work and maintenance of the index."""

    def __init__(
        self,
        store: Store,
        ledger: IndexBacklog,
        index: CatalogIndex,
        metrics: Metrics,
        *,
        engine: str,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self.index = index
        self._metrics = metrics
        self._engine = engine
        self._is_checked = False
        self._maintaining = asyncio.Lock()

    async def run_once(self) -> int:
        """Index one batch; 0 when nothing is left, or the index is away and is to be tried again later."""
        try:
            if not self._is_checked:
                await self._rebuild_if_needed()
            return await self._index_batch()
        except CatalogIndexError as error:
            _log.warning("index_away", error=str(error))
            # It may come back empty: look again before anything is written.
            self._is_checked = False
            self._metrics.count("nutmeg_index_operations_total", operation="put", outcome="failed")
            return 0

    async def pending(self) -> int:
        """Entries that the index has still to learn of."""
        return await self._ledger.dirty_count()

    async def reindex(self) -> RebuildReport:
        """Build the index anew beside the old one, swap them, and catch up. Raises ``CatalogIndexError``."""
        async with self._maintaining:
            report = await self.index.rebuild(self._ledger.documents())
            for refused in report.refused:
                _log.error("document_refused", dataset_id=str(refused.dataset_id), reason=refused.reason)
            return report

    async def reconcile(self, *, repair: bool) -> IndexDrift:
        """Compare the index with the rows; with ``repair``, mend it and forget what retired long enough ago.

        Returns what was found. A row that waits to be indexed is no drift. Raises ``CatalogIndexError``.
        """
        async with self._maintaining:
            while await self._index_batch():
                continue
            found = await self._survey()
            for kind, documents in found.drift.kinds().items():
                self._metrics.count("nutmeg_index_drift_found_total", documents, kind=kind)
            left, told = found.drift, found.drift
            if repair:
                told = await self._repair(found)
                # The index may have refused what was to be mended: only another look tells what is left.
                left = (await self._survey()).drift if any(told.kinds().values()) else told
            async with self._store.unit_of_work() as work:
                last = LastReconcile(compared_at=work.clock.now(), **left.kinds())
                await self._ledger.note_reconcile(work, last)
            self._set_gauges(last)
            return told

    async def reconciled_at(self) -> datetime | None:
        """When index and rows were last compared, by whichever process."""
        last = await self._ledger.last_reconcile()
        return last.compared_at if last is not None else None

    async def measure(self) -> None:
        """Set the gauges that only the index and the rows can tell."""
        last = await self._ledger.last_reconcile()
        if last is not None:
            self._set_gauges(last)
        try:
            self._metrics.set("nutmeg_index_documents", await self.index.count(), engine=self._engine)
        except CatalogIndexError:
            self._metrics.forget("nutmeg_index_documents", engine=self._engine)
            _log.warning("index_away")

    async def _survey(self) -> Reconciliation:
        found = await survey(self.index, self._ledger, self._store.clock.now() - PURGED_AFTER)
        # Lost rows have left their documents. Only who builds the index anew means to lose those too.
        return found.keeping_unknown() if await self._has_lost_rows() else found

    async def _has_lost_rows(self) -> bool:
        async with self._store.read() as connection:
            for name in _NOTES_OF_A_LOSS:
                if await read_note(connection, self._store.tables, name) is not None:
                    return True
        return False

    async def _rebuild_if_needed(self) -> None:
        status = await self.index.status()
        if status.needs_rebuild is not None:
            _log.info("index_rebuilds", reason=status.needs_rebuild)
            await self.reindex()
        self._is_checked = True

    async def _index_batch(self) -> int:
        documents = await self._ledger.dirty(DOCUMENTS_PER_BATCH)
        if not documents:
            return 0
        outcomes = await self.index.upsert(documents)
        done: dict[UUID, int] = {}
        for status, number in Counter(outcome.status for outcome in outcomes).items():
            self._metrics.count("nutmeg_index_operations_total", number, operation="put", outcome=status)
        for outcome in outcomes:
            if outcome.status == "refused":
                _log.error("document_refused", dataset_id=str(outcome.dataset_id), reason=outcome.reason)
            if outcome.status != "deferred":
                done[outcome.dataset_id] = outcome.revision
        async with self._store.unit_of_work() as work:
            await self._ledger.mark_indexed(work, done)
        return len(done)

    async def _repair(self, found: Reconciliation) -> IndexDrift:
        purged = repaired = 0
        for portion in _portions(found.to_purge):
            purged += await self.index.purge(portion)
        for portion in _portions(found.to_index):
            async with self._store.unit_of_work() as work:
                await self._ledger.mark_dirty(work, portion)
            while number := await self._index_batch():
                repaired += number
        return replace(found.drift, repaired=repaired, purged=purged)

    def _set_gauges(self, last: LastReconcile) -> None:
        for kind, documents in last.kinds().items():
            self._metrics.set("nutmeg_index_drift_documents", documents, kind=kind)
        age = self._store.clock.now() - last.compared_at
        self._metrics.set("nutmeg_index_reconcile_age_seconds", max(0.0, age.total_seconds()))


def _portions(dataset_ids: Collection[UUID]) -> Iterator[list[UUID]]:
    keys = list(dataset_ids)
    for start in range(0, len(keys), DOCUMENTS_PER_BATCH):
        yield keys[start : start + DOCUMENTS_PER_BATCH]
