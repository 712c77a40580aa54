"""Writing to one tantivy index: revisions are compared with the index itself, in the same commit.

tantivy knows no versions. A side table of revisions could disagree with the index after a crash between the
two commits: a table behind the index lets an older write through, a table ahead of it refuses the write that
would mend the index. So there is no side table: each document carries its revision as a fast field, the
document and its revision become durable in one commit, and a lookup reads what is committed. After kill -9
the index is at its last commit, revisions included; the consumer's offset moves only after that commit, so
whatever was not committed is delivered again, and what was is found stale.
"""

import threading
from collections.abc import Iterable, Sequence
from typing import Literal
from uuid import UUID

import tantivy
from tantivy import Query

from services.catalog.search.domain.index import CatalogIndexError, IndexLockedError
from services.catalog.search.domain.search import SearchDocument, UpsertOutcome
from services.catalog.search.tantivy.generations import TantivyGeneration
from services.catalog.search.tantivy.schema import to_tantivy, uuid_of

LOOKUP_BATCH = 1_000


class GenerationWriter:
    """The one writer of a generation. Not for use by two threads at once, unless through a lock."""

    def __init__(self, generation: TantivyGeneration, *, memory_bytes: int, threads: int) -> None:
        self._generation = generation
        self._memory_bytes = memory_bytes
        self._threads = threads
        self._writer: tantivy.IndexWriter | None = None
        self.commits = 0

    def upsert(self, documents: Sequence[SearchDocument]) -> list[UpsertOutcome]:
        """Apply what is newer, commit once, make it searchable.

        Raises CatalogIndexError; then nothing of the call is kept.
        """
        outcomes: list[UpsertOutcome] = []
        chosen: dict[UUID, tantivy.Document] = {}
        held = self.revisions(document.dataset_id for document in documents)
        for document in documents:
            revision = held.get(document.dataset_id)
            # A revision of a wrong type is refused below, with every other wrong type.
            if revision is not None and isinstance(document.revision, int) and revision >= document.revision:
                outcomes.append(_outcome(document, "stale"))
                continue
            made = _made(document)
            if isinstance(made, UpsertOutcome):
                outcomes.append(made)
                continue
            chosen[document.dataset_id] = made
            held[document.dataset_id] = document.revision
            outcomes.append(_outcome(document, "applied"))
        if chosen:
            self._commit(chosen.items())
        return outcomes

    def purge(self, dataset_ids: Sequence[UUID]) -> int:
        """Forget documents; the number that was held."""
        held = self.revisions(dataset_ids)
        if held:
            self._commit((dataset_id, None) for dataset_id in held)
        return len(held)

    def revisions(self, dataset_ids: Iterable[UUID]) -> dict[UUID, int]:
        """The committed revision of each of these documents that is held."""
        wanted = [str(dataset_id) for dataset_id in dict.fromkeys(dataset_ids)]
        searcher = self._generation.index.searcher()
        found: dict[UUID, int] = {}
        for start in range(0, len(wanted), LOOKUP_BATCH):
            batch = wanted[start : start + LOOKUP_BATCH]
            query = Query.term_set_query(self._generation.schema, "id", batch)
            hits = searcher.search(query, limit=len(batch), count=False).hits
            places = [place for _, place in hits]
            halves = zip(
                searcher.fast_field_values("id_high", places),
                searcher.fast_field_values("id_low", places),
                searcher.fast_field_values("revision", places),
                strict=True,
            )
            for high, low, revision in halves:
                found[uuid_of(int(high or 0), int(low or 0))] = int(revision or 0)
        return found

    def add_uncommitted(self, changes: Iterable[tuple[UUID, tantivy.Document | None]]) -> None:
        """Replace or, for None, delete documents; nothing is seen before :meth:`commit`."""
        writer = self._opened()
        for dataset_id, made in changes:
            writer.delete_documents_by_term("id", str(dataset_id))
            if made is not None:
                writer.add_document(made)

    def commit(self) -> None:
        """Make all that was added durable and searchable. ``commits`` rises once it is."""
        self._opened().commit()
        self._generation.index.reload()
        self.commits += 1

    def close(self) -> None:
        """Wait for merges and give the lock back."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.wait_merging_threads()

    def abandon(self) -> None:
        """Give the lock back without waiting; what was not committed is gone."""
        self._writer = None

    def _commit(self, changes: Iterable[tuple[UUID, tantivy.Document | None]]) -> None:
        try:
            self.add_uncommitted(changes)
            self.commit()
        except (ValueError, OSError) as error:
            # A writer that failed may be dead for good: the next call makes a new one.
            self.abandon()
            raise CatalogIndexError(f"The search index could not be written: {error}") from error

    def _opened(self) -> tantivy.IndexWriter:
        if self._writer is None:
            try:
                self._writer = self._generation.index.writer(self._memory_bytes, self._threads)
            except ValueError as error:
                if "LockBusy" not in str(error):
                    raise
                told = (
                    f"Another process writes to the search index in {self._generation.path.parent}. "
                    "Stop it, or send the change through it."
                )
                raise IndexLockedError(told) from error
        return self._writer


class RebuildInProgress:
    """A generation being filled aside, while the live one goes on: what is written live is written here too.

    Revisions are kept in memory (about 100 bytes a document) because nothing is committed before the end.
    Safe for two threads: one feeds the stream, the other carries live writes over.
    """

    def __init__(self, writer: GenerationWriter) -> None:
        self._writer = writer
        self._lock = threading.Lock()
        self._revisions: dict[int, int] = {}
        self._purged: set[int] = set()
        self.applied = 0
        self.caught_up = 0
        self.refused: list[UpsertOutcome] = []

    def add_from_stream(self, documents: Sequence[SearchDocument]) -> None:
        """Add catalog's rows; a row that was purged meanwhile is skipped."""
        with self._lock:
            self.applied += self._add(documents, self._purged)

    def add_live(self, documents: Sequence[SearchDocument]) -> None:
        """Carry over what was just applied to the live generation."""
        with self._lock:
            self._purged.difference_update(document.dataset_id.int for document in documents)
            self.caught_up += self._add(documents, set())

    def purge(self, dataset_ids: Sequence[UUID]) -> None:
        """Carry a purge over."""
        with self._lock:
            for dataset_id in dataset_ids:
                self._purged.add(dataset_id.int)
                self._revisions.pop(dataset_id.int, None)
            self._writer.add_uncommitted((dataset_id, None) for dataset_id in dataset_ids)

    def finish(self) -> None:
        """Commit everything."""
        with self._lock:
            self._writer.commit()

    def _add(self, documents: Sequence[SearchDocument], purged: set[int]) -> int:
        added = 0
        for document in documents:
            made = _made(document)
            if isinstance(made, UpsertOutcome):
                self.refused.append(made)
                continue
            number = document.dataset_id.int
            if number not in purged and self._revisions.get(number, -1) < document.revision:
                self._writer.add_uncommitted([(document.dataset_id, made)])
                self._revisions[number] = document.revision
                added += 1
        return added


def _made(document: SearchDocument) -> tantivy.Document | UpsertOutcome:
    """The document for tantivy, or its refusal with the reason."""
    try:
        return to_tantivy(document)
    except (ValueError, TypeError, OverflowError) as error:
        return UpsertOutcome(document.dataset_id, document.revision, "refused", str(error))


def _outcome(document: SearchDocument, status: Literal["applied", "stale"]) -> UpsertOutcome:
    return UpsertOutcome(document.dataset_id, document.revision, status)
