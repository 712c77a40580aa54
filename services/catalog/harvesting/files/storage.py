"""DCAT-US feeds as files on this machine, read in portions: a feed of any size takes little memory."""

import asyncio
import codecs
import time
from collections.abc import Collection, Iterator
from contextlib import closing
from datetime import timedelta
from itertools import islice
from pathlib import Path
from uuid import UUID

import ijson

from services.catalog.dcat.domain.records import ParsedRecord, SourceDefaults, parse_record
from services.catalog.harvesting.domain.feeds import Feed, FeedError
from shared.bounded_json import BoundedJSONFile, JSONBoundError, JSONLimits
from shared.events.catalog import RejectedRecord

__all__ = ["LEFT_OVER_AFTER", "FileFeedStorage", "JSONFeed"]

LEFT_OVER_AFTER = timedelta(days=1)
"""Nobody takes so long from the first bytes of a feed to its harvest."""

RECORDS_MAX = 2_000_000
"""Four times the records of the largest public catalog. A feed of more is to be sent as several sources."""
FEED_LIMITS = JSONLimits(bytes_max=8 * 1024 * 1024, elements_max=200_000, item_depth=2)
"""Of one record; what may be kept of it is less than 1 MiB."""

_DATASETS = "dataset"
_PARSING_ERRORS = (JSONBoundError, ijson.JSONError, UnicodeError, ValueError, OverflowError)
_OTHER_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_UTF8_CURE = "Save the feed as UTF-8, the only encoding of JSON (RFC 8259), and send it again."


class FileFeedStorage:
    """Implements :class:`FeedStorage` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make_folder(self) -> None:
        """Make the folder, unless it is there."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def prepare(self, awaited: Collection[UUID]) -> None:
        """Make the folder, and empty it of all but the feeds that are still awaited by a harvest.

        For the start of the only process that uses the folder: what is left over was cut off by its end.
        """
        self.make_folder()
        kept = {self.path_of(harvest_id) for harvest_id in awaited}
        for path in self._folder.iterdir():
            if path not in kept:
                path.unlink(missing_ok=True)

    def path_of(self, harvest_id: UUID) -> Path:
        return self._folder / f"{harvest_id}.json"

    async def keep(self, harvest_id: UUID) -> None:
        """The process that received the feed is the one that reads it."""

    async def bring(self, harvest_id: UUID) -> None:
        """The feed is here."""

    async def prune(self, awaited: Collection[UUID]) -> None:
        """Forget what was left over for a day."""
        await asyncio.to_thread(self._unlink_old, awaited)

    def open(self, harvest_id: UUID, defaults: SourceDefaults) -> Feed:
        return JSONFeed(self.path_of(harvest_id), defaults)

    async def remove(self, harvest_id: UUID) -> None:
        await asyncio.to_thread(self.path_of(harvest_id).unlink, missing_ok=True)

    def _unlink_old(self, awaited: Collection[UUID]) -> None:
        kept = {self.path_of(harvest_id) for harvest_id in awaited}
        # Times of files are the machine's, whatever clock the installation runs by.
        limit = time.time() - LEFT_OVER_AFTER.total_seconds()
        for path in self._folder.iterdir():
            if path not in kept and path.stat().st_mtime < limit:
                path.unlink(missing_ok=True)


class JSONFeed:
    """Implements :class:`Feed` on one file."""

    def __init__(self, path: Path, defaults: SourceDefaults) -> None:
        self._path = path
        self._defaults = defaults
        self._file: BoundedJSONFile | None = None
        self._records: Iterator[object] | None = None

    async def catalogue_id(self) -> str | None:
        return await asyncio.to_thread(self._catalogue_id)

    async def check(self) -> int:
        return await asyncio.to_thread(self._check)

    async def next_records(self, limit: int) -> list[ParsedRecord | RejectedRecord]:
        return await asyncio.to_thread(self._next_records, limit)

    async def close(self) -> None:
        file, self._file = self._file, None
        self._records = None
        if file is not None:
            await asyncio.to_thread(file.close)

    def _catalogue_id(self) -> str | None:
        with closing(_opened(self._path)) as file:
            try:
                for prefix, event, value in ijson.parse(file, use_float=True):
                    if prefix == "@id" and event == "string":
                        return str(value)
                    if prefix == _DATASETS:
                        return None
            except _PARSING_ERRORS as error:
                raise _unreadable(error) from error
        return None

    def _check(self) -> int:
        with closing(_opened(self._path)) as file:
            try:
                return _count_records(file)
            except _PARSING_ERRORS as error:
                raise _unreadable(error) from error

    def _next_records(self, limit: int) -> list[ParsedRecord | RejectedRecord]:
        if self._records is None:
            self._file = _opened(self._path)
            self._records = ijson.items(self._file, f"{_DATASETS}.item", use_float=True)
        try:
            # One after the other: only one record is here as it came, and may be large.
            return [parse_record(record, defaults=self._defaults) for record in islice(self._records, limit)]
        except _PARSING_ERRORS as error:
            raise _unreadable(error) from error


def _opened(path: Path) -> BoundedJSONFile:
    """The file behind its byte order mark. Raises ``FeedError`` for what is plainly no JSON in UTF-8."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise FeedError("The feed is no longer there. Send it again.", is_permanent=True) from error
    start = file.read(4)
    problem = None
    encoding = next((name for mark, name in _OTHER_ENCODINGS if start.startswith(mark)), None)
    if not start:
        problem = "The feed is empty. Send a DCAT-US catalogue: an object with a list called dataset."
    elif encoding is not None:
        problem = f"The feed is encoded as {encoding}. {_UTF8_CURE}"
    elif start.startswith((b"\x1f\x8b", b"PK")):
        problem = "The feed is packed (gzip or zip). Unpack it and send the JSON file."
    elif b"\0" in start:
        problem = f"The feed is not encoded as UTF-8. {_UTF8_CURE}"
    elif start.lstrip()[:1] == b"<":
        problem = "This is a web page or XML, not JSON. Check the address; DCAT-US feeds end in data.json."
    if problem is not None:
        file.close()
        raise FeedError(problem, is_permanent=True)
    file.seek(len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0)
    return BoundedJSONFile(file, FEED_LIMITS)


def _count_records(file: BoundedJSONFile) -> int:
    """Read to the end; the number of entries of ``dataset``. Raises ``FeedError`` for another structure."""
    depth = 0
    records = 0
    is_inside = is_found = is_expected = False
    for event, value in ijson.basic_parse(file, use_float=True):
        if depth == 0 and event != "start_map":
            raise FeedError(
                "The feed is not an object. Send a DCAT-US catalogue: an object with a list called dataset.",
                is_permanent=True,
            )
        if is_expected:
            if event != "start_array":
                raise FeedError("In the feed, dataset is not a list. Make it one.", is_permanent=True)
            is_expected, is_inside, is_found = False, True, True
        elif is_inside and depth == 2 and not event.startswith("end_"):
            records += 1
            if records > RECORDS_MAX:
                raise FeedError(
                    f"The feed holds more than {RECORDS_MAX:,} records. Send it as several sources.",
                    is_permanent=True,
                )
        if event in ("start_map", "start_array"):
            depth += 1
        elif event in ("end_map", "end_array"):
            depth -= 1
            is_inside = is_inside and depth > 1
        elif event == "map_key" and depth == 1:
            is_expected = value == _DATASETS
    if not is_found:
        raise FeedError(
            "The feed has no list called dataset. Send a DCAT-US 1.1 catalogue (data.json).",
            is_permanent=True,
        )
    return records


def _unreadable(error: Exception) -> FeedError:
    if isinstance(error, JSONBoundError):
        return FeedError(f"The feed cannot be taken. {error}", is_permanent=True)
    # The parser tells in bytes: its first line says what, the next ones show the place, whatever is there.
    first = error.args[0] if error.args else ""
    told = first.decode(errors="replace") if isinstance(first, bytes) else str(error)
    told = told.split("\n", 1)[0].strip().rstrip(".")
    if isinstance(error, UnicodeError) or "UTF8" in told or "utf-8" in told.lower():
        return FeedError(f"The feed is not UTF-8 throughout ({told}). {_UTF8_CURE}", is_permanent=True)
    return FeedError(
        f"The feed is not valid JSON ({told}). Check it with a JSON validator, and send it again whole.",
        is_permanent=True,
    )
