"""How patient a consumer loop is, and what it tells of itself."""

from dataclasses import dataclass

from shared.consuming.consumer_state import LoopState

__all__ = ["LoopSettings", "LoopStatus"]


@dataclass(frozen=True, slots=True)
class LoopStatus:
    """A loop's state, and in words why it is not running."""

    group: str
    state: LoopState
    cause: str | None
    handled_count: int


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How patient a loop is."""

    records_max: int = 500
    poll_timeout_seconds: float = 1.0
    retries_max: int = 3
    retry_seconds: float = 0.05
    """The first wait before a record is tried again; it doubles each time."""
    pause_seconds_min: float = 0.2
    pause_seconds_max: float = 30.0
    unwritable_seconds: float = 10.0
    """How often a loop that has stopped looks whether its dead letter can be written."""
    lag_interval_seconds: float = 5.0
    replay_interval_seconds: float = 5.0
    waiting_interval_seconds: float = 5.0
    """How often a loop looks, unwoken, whether another process has set aside or brought something."""
    waiting_seconds_min: float = 0.5
    gather_seconds: float = 0.05
    """How soon after a few records the next are taken at the earliest: a trickle comes in portions."""
    few_records: int = 50
    """Up to so many count as few. More than that is a backlog, and nothing waits for neighbours."""
