"""Writing to Elasticsearch: external versions by revision, and an outcome for each document.

The engine compares revisions by itself (``version_type=external``): what is not newer than it holds is a
conflict, and means that it is done already.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import orjson

from services.catalog.search.domain.index import CatalogIndexError
from services.catalog.search.domain.search import SearchDocument, UpsertOutcome
from services.catalog.search.elasticsearch.schema import to_source

if TYPE_CHECKING:
    from elasticsearch import AsyncElasticsearch

BULK_DOCUMENTS_MAX = 1_000
BULK_BYTES_MAX = 900_000
"""Below the megabyte from which sending would hold up the event loop, and below the engine's 100 MB."""

CONFLICT_RETRIES_MAX = 10
CONFLICT_RETRY_SECONDS = 0.1
COPY_BATCH = 500

_OK, _CREATED, _NOT_FOUND, _CONFLICT, _UNAVAILABLE = 200, 201, 404, 409, 503
_LATER = frozenset({403, 408, 429, 502, 503, 504})
"""Item statuses that pass: a write block, overload, a shard that is moving."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document as the engine takes it."""

    dataset_id: UUID
    revision: int
    source: bytes


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    reason: str


def prepare(documents: Iterable[SearchDocument]) -> list[Prepared | UpsertOutcome]:
    """Each document for the engine, or its refusal with the reason. Takes time: not for the event loop."""
    return [_prepared(document) for document in documents]


class BulkWriter:
    """Writes through aliases only, so that no write ever creates an index. Raises the client's own errors."""

    def __init__(self, client: "AsyncElasticsearch") -> None:
        self._client = client

    async def write(
        self, alias: str, prepared: Sequence[Prepared | UpsertOutcome], *, refresh: bool
    ) -> list[UpsertOutcome]:
        """Write documents; one outcome each, in the order given. With ``refresh``, they can be found then."""
        wanted = [found for found in prepared if isinstance(found, Prepared)]
        answers = iter(await self._settled(alias, wanted, refresh=refresh))
        return [
            found if isinstance(found, UpsertOutcome) else _outcome(found, next(answers))
            for found in prepared
        ]

    async def delete(self, alias: str, dataset_ids: Iterable[UUID], *, refresh: bool) -> int:
        """Forget documents; the number that was held. Raises :class:`CatalogIndexError` where refused."""
        lines = [[orjson.dumps({"delete": {"_id": str(dataset_id)}})] for dataset_id in dataset_ids]
        answers = await self._bulk(alias, lines, refresh=refresh)
        for answer in answers:
            if answer.status not in {_OK, _NOT_FOUND}:
                raise CatalogIndexError(f"Elasticsearch could not forget a document: {answer.reason}")
        return sum(answer.status == _OK for answer in answers)

    async def last_sequence(self, index: str) -> int:
        """The number of the newest write that can be seen in an index; -1 when there is none."""
        await self._client.indices.refresh(index=index)
        answer = await self._client.search(index=index, sort=[{"_seq_no": "desc"}], size=1, source=False)
        hits = answer.body["hits"]["hits"]
        return int(hits[0]["sort"][0]) if hits else -1

    async def copy_newer(self, index: str, alias: str, *, after: int) -> int:
        """Carry what was written to ``index`` after a sequence number over; how many were new there."""
        await self._client.indices.refresh(index=index)
        copied = 0
        async for batch in self._written_after(index, after):
            outcomes = await self.write(alias, batch, refresh=False)
            unsettled = [outcome for outcome in outcomes if outcome.status in {"refused", "deferred"}]
            if unsettled:
                raise CatalogIndexError(f"Elasticsearch did not take a copy: {unsettled[0].reason}")
            copied += sum(outcome.status == "applied" for outcome in outcomes)
        return copied

    async def _written_after(self, index: str, after: int) -> AsyncIterator[list[Prepared]]:
        reached = after
        while True:
            answer = await self._client.search(
                index=index,
                query={"range": {"_seq_no": {"gt": reached}}},
                sort=[{"_seq_no": "asc"}],
                size=COPY_BATCH,
                version=True,
                track_total_hits=False,
            )
            hits = answer.body["hits"]["hits"]
            if not hits:
                return
            yield [_copied(hit) for hit in hits]
            reached = int(hits[-1]["sort"][0])

    async def _settled(self, alias: str, wanted: list[Prepared], *, refresh: bool) -> list[_Answer]:
        """Answers, after a second look at conflicts with documents that are not there.

        For a moment the engine remembers the revision of a document that was just purged.
        """
        answers = await self._write(alias, wanted, refresh=refresh)
        for _ in range(CONFLICT_RETRIES_MAX):
            absent = await self._conflicts_with_nothing(alias, wanted, answers)
            if not absent:
                return answers
            await asyncio.sleep(CONFLICT_RETRY_SECONDS)
            await self._client.indices.refresh(index=alias)
            again = await self._write(alias, [wanted[at] for at in absent], refresh=refresh)
            for at, answer in zip(absent, again, strict=True):
                answers[at] = answer
        for at in await self._conflicts_with_nothing(alias, wanted, answers):
            answers[at] = _Answer(_UNAVAILABLE, "The engine still remembers a revision that was purged.")
        return answers

    async def _conflicts_with_nothing(
        self, alias: str, wanted: Sequence[Prepared], answers: Sequence[_Answer]
    ) -> list[int]:
        """Places of conflicts with a document that is not held, also not where it can't be searched yet."""
        conflicts = [at for at, answer in enumerate(answers) if answer.status == _CONFLICT]
        if not conflicts:
            return []
        ids = sorted({str(wanted[at].dataset_id) for at in conflicts})
        answer = await self._client.mget(index=alias, ids=ids, source=False)
        held = {found["_id"] for found in answer.body["docs"] if found.get("found")}
        return [at for at in conflicts if str(wanted[at].dataset_id) not in held]

    async def _write(self, alias: str, wanted: Iterable[Prepared], *, refresh: bool) -> list[_Answer]:
        lines = [[_index_line(found), found.source] for found in wanted]
        return await self._bulk(alias, lines, refresh=refresh)

    async def _bulk(self, alias: str, actions: list[list[bytes]], *, refresh: bool) -> list[_Answer]:
        """The engine's answer to each action, in order; a request for each bounded part."""
        answers: list[_Answer] = []
        parts = list(_parts(actions))
        for number, part in enumerate(parts, 1):
            # The client takes lines that are JSON already, and does not say so in its types.
            lines: Any = [line for action in part for line in action]
            answer = await self._client.bulk(
                index=alias,
                operations=lines,
                require_alias=True,
                # There is one shard: the last refresh shows what came before it too.
                refresh=refresh and number == len(parts),
                filter_path="items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by",
            )
            answers += [_answer(item) for item in answer.body["items"]]
        return answers


class Loading:
    """Fills a new index with a stream. What is purged meanwhile is left out."""

    def __init__(self, writer: BulkWriter, alias: str, is_purged: Callable[[UUID], bool]) -> None:
        self._writer = writer
        self._alias = alias
        self._is_purged = is_purged
        self.applied = 0
        self.refused: list[UpsertOutcome] = []

    async def feed(self, documents: AsyncIterator[SearchDocument]) -> None:
        """Write the stream in batches; while one is on its way, the next is prepared.

        Raises :class:`CatalogIndexError` if the engine defers documents for too long.
        """
        batch: list[SearchDocument] = []
        sending: asyncio.Task[None] | None = None
        try:
            async for document in documents:
                batch.append(document)
                if len(batch) == BULK_DOCUMENTS_MAX:
                    sending = await self._handed_over(batch, sending)
                    batch = []
            sending = await self._handed_over(batch, sending)
            await sending
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.wait({sending})

    async def _handed_over(
        self, batch: list[SearchDocument], previous: asyncio.Task[None] | None
    ) -> asyncio.Task[None]:
        kept = [document for document in batch if not self._is_purged(document.dataset_id)]
        prepared = await asyncio.to_thread(prepare, kept)
        if previous is not None:
            await previous
        return asyncio.create_task(self._send(prepared))

    async def _send(self, prepared: list[Prepared | UpsertOutcome]) -> None:
        for wait_seconds in (0.5, 1.0, 2.0, 4.0, 8.0, None):
            outcomes = await self._writer.write(self._alias, prepared, refresh=False)
            self.applied += sum(outcome.status == "applied" for outcome in outcomes)
            self.refused += [outcome for outcome in outcomes if outcome.status == "refused"]
            pairs = zip(prepared, outcomes, strict=True)
            prepared = [found for found, outcome in pairs if outcome.status == "deferred"]
            if not prepared:
                return
            if wait_seconds is not None:
                await asyncio.sleep(wait_seconds)
        reason = next(outcome.reason for outcome in outcomes if outcome.status == "deferred")
        raise CatalogIndexError(f"Elasticsearch takes no more documents: {reason}")


def _prepared(document: SearchDocument) -> Prepared | UpsertOutcome:
    try:
        return Prepared(document.dataset_id, document.revision, to_source(document))
    except (ValueError, TypeError, OverflowError) as error:
        return UpsertOutcome(document.dataset_id, document.revision, "refused", str(error))


def _copied(hit: dict[str, Any]) -> Prepared:
    return Prepared(UUID(hit["_id"]), int(hit["_version"]), orjson.dumps(hit["_source"]))


def _index_line(found: Prepared) -> bytes:
    action = {"_id": str(found.dataset_id), "version": found.revision, "version_type": "external"}
    return orjson.dumps({"index": action})


def _parts(actions: list[list[bytes]]) -> Iterator[list[list[bytes]]]:
    """Actions in order, cut by number and by size."""
    part: list[list[bytes]] = []
    size = 0
    for action in actions:
        length = sum(map(len, action))
        if part and (len(part) == BULK_DOCUMENTS_MAX or size + length > BULK_BYTES_MAX):
            yield part
            part, size = [], 0
        part.append(action)
        size += length
    if part:
        yield part


def _answer(item: dict[str, Any]) -> _Answer:
    """Status and reason of one action. Raises :class:`CatalogIndexError` where the index is gone."""
    (found,) = item.values()
    error = found.get("error", {})
    reason = f"{error.get('type', '')}: {error.get('reason', '')}"
    if cause := error.get("caused_by"):
        reason += f" ({cause.get('reason', '')})"
    if error.get("type") == "index_not_found_exception":
        raise MissingIndexError(f"The search index is gone: {reason}")
    return _Answer(int(found["status"]), reason)


def _outcome(found: Prepared, answer: _Answer) -> UpsertOutcome:
    status: Literal["applied", "stale", "refused", "deferred"]
    reason: str | None = answer.reason
    if answer.status in {_OK, _CREATED}:
        status, reason = "applied", None
    elif answer.status == _CONFLICT:
        status, reason = "stale", None
    elif answer.status in _LATER or answer.status >= 500:
        status = "deferred"
    else:
        status = "refused"
    return UpsertOutcome(found.dataset_id, found.revision, status, reason)


class MissingIndexError(CatalogIndexError):
    """The index, or its alias, does not exist."""
