"""How a dataset stands: the worst of its score, its freshness and its open alerts."""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import get_args

import pytest

from services.catalog.datasets.domain.condition import (
    CONDITION_STATUSES,
    AlertFacts,
    Condition,
    Freshness,
    OpenAlerts,
    open_alerts_of,
    worst_of,
)

NOW = datetime(2026, 3, 15, tzinfo=UTC)
SCORES = (None, 0.0, 0.5, 0.75, 1.0)
SEVERITIES = ("info", "warning", "error", "of a later version")


@pytest.mark.parametrize(("score", "freshness"), list(product(SCORES, get_args(Freshness))))
@pytest.mark.parametrize("severity", SEVERITIES)
def test_an_open_alert_is_never_well_and_never_makes_anything_better(
    score: float | None, freshness: Freshness, severity: str
) -> None:
    without = worst_of(score, freshness, None)
    with_alert = worst_of(score, freshness, OpenAlerts(1, severity, "row-count-dropped"))
    assert with_alert.status not in ("ok", "not-known")
    assert CONDITION_STATUSES.index(with_alert.status) >= CONDITION_STATUSES.index(without.status)


@pytest.mark.parametrize(
    ("score", "freshness", "severity", "expected"),
    [
        (0.92, "ok", None, Condition("ok", "freshness")),
        (0.92, "not-applicable", None, Condition("ok", "freshness")),
        (None, "not-known", None, Condition("not-known", "freshness")),
        (0.92, "not-known", None, Condition("not-known", "freshness")),
        (0.6, "ok", None, Condition("attention", "score")),
        (0.4, "late", None, Condition("problem", "score")),
        (0.6, "late", None, Condition("attention", "freshness")),
        (0.4, "ok", "warning", Condition("problem", "score")),
        (0.92, "stale", "error", Condition("problem", "alert", "x")),
        (0.92, "ok", "info", Condition("notice", "alert", "x")),
    ],
)
def test_the_worst_is_told_with_its_cause(
    score: float | None, freshness: Freshness, severity: str | None, expected: Condition
) -> None:
    alerts = None if severity is None else OpenAlerts(2, severity, "x")
    assert worst_of(score, freshness, alerts) == expected


def test_the_newest_of_the_worst_alerts_stands_for_all() -> None:
    assert open_alerts_of([]) is None
    found = open_alerts_of(
        [
            AlertFacts("warning", "use-silent", NOW),
            AlertFacts("error", "link-broken", NOW - timedelta(days=2)),
            AlertFacts("error", "row-count-dropped", NOW - timedelta(days=1)),
        ]
    )
    assert found == OpenAlerts(3, "error", "row-count-dropped")
