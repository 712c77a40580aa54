"""Fetches data dictionaries that feeds refer to, as jobs of their own: never while a feed is read."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from services.catalog.commands.editing import describe_columns
from services.catalog.domain.dictionary import DICTIONARY_LIMITS, parse_dictionary
from services.catalog.domain.records import DictionaryFetch
from services.catalog.ports import CatalogPorts, Downloader, FeedError
from shared.bounded_json import InvalidJSONError, JSONBoundError, loads
from shared.errors import TransientError
from shared.events.catalog import Column
from shared.jobs.parking import DEATHS_MAX, PARKED_BECAUSE
from shared.store.engine import Store

__all__ = ["DictionaryWorker"]

logger = structlog.get_logger(__name__)

FETCHES_PER_PORTION = 10
WAITS = (timedelta(minutes=1), timedelta(minutes=15), timedelta(hours=6))
"""How long to wait after the first, second and third failure; after the next one, no more."""

_NO_DICTIONARY = (
    "The address holds no Table Schema, Data Package or Socrata view in JSON. Publish the columns as a "
    "Frictionless Table Schema, or enter them in the catalogue."
)


class DictionaryWorker:
    """Recurring work: :meth:`run_once` does a portion of what is due."""

    def __init__(self, store: Store, ports: CatalogPorts, downloader: Downloader) -> None:
        self._store = store
        self._ports = ports
        self._downloader = downloader

    async def run_once(self) -> int:
        """Fetch what is due; return how many fetches were made."""
        due = await self._ports.dictionaries.due(self._ports.clock.now(), FETCHES_PER_PORTION)
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
        return await self._ports.dictionaries.due_count(self._ports.clock.now())

    async def _fetch(self, fetch: DictionaryFetch) -> None:
        try:
            columns, done = await self._columns(fetch)
        except FeedError as error:
            await self._put_off(fetch, str(error), is_final=error.is_permanent)
            return
        async with self._store.unit_of_work() as work:
            if columns is not None:
                await describe_columns(work, self._ports, fetch.dataset_id, columns, by_steward=False)
            await self._ports.dictionaries.put(work, done)

    async def _columns(self, fetch: DictionaryFetch) -> tuple[list[Column] | None, DictionaryFetch]:
        """The columns, None where the address says that they did not change. Raises ``FeedError``."""
        with TemporaryDirectory(prefix="nutmeg-dictionary-") as folder:
            path = Path(folder) / "dictionary.json"
            download = await self._downloader.fetch(
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
            raise FeedError(f"The data dictionary cannot be taken. {error}", is_permanent=True) from error
        except InvalidJSONError:
            columns = []
        if not columns:
            raise FeedError(_NO_DICTIONARY, is_permanent=True)
        return columns, replace(done, etag=download.etag, last_modified=download.last_modified)

    async def _park(self, fetch: DictionaryFetch) -> None:
        """Put a fetch aside on which processes died."""
        now = self._ports.clock.now()
        await self._put(replace(fetch, next_attempt_at=None, message=PARKED_BECAUSE, parked_at=now))
        logger.error("dictionary parked", dataset_id=str(fetch.dataset_id), url=fetch.url)

    async def _put(self, fetch: DictionaryFetch) -> None:
        async with self._store.unit_of_work() as work:
            await self._ports.dictionaries.put(work, fetch)

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
            await self._ports.dictionaries.put(work, put_off)
