"""How a dataset stands in one word: the worst of its score, its freshness and its open alerts. Pure.

Pages, results, the feed, the index and the API all take it from here, so that a dataset with an open alert
looks well in none of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args

__all__ = [
    "CONDITION_STATUSES",
    "FAIR_SCORE_MIN",
    "GOOD_SCORE_MIN",
    "AlertFacts",
    "Condition",
    "ConditionStatus",
    "Freshness",
    "OpenAlerts",
    "alert_status",
    "condition_document",
    "freshness_status",
    "open_alerts_of",
    "open_alerts_of_row",
    "score_status",
    "severity_rank",
    "worse",
    "worst_of",
]

Freshness = Literal["ok", "late", "stale", "not-applicable", "not-known"]


ConditionStatus = Literal["ok", "not-known", "notice", "attention", "problem"]
"""The worst of score, freshness and open alerts, from the best to the worst."""

GOOD_SCORE_MIN = 0.75
FAIR_SCORE_MIN = 0.5

CONDITION_STATUSES: tuple[ConditionStatus, ...] = get_args(ConditionStatus)
"""From the best to the worst."""

Cause = Literal["alert", "freshness", "score"]

_RANKS: dict[ConditionStatus, int] = {status: rank for rank, status in enumerate(CONDITION_STATUSES)}
_SEVERITIES: dict[str, ConditionStatus] = {"error": "problem", "warning": "attention", "info": "notice"}
_FRESHNESS: dict[Freshness, ConditionStatus] = {
    "ok": "ok",
    "not-applicable": "ok",
    "not-known": "not-known",
    "late": "attention",
    "stale": "problem",
}


class AlertFacts(NamedTuple):
    """What counts of one open alert."""

    severity: str
    kind: str
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class OpenAlerts:
    """The open alerts of one dataset, at least one: how many, and the worst of them."""

    count: int
    severity: str
    kind: str


@dataclass(frozen=True, slots=True)
class Condition:
    """How a dataset stands. ``alert_kind`` is set where an open alert is the cause."""

    status: ConditionStatus
    cause: Cause
    alert_kind: str | None = None


def worst_of(score: float | None, freshness: Freshness, alerts: OpenAlerts | None) -> Condition:
    """Return the worst. An open alert is never ``ok``; what was not measured does not count as bad.

    Among equals an alert is the cause before freshness, and freshness before the score.
    """
    candidates = [Condition(freshness_status(freshness), "freshness")]
    if alerts is not None:
        candidates.insert(0, Condition(alert_status(alerts.severity), "alert", alerts.kind))
    if score is not None:
        candidates.append(Condition(score_status(score), "score"))
    return max(candidates, key=lambda one: _RANKS[one.status])


def worse(first: ConditionStatus, second: ConditionStatus) -> ConditionStatus:
    """Return the worse of two."""
    return max(first, second, key=_RANKS.__getitem__)


def alert_status(severity: str) -> ConditionStatus:
    """Say how bad an open alert is; a severity of a later version needs attention."""
    return _SEVERITIES.get(severity, "attention")


def freshness_status(freshness: Freshness) -> ConditionStatus:
    """Say how bad it is; data that is not updated on purpose is well."""
    return _FRESHNESS[freshness]


def score_status(score: float) -> ConditionStatus:
    """Say how bad a score from 0 to 1 is."""
    return "ok" if score >= GOOD_SCORE_MIN else "attention" if score >= FAIR_SCORE_MIN else "problem"


def severity_rank(severity: str) -> int:
    """A key to sort alerts by: the worst has the lowest."""
    return -_RANKS[alert_status(severity)]


def open_alerts_of(alerts: Iterable[AlertFacts]) -> OpenAlerts | None:
    """Sum up the open alerts of one dataset; None without any. The newest of the worst stands for all."""
    listed = list(alerts)
    if not listed:
        return None
    worst = min(listed, key=lambda one: (severity_rank(one.severity), -one.opened_at.timestamp(), one.kind))
    return OpenAlerts(len(listed), worst.severity, worst.kind)


def open_alerts_of_row(row: Any) -> OpenAlerts | None:
    """Return what the columns say that sum up the open alerts of a dataset; None without any."""
    return OpenAlerts(row.open_alerts, row.alert_severity, row.alert_kind) if row.open_alerts else None


def condition_document(condition: Condition, alerts: OpenAlerts | None) -> dict[str, Any]:
    """Return the condition as API documents tell it."""
    return {
        "status": condition.status,
        "cause": condition.cause,
        "alert_kind": condition.alert_kind,
        "open_alerts": 0 if alerts is None else alerts.count,
    }
