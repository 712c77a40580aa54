"""Clocks that go in steps: one that only a test moves, and one set back, as by an operator."""

from datetime import datetime, timedelta

from shared.clock import SimulatedClock

__all__ = ["SteppedClock", "set_back"]


class SteppedClock(SimulatedClock):
    """A clock that stands still until it is moved, so that a slow machine makes nothing fall due.

    Durations still come from the machine, as those of every simulated clock do.
    """

    def __init__(self, start: datetime) -> None:
        super().__init__(start)
        self._start = start
        self._offset = timedelta(0)

    def now(self) -> datetime:
        return self._start + self._offset


def set_back(clock: SimulatedClock, by: timedelta) -> None:
    """Let ``clock`` tell an earlier time from now on."""
    clock._offset -= by
