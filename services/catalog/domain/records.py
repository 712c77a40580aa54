"""Small values that catalog's parts hand one another."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

NotifiedOutcome = Literal["steward", "other", "failed", "nobody"]
"""Whom a message about an alert has reached, by what its delivery says."""


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
    """One dictionary to fetch; ``next_attempt_at`` is None when nothing more is due.

    ``unended_attempts``: how many in a row began and were never ended; the job is then ``parked_at``.
    """

    dataset_id: UUID
    url: str
    attempts: int = 0
    next_attempt_at: datetime | None = None
    message: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    unended_attempts: int = 0
    parked_at: datetime | None = None


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


@dataclass(frozen=True, slots=True)
class AlertDelivery:
    """What became of messages about one alert: when one last arrived, by whom, and when one last failed."""

    alert_id: UUID
    steward_sent_at: datetime | None = None
    other_sent_at: datetime | None = None
    failed_at: datetime | None = None

    def with_later(self, other: "AlertDelivery") -> "AlertDelivery":
        """Return the later of each moment, so that order and repeats make no difference."""
        return AlertDelivery(
            self.alert_id,
            _later(self.steward_sent_at, other.steward_sent_at),
            _later(self.other_sent_at, other.other_sent_at),
            _later(self.failed_at, other.failed_at),
        )

    def outcome_since(self, opened_at: datetime) -> tuple[NotifiedOutcome, datetime | None]:
        """Say who was reached since the alert was opened; an earlier opening's messages do not count."""
        told: tuple[tuple[NotifiedOutcome, datetime | None], ...] = (
            ("steward", self.steward_sent_at),
            ("other", self.other_sent_at),
            ("failed", self.failed_at),
        )
        return next(((who, at) for who, at in told if at is not None and at >= opened_at), ("nobody", None))


def _later(first: datetime | None, second: datetime | None) -> datetime | None:
    return max((at for at in (first, second) if at is not None), default=None)
