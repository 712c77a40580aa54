"""Seeded draws that the row recipes share: counts, parts of a count, seasons and calendar steps.

Every function takes the generator as an argument, so a row depends on its dataset's seed and on nothing else.
"""

import math
from collections.abc import Iterator
from datetime import date, timedelta
from random import Random

DATA_ENDS_ON = date(2025, 12, 31)
"""The sample's rows end here. They don't move with the calendar, so every run has the same files."""

Cell = str | int | float | date | None
Row = tuple[Cell, ...]

_EXACT_POISSON_MEAN_MAX = 30.0


def seeded(name: str) -> Random:
    """A generator whose draws depend on ``name`` alone, the same in every process and on every machine."""
    return Random(f"nutmeg-sample/{name}")  # noqa: S311 - repeatable sample data, no secret


def count_around(rng: Random, mean: float) -> int:
    """A count that varies around ``mean`` as events do: Poisson, and its normal limit above a mean of 30."""
    if mean <= 0:
        return 0
    if mean > _EXACT_POISSON_MEAN_MAX:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    threshold, product, count = math.exp(-mean), rng.random(), 0
    while product > threshold:
        product *= rng.random()
        count += 1
    return count


def part_of(rng: Random, whole: int, share: float) -> int:
    """A part of ``whole`` near ``share``, never outside 0..whole."""
    return min(whole, count_around(rng, whole * share))


def near(rng: Random, value: float, spread: float) -> float:
    """``value`` times a factor between ``1 - spread`` and ``1 + spread``."""
    return value * rng.uniform(1 - spread, 1 + spread)


def season(day: date, peak_month: int, swing: float) -> float:
    """A yearly wave: ``1 + swing`` in ``peak_month``, ``1 - swing`` half a year later."""
    return 1 + swing * math.cos((day.month - peak_month) / 12 * 2 * math.pi)


def rate(part: int, whole: int, base: int = 100, digits: int = 1) -> float | None:
    """``part`` per ``base`` of ``whole``, or None when there is no whole to relate it to."""
    return round(part / whole * base, digits) if whole else None


def months(count: int, until: date = DATA_ENDS_ON) -> Iterator[date]:
    """The first days of the ``count`` months up to the month of ``until``, oldest first."""
    last = until.year * 12 + until.month - 1
    for index in range(last - count + 1, last + 1):
        yield date(index // 12, index % 12 + 1, 1)


def days(count: int, step: int = 1) -> Iterator[date]:
    """``count`` days up to :data:`DATA_ENDS_ON`, ``step`` days apart, oldest first."""
    for index in reversed(range(count)):
        yield DATA_ENDS_ON - timedelta(days=index * step)
