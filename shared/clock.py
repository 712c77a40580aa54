"""Time as an argument: services take a clock, so that tests and the demo can move it."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "SimulatedClock", "SystemClock"]


class Clock(Protocol):
    """Tells wall-clock time for facts and monotonic time for durations."""

    def now(self) -> datetime:
        """Return the current time, in UTC, with its zone set."""
        ...

    def monotonic_seconds(self) -> float:
        """Return a reading that never goes back; only differences mean something."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_seconds(self) -> float:
        return time.monotonic()


class SimulatedClock:
    """A clock that runs at the machine's pace from a chosen start, and can be moved forward by hand.

    Durations still come from the machine: a simulated week must not make every timeout expire.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._offset = timedelta(0) if start is None else start - datetime.now(UTC)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._offset

    def monotonic_seconds(self) -> float:
        return time.monotonic()

    def advance(self, by: timedelta) -> None:
        """Move forward. Raises ``ValueError`` on a negative step: event time does not run back."""
        if by < timedelta(0):
            raise ValueError(f"a clock is moved forward only, not by {by}")
        self._offset += by
