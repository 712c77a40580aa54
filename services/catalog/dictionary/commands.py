"""Fetches data dictionaries that feeds refer to, as jobs of their own: never while a feed is read."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import structlog

from services.catalog.datasets.commands.context import DatasetContext
from services.catalog.datasets.commands.editing import RequireVersion, describe_columns, entry_to_edit
from services.catalog.datasets.domain.entry import CatalogEntry
from services.catalog.dictionary.domain import (
    DICTIONARY_LIMITS,
    DictionaryError,
    DictionaryFetch,
    dictionary_address,
    parse_dictionary,
)
from services.catalog.dictionary.repository import DictionaryFetchRepository
from shared.bounded_json import InvalidJSONError, JSONBoundError, loads
from shared.errors import TransientError
from shared.events.catalog import Column
from shared.http.downloads import Downloads, FetchError
from shared.identity.viewer import Viewer
from shared.jobs.parking import DEATHS_MAX, PARKED_BECAUSE, JobQueue, ParkedJob
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = [
    "DictionaryContext",
    "DictionaryWorker",
    "dictionary_queue",
    "put_dictionary",
    "request_dictionaries",
]

logger = structlog.get_logger(__name__)

FETCHES_PER_PORTION = 10
WAITS = (timedelta(minutes=1), timedelta(minutes=15), timedelta(hours=6))
"""How long to wait after the first, second and third failure; after the next one, no more."""

_NO_DICTIONARY = (
    "The address holds no Table Schema, Data Package or Socrata view in JSON. Publish the columns as a "
    "Frictionless Table Schema, or enter them in the catalogue."
)

DICTIONARIES = "catalog.dictionaries"


@dataclass(frozen=True, slots=True)
class DictionaryContext:
    """``wake_fetching`` tells waiting work that a dictionary is to be fetched; it never blocks."""

    fetches: DictionaryFetchRepository
    datasets: DatasetContext
    wake_fetching: Callable[[], None]


async def request_dictionaries(
    work: UnitOfWork, context: DictionaryContext, entries: Collection[CatalogEntry]
) -> None:
    """Have the dictionaries fetched that these datasets refer to, where no steward wrote the columns."""
    wanted = {
        entry.dataset_id: address
        for entry in entries
        if entry.columns_from != "steward" and (address := dictionary_address(entry.state)) is not None
    }
    if wanted:
        await context.fetches.ask(work, wanted)
        work.after_commit(context.wake_fetching)


async def put_dictionary(
    store: Store,
    context: DatasetContext,
    viewer: Viewer,
    dataset_id: UUID,
    columns: Sequence[Column],
    *,
    require_version: RequireVersion,
) -> None:
    """Give a dataset the columns that its steward wrote. Raises as ``entry_to_edit`` does."""
    async with store.unit_of_work() as work:
        await entry_to_edit(work, context, viewer, dataset_id, require_version)
        await describe_columns(work, context, dataset_id, columns, by_steward=True)


class DictionaryWorker:
    """Recurring work: :meth:`run_once` does a portion of what is due."""

    def __init__(self, store: Store, context: DictionaryContext, downloads: Downloads) -> None:
        self._store = store
        self._context = context
        self._downloads = downloads

    async def run_once(self) -> int:
        """Fetch what is due; return how many fetches were made."""
        due = await self._context.fetches.due(self._store.clock.now(), FETCHES_PER_PORTION)
        for fetch in due:
            if fetch.unended_attempts >= DEATHS_MAX:
                await self._park(fetch)
                continue
            # Written before anything is fetched: a process that dies of it cannot say so.
            await self._put(replace(fetch, unended_attempts=fetch.unended_attempts + 1))
            try:
                await self._fetch(fetch)
            except BaseException:
                # This process lives, so that no death may be counted.
                with suppress(TransientError):
                    await self._put(fetch)
                raise
        return len(due)

    async def pending(self) -> int:
        """Fetches that are due."""
        return await self._context.fetches.due_count(self._store.clock.now())

    async def _fetch(self, fetch: DictionaryFetch) -> None:
        try:
            columns, done = await self._columns(fetch)
        except (DictionaryError, FetchError) as error:
            await self._put_off(
                fetch, str(error), is_final=isinstance(error, DictionaryError) or error.is_permanent
            )
            return
        async with self._store.unit_of_work() as work:
            if columns is not None:
                await describe_columns(
                    work, self._context.datasets, fetch.dataset_id, columns, by_steward=False
                )
            await self._context.fetches.put(work, done)

    async def _columns(self, fetch: DictionaryFetch) -> tuple[list[Column] | None, DictionaryFetch]:
        """The columns, None where the address says that they did not change.

        Raises ``DictionaryError`` and ``FetchError``.
        """
        with TemporaryDirectory(prefix="nutmeg-dictionary-") as folder:
            path = Path(folder) / "dictionary.json"
            download = await self._downloads.fetch(
                fetch.url,
                path,
                size_bytes_max=DICTIONARY_LIMITS.bytes_max,
                etag=fetch.etag,
                last_modified=fetch.last_modified,
            )
            content = await asyncio.to_thread(path.read_bytes) if download.is_new else b""
        done = replace(
            fetch, attempts=fetch.attempts + 1, unended_attempts=0, next_attempt_at=None, message=None
        )
        if not download.is_new:
            return None, done
        try:
            columns = parse_dictionary(loads(content, DICTIONARY_LIMITS))
        except JSONBoundError as error:
            raise DictionaryError(f"The data dictionary cannot be taken. {error}") from error
        except InvalidJSONError:
            columns = []
        if not columns:
            raise DictionaryError(_NO_DICTIONARY)
        return columns, replace(done, etag=download.etag, last_modified=download.last_modified)

    async def _park(self, fetch: DictionaryFetch) -> None:
        """Put a fetch aside on which processes died."""
        now = self._store.clock.now()
        await self._put(replace(fetch, next_attempt_at=None, message=PARKED_BECAUSE, parked_at=now))
        logger.error("dictionary parked", dataset_id=str(fetch.dataset_id), url=fetch.url)

    async def _put(self, fetch: DictionaryFetch) -> None:
        async with self._store.unit_of_work() as work:
            await self._context.fetches.put(work, fetch)

    async def _put_off(self, fetch: DictionaryFetch, message: str, *, is_final: bool) -> None:
        wait = None if is_final or fetch.attempts >= len(WAITS) else WAITS[fetch.attempts]
        async with self._store.unit_of_work() as work:
            put_off = replace(
                fetch,
                attempts=fetch.attempts + 1,
                unended_attempts=0,
                next_attempt_at=None if wait is None else work.clock.now() + wait,
                message=message,
            )
            await self._context.fetches.put(work, put_off)


def dictionary_queue(store: Store, context: DictionaryContext) -> JobQueue:
    """Return the queue of data dictionaries to fetch; a job has the id of its dataset."""

    async def parked(limit: int) -> list[ParkedJob]:
        return [
            ParkedJob(
                job_id=fetch.dataset_id,
                subject=f"Data dictionary {fetch.url}",
                reason=fetch.message or "",
                parked_at=fetch.parked_at,
            )
            for fetch in await context.fetches.parked(limit)
            if fetch.parked_at is not None
        ]

    async def release(job_id: UUID) -> bool:
        async with store.unit_of_work() as work:
            is_released = await context.fetches.release(work, job_id)
            if is_released:
                work.after_commit(context.wake_fetching)
        return is_released

    return JobQueue(DICTIONARIES, parked, context.fetches.parked_count, release)
