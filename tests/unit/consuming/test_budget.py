"""The dead-letter budget, on a clock of numbers."""

import pytest

from shared.consuming.budget import BudgetLimits, DeadLetterBudget
from shared.errors import DeadLetterBudgetError


def test_a_hundred_in_a_row_are_allowed_and_one_more_is_not() -> None:
    budget = DeadLetterBudget(BudgetLimits(dead_min=1_000))
    for _ in range(100):
        budget.spend("g", 0.0)
    with pytest.raises(DeadLetterBudgetError, match="g: 100 records in a row"):
        budget.spend("g", 0.0)


def test_one_handled_record_ends_the_row() -> None:
    budget = DeadLetterBudget(BudgetLimits(dead_min=1_000))
    for _ in range(100):
        budget.spend("g", 0.0)
    budget.handled(0, 0.0)
    budget.handled(1, 0.0)
    for _ in range(100):
        budget.spend("g", 0.0)
    with pytest.raises(DeadLetterBudgetError):
        budget.spend("g", 0.0)


def test_one_poison_record_among_ten_stops_nobody() -> None:
    budget = DeadLetterBudget()
    budget.handled(9, 0.0)
    budget.spend("g", 0.0)


def test_more_than_a_twentieth_within_the_window_is_too_many() -> None:
    budget = DeadLetterBudget()
    for second in range(19):
        budget.handled(10, float(second))
        budget.spend("g", float(second))
    with pytest.raises(DeadLetterBudgetError, match="19 of 209 records of the last 300 s"):
        budget.spend("g", 20.0)


def test_a_steady_one_percent_is_allowed() -> None:
    budget = DeadLetterBudget()
    for second in range(1_000):
        budget.handled(99, float(second))
        budget.spend("g", float(second))


def test_what_is_older_than_the_window_no_longer_counts() -> None:
    budget = DeadLetterBudget()
    for second in range(19):
        budget.handled(1, float(second))
        budget.spend("g", float(second))
    budget.handled(1, 400.0)
    budget.spend("g", 400.0)
