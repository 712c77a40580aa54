"""The port of downloads: a file from an address, or the word that it did not change.

Apart from its implementation, so that commands name no HTTP library.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shared.errors import NutmegError

__all__ = ["Download", "Downloads", "FetchError"]


class FetchError(NutmegError):
    """A fetch that did not succeed, in words for a steward.

    ``reason`` is one of url, address, dns, connection, tls, timeout, redirects, status, size, content.
    ``is_permanent`` tells that trying again without a change is of no use.
    """

    def __init__(self, reason: str, message: str, *, is_permanent: bool = False, status: int | None = None):
        super().__init__(message)
        self.reason = reason
        self.is_permanent = is_permanent
        self.status = status


@dataclass(frozen=True, slots=True)
class Download:
    """What a conditional fetch brought. ``is_new`` is False when the address says that nothing changed."""

    is_new: bool
    etag: str | None = None
    last_modified: str | None = None


class Downloads(Protocol):
    """Fetches from addresses that people gave us."""

    async def fetch(
        self,
        url: str,
        path: Path,
        *,
        size_bytes_max: int,
        etag: str | None = None,
        last_modified: str | None = None,
    ) -> Download:
        """Fetch to a file. Raises :class:`FetchError`."""
