"""Wakes work before its time: whoever made something due says so, and nobody waits for the next look."""

from collections.abc import Callable

__all__ = ["WakeSignal"]


class WakeSignal:
    """Given when there is something to do, so that what need not wait is done at once.

    A signal that is lost costs time only: the work looks for itself at its interval.
    """

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []

    def on_wake(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` at every signal; it must not block."""
        self._listeners.append(listener)

    def wake(self) -> None:
        """Wake whoever listens."""
        for listener in self._listeners:
            listener()
