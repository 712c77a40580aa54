"""Spikes and silences of use, told from daily counts alone.

Pure and rebuildable: the same counts give the same signals, in the service's own work and in a stream
processor that reads rollups. Robust statistics (median, and the median absolute deviation scaled by 1.4826
to a standard deviation) keep one wild day from hiding the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from math import sqrt
from statistics import median
from uuid import UUID, uuid5

__all__ = [
    "DAYS_LOOKED_BACK",
    "Severity",
    "Signal",
    "SignalKind",
    "SignalRules",
    "WatchedDataset",
    "alert_id",
    "signals",
]

HISTORY_DAYS = 28
SPIKE_RUN_DAYS_MAX = 7
DAYS_LOOKED_BACK = 90
MAD_TO_SIGMA = 1.4826
SPIKE_SIGMAS = 6
LONG_SILENCE_DAYS = 14
SAME_WEEKDAYS_MIN = 2
_ALERT_IDS = UUID("0c1f6d0e-3f43-5b46-8a52-7a0d0f9f3a21")
_DAY = timedelta(days=1)


class SignalKind(StrEnum):
    """The kinds of alert that usage opens."""

    SPIKE = "use-spiked"
    SILENCE = "use-silent"


class Severity(StrEnum):
    """How much it matters: a spike is news, a silence may be a broken address."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class WatchedDataset:
    """A dataset to look at, and the first day on which its use was counted."""

    dataset_id: UUID
    counted_since: date


@dataclass(frozen=True, slots=True)
class SignalRules:
    """When use is remarkable. See ``UsageSettings`` for what each means."""

    spike_factor: float = 4.0
    spike_uses_min: int = 20
    silence_days_min: int = 3
    silence_expected_uses_min: float = 10.0
    history_days_min: int = 14


@dataclass(frozen=True, slots=True)
class Signal:
    """One remarkable stretch of days. ``usual`` and ``observed`` are uses per day."""

    kind: SignalKind
    severity: Severity
    first_day: date
    days: int
    usual: float
    observed: int


def alert_id(dataset_id: UUID, signal: Signal) -> UUID:
    """Return the id of the alert of this stretch: the same whoever computes it, and however often."""
    return uuid5(_ALERT_IDS, f"{dataset_id}/{signal.first_day.isoformat()}/{signal.kind}")


def signals(
    uses: Mapping[date, int],
    *,
    observed_days: Sequence[date],
    counted_since: date,
    today: date,
    rules: SignalRules,
) -> list[Signal]:
    """Return what is remarkable about one dataset's use, at most one signal of each kind.

    ``uses`` per day, days without use left out. ``observed_days`` are those on which the installation
    counted anything at all, in order: on any other day the collection was down, and nobody fell silent.
    A dataset counted for fewer than ``history_days_min`` days is too new to judge.
    """
    days = [day for day in observed_days if counted_since <= day <= today]
    found = (_spike(uses, days, today, rules), _silence(uses, days, today, rules))
    return [signal for signal in found if signal is not None]


def _spike(uses: Mapping[date, int], days: Sequence[date], today: date, rules: SignalRules) -> Signal | None:
    """A run of spiking days that reaches today or yesterday. The running day counts with what it has."""
    last = next((day for day in (today, today - _DAY) if _is_spiking(uses, days, day, rules)), None)
    if last is None:
        return None
    first = last
    while (last - first).days < SPIKE_RUN_DAYS_MAX and _is_spiking(uses, days, first - _DAY, rules):
        first -= _DAY
    highest = max(uses.get(first + _DAY * number, 0) for number in range((last - first).days + 1))
    usual = median(_history(uses, days, first))
    return Signal(SignalKind.SPIKE, Severity.INFO, first, (last - first).days + 1, usual, highest)


def _is_spiking(uses: Mapping[date, int], days: Sequence[date], day: date, rules: SignalRules) -> bool:
    count = uses.get(day, 0)
    if count < rules.spike_uses_min:
        return False
    history = _history(uses, days, day)
    if len(history) < rules.history_days_min:
        return False
    usual = median(history)
    spread = MAD_TO_SIGMA * median(abs(count - usual) for count in history)
    # Counts scatter by their square root even where the median deviation happens to be nought.
    sigma = max(spread, sqrt(usual), 1.0)
    return count >= max(rules.spike_factor * usual, usual + SPIKE_SIGMAS * sigma)


def _silence(
    uses: Mapping[date, int], days: Sequence[date], today: date, rules: SignalRules
) -> Signal | None:
    """Full days without any use up to today, on which enough uses were to be expected."""
    if uses.get(today, 0):
        return None
    quiet: list[date] = []
    for day in reversed([day for day in days if day < today]):
        if uses.get(day, 0):
            break
        quiet.append(day)
    if len(quiet) < rules.silence_days_min:
        return None
    first = quiet[-1]
    history = [day for day in days if first - _DAY * HISTORY_DAYS <= day < first]
    if len(history) < rules.history_days_min:
        return None
    usual = median(uses.get(day, 0) for day in history)
    expected = sum(_usual_on(uses, history, day, usual) for day in quiet)
    if expected < rules.silence_expected_uses_min:
        return None
    severity = Severity.ERROR if len(quiet) >= LONG_SILENCE_DAYS else Severity.WARNING
    return Signal(SignalKind.SILENCE, severity, first, len(quiet), usual, 0)


def _usual_on(uses: Mapping[date, int], history: Sequence[date], day: date, usual: float) -> float:
    """The median of the same weekday, so that quiet weekends are not missed uses."""
    same = [uses.get(past, 0) for past in history if past.weekday() == day.weekday()]
    return median(same) if len(same) >= SAME_WEEKDAYS_MIN else usual


def _history(uses: Mapping[date, int], days: Sequence[date], day: date) -> list[int]:
    return [uses.get(past, 0) for past in days if day - _DAY * HISTORY_DAYS <= past < day]
