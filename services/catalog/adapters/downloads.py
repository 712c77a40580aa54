"""Downloads through the guarded fetcher, onto the feed shelf."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from services.catalog.domain.records import Download
from services.catalog.ports import FeedError
from shared.http.fetching import FetchError, GuardedFetcher

__all__ = ["GuardedDownloads"]


class GuardedDownloads:
    """Implements :class:`services.catalog.ports.Downloader`; ``fetcher_for`` takes a size limit in bytes."""

    def __init__(self, fetcher_for: Callable[[int], GuardedFetcher]) -> None:
        self._fetcher_for = fetcher_for

    async def fetch(
        self,
        url: str,
        path: Path,
        *,
        size_bytes_max: int,
        etag: str | None = None,
        last_modified: str | None = None,
    ) -> Download:
        fetcher = self._fetcher_for(size_bytes_max)
        try:
            async with fetcher.fetch(url, etag=etag, last_modified=last_modified) as fetched:
                if fetched.path is None:
                    return Download(is_new=False)
                await asyncio.to_thread(_keep, fetched.path, path)
                return Download(True, fetched.etag, fetched.last_modified)
        except FetchError as error:
            raise FeedError(str(error), is_permanent=error.is_permanent) from error


def _keep(fetched: Path, path: Path) -> None:
    """Put the file in its place at once: a half-copied one never bears the name."""
    partial = path.with_name(f"{path.name}.part")
    shutil.copyfile(fetched, partial)
    partial.replace(path)
