"""The port of feeds: where they lie until they are harvested, and how one is read."""

from collections.abc import Collection
from pathlib import Path
from typing import Protocol
from uuid import UUID

from services.catalog.dcat.domain.records import ParsedRecord, SourceDefaults
from shared.errors import NutmegError
from shared.events.catalog import RejectedRecord


class FeedError(NutmegError):
    """A feed or a dictionary cannot be used; the message says why, and the cure, in plain words.

    ``is_permanent`` tells that trying again without a change is of no use.
    """

    def __init__(self, message: str, *, is_permanent: bool = False) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent


class Feed(Protocol):
    """A feed on this machine, read in order and in portions, off the event loop."""

    async def catalogue_id(self) -> str | None:
        """What the catalogue calls itself (``@id``) ahead of its records. Raises :class:`FeedError`."""

    async def check(self) -> int:
        """Read it to its end and return its number of records. Raises :class:`FeedError`."""

    async def next_records(self, limit: int) -> list[ParsedRecord | RejectedRecord]:
        """The next records, parsed; empty at the end."""

    async def close(self) -> None:
        """Give the file back. Idempotent."""


class FeedStorage(Protocol):
    """Where feeds lie from upload or fetch until their harvest has ended."""

    def path_of(self, harvest_id: UUID) -> Path:
        """Where the feed of a harvest lies, or is to be put."""

    async def keep(self, harvest_id: UUID) -> None:
        """Put a feed that was received here where every worker finds it; its file may be gone then."""

    async def bring(self, harvest_id: UUID) -> None:
        """Have a feed that was kept at its path."""

    def open(self, harvest_id: UUID, defaults: SourceDefaults) -> Feed:
        """The feed from its beginning."""

    async def prune(self, awaited: Collection[UUID]) -> None:
        """Forget feeds that are older than a day and not ``awaited`` by a harvest."""

    async def remove(self, harvest_id: UUID) -> None:
        """Forget a feed. Idempotent."""
