"""What usage and notify say of a dataset: counts of its days, and the fate of messages on its alerts."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal
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


def delivery_of(row: Any) -> AlertDelivery:
    """The moments in a row of ``alert_deliveries``."""
    return AlertDelivery(**{name: getattr(row, name) for name in AlertDelivery.__slots__})
