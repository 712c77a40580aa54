"""A clock that is set back, as by an operator or a time server: the product's own clocks never are."""

from datetime import timedelta

from shared.clock import SimulatedClock

__all__ = ["set_back"]


def set_back(clock: SimulatedClock, by: timedelta) -> None:
    """Let ``clock`` tell an earlier time from now on."""
    clock._offset -= by
