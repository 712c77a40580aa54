"""How many dead letters a consumer may write before it stops: a bad deploy must not drain a topic."""

from collections import deque
from dataclasses import dataclass

from shared.errors import DeadLetterBudgetError

__all__ = ["BudgetLimits", "DeadLetterBudget"]


@dataclass(frozen=True, slots=True)
class BudgetLimits:
    """Design, section 3, rule 4. ``dead_min`` keeps one poison record among ten from stopping anybody."""

    in_a_row_max: int = 100
    share_max: float = 0.05
    window_seconds: float = 300.0
    dead_min: int = 20


class DeadLetterBudget:
    """Counts for one consumer. Time is an argument: monotonic seconds."""

    def __init__(self, limits: BudgetLimits | None = None) -> None:
        self.limits = limits or BudgetLimits()
        self._in_a_row = 0
        self._seconds: deque[list[int]] = deque()
        """Per second: the second, records handled, dead letters."""

    def handled(self, count: int, now_seconds: float) -> None:
        """``count`` records were handled. Only that ends a row of dead letters."""
        if count:
            self._in_a_row = 0
            self._bucket(now_seconds)[1] += count

    def spend(self, group: str, now_seconds: float) -> None:
        """Ask for one dead letter. Raises ``DeadLetterBudgetError`` instead of allowing one too many."""
        limits = self.limits
        if self._in_a_row >= limits.in_a_row_max:
            raise DeadLetterBudgetError(
                f"{group}: {self._in_a_row} records in a row could not be handled, the limit is "
                f"{limits.in_a_row_max}; mend the cause, then start the consumer again"
            )
        self._bucket(now_seconds)
        handled = sum(second[1] for second in self._seconds)
        dead = sum(second[2] for second in self._seconds) + 1
        if dead >= limits.dead_min and dead > limits.share_max * (handled + dead):
            raise DeadLetterBudgetError(
                f"{group}: {dead - 1} of {handled + dead - 1} records of the last "
                f"{limits.window_seconds:.0f} s could not be handled, the limit is {limits.share_max:.0%}; "
                "mend the cause, then start the consumer again"
            )
        self._in_a_row += 1
        self._bucket(now_seconds)[2] += 1

    def _bucket(self, now_seconds: float) -> list[int]:
        second = int(now_seconds)
        while self._seconds and self._seconds[0][0] <= second - self.limits.window_seconds:
            self._seconds.popleft()
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0, 0])
        return self._seconds[-1]
