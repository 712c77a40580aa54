"""Small values that catalog's parts hand one another."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class UseRecord:
    """Absolute counts of one dataset on one UTC day."""

    dataset_id: UUID
    day: date
    views: int
    downloads: int
    api_calls: int


@dataclass(frozen=True, slots=True)
class DictionaryFetch:
    """One dictionary to fetch; ``next_attempt_at`` is None when nothing more is due."""

    dataset_id: UUID
    url: str
    attempts: int = 0
    next_attempt_at: datetime | None = None
    message: str | None = None
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class ExpectedDocument:
    """``revision`` is the newest, ``indexed_revision`` the one that was handed to the index last."""

    revision: int
    indexed_revision: int
    retired_at: datetime | None

    @property
    def waits(self) -> bool:
        """Whether the index has still to be told."""
        return self.indexed_revision < self.revision


@dataclass(frozen=True, slots=True)
class LastReconcile:
    """When index and rows were last compared, and in how many documents they differ since."""

    compared_at: datetime
    missing: int
    extra: int
    stale: int

    def kinds(self) -> dict[str, int]:
        """The differences by kind."""
        return {"missing": self.missing, "extra": self.extra, "stale": self.stale}


@dataclass(frozen=True, slots=True)
class Download:
    """What a conditional fetch brought. ``is_new`` is False when the address says that nothing changed."""

    is_new: bool
    etag: str | None = None
    last_modified: str | None = None
