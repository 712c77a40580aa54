"""Data files and what looks into them: the ports of profiling, and how they fail."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.quality.profiling.domain.profile import Profile

__all__ = [
    "DataSource",
    "FetchFailedError",
    "FetchedFile",
    "ProfileError",
    "ProfileLimits",
    "ProfileMemoryError",
    "ProfileTimeoutError",
    "Profiler",
    "ProfilerUnavailableError",
    "UnreadableDataError",
]


class ProfileError(Exception):
    """A file could not be profiled. The message names the cause and the cure; it is fit for a steward."""


class UnreadableDataError(ProfileError):
    """The file is not a table that can be read: wrong format, damaged, or larger than the limits allow."""


class ProfileTimeoutError(ProfileError):
    """Profiling took longer than ``timeout_seconds``; the process was killed."""


class ProfileMemoryError(ProfileError):
    """Profiling needed more than ``memory_mb``; the process was ended."""


class ProfilerUnavailableError(Exception):
    """The profiler itself cannot work (its process does not start). Not the file's fault: try again later."""


@dataclass(frozen=True, slots=True)
class ProfileLimits:
    """Bounds of one profile. ``size_bytes_max`` holds for the file, and again for it when decompressed."""

    memory_mb: int = 512
    timeout_seconds: float = 60.0
    rows_max: int = 1_000_000
    columns_max: int = 1_000
    size_bytes_max: int = 512 * 1024 * 1024

    def __post_init__(self) -> None:
        for name in ("memory_mb", "timeout_seconds", "rows_max", "columns_max", "size_bytes_max"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: must be above zero")


class Profiler(Protocol):
    """Looks into a data file without trusting it."""

    async def profile(
        self, source: Path | bytes, media_type: str | None, limits: ProfileLimits = ...
    ) -> Profile:
        """Profile one CSV, JSON or Parquet file, gzip-compressed or not.

        ``media_type`` is what the publisher says; the first bytes of the file decide where they disagree.

        Raises:
            UnreadableDataError, ProfileTimeoutError, ProfileMemoryError: the file is at fault.
            ProfilerUnavailableError: the profiler is.
        """

    async def close(self) -> None:
        """End the process of the profiler, if one runs."""


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A data file on this machine, for the time of one block. ``path`` is None when the source says that
    it did not change since the tags that were sent."""

    path: Path | None
    media_type: str | None
    etag: str | None
    last_modified: str | None


class FetchFailedError(Exception):
    """A file could not be had. The message is for a steward.

    ``is_link_broken``: the address leads nowhere (gone, no such host, refused). ``is_permanent``: trying
    again without a change is of no use.
    """

    def __init__(self, message: str, *, is_link_broken: bool = False, is_permanent: bool = False) -> None:
        super().__init__(message)
        self.is_link_broken = is_link_broken
        self.is_permanent = is_permanent


class DataSource(Protocol):
    """Gets data files from the addresses that publishers give."""

    def fetch(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> AbstractAsyncContextManager[FetchedFile]:
        """Fetch a file; with tags, only if it changed. Raises ``FetchFailedError``."""
        ...

    async def sha256(self, path: Path) -> str:
        """Return the hash of a file, in hexadecimal."""
        ...
