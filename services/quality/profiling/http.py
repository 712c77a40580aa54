"""Data files over HTTP, through the guarded fetcher; its errors sorted into what they mean for quality."""

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from services.quality.profiling.domain.files import FetchedFile, FetchFailedError
from shared.http.downloads import FetchError
from shared.http.fetching import GuardedFetcher

GONE_STATUSES = frozenset({404, 410})


class GuardedSource:
    """Implements :class:`services.quality.profiling.domain.files.DataSource`."""

    def __init__(self, fetcher: GuardedFetcher) -> None:
        self._fetcher = fetcher

    @asynccontextmanager
    async def fetch(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> AsyncIterator[FetchedFile]:
        """See the port."""
        try:
            async with self._fetcher.fetch(url, etag=etag, last_modified=last_modified) as fetched:
                yield FetchedFile(fetched.path, fetched.content_type, fetched.etag, fetched.last_modified)
        except FetchError as error:
            raise FetchFailedError(
                str(error), is_link_broken=_is_link_broken(error), is_permanent=error.is_permanent
            ) from error

    async def sha256(self, path: Path) -> str:
        """See the port."""
        return await asyncio.to_thread(_sha256, path)


def _is_link_broken(error: FetchError) -> bool:
    """True where the address itself leads nowhere, and not where the network or the server has a bad day."""
    if error.status in GONE_STATUSES:
        return True
    if error.reason == "dns":
        # "Try again" is what a machine without a network hears of every name.
        return getattr(error.__cause__, "errno", None) != socket.EAI_AGAIN
    return error.reason == "connection" and isinstance(error.__cause__, httpx.ConnectError)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
