"""What quality needs from outside, named for its role."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.quality.domain.profile import Profile


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
