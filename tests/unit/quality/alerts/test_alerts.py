from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.quality.alerts.domain.alerts import (
    Alert,
    AlertKey,
    AlertTransitionError,
    acknowledge,
    advance,
    alert_id_of,
    close_alerts,
    plan_alerts,
)
from services.quality.alerts.domain.findings import AlertKind, Finding, FindingEvidence

DATASET = UUID(int=7)
PERSON = UUID(int=8)
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
STALE = AlertKey("freshness-stale")


def finding(kind: AlertKind = "freshness-stale", **fields: Any) -> Finding:
    return Finding(
        **{
            "kind": kind,
            "severity": "warning",
            "cause": "It is old.",
            "next_act": "Update it.",
            "evidence": (FindingEvidence("rows", "10", "4"),),
            **fields,
        }
    )


def step(
    previous: Alert | None, *findings: Finding, at: datetime = NOW, baseline: bool = False
) -> Alert | None:
    return advance(previous, findings, at, dataset_id=DATASET, key=STALE, baseline=baseline)


def opened(*findings: Finding) -> Alert:
    alert = step(None, *(findings or (finding(),)))
    assert alert is not None
    return alert


def resolved(alert: Alert, at: datetime = NOW + HOUR) -> Alert:
    after = step(alert, at=at)
    assert after is not None
    return after


def test_a_finding_opens_an_alert_and_the_same_finding_again_changes_nothing() -> None:
    alert = opened()
    assert (alert.state, alert.subject_version, alert.occurrences) == ("open", 1, 1)
    assert alert.alert_id == alert_id_of(DATASET, STALE)
    assert step(alert, finding(), at=NOW + HOUR) is None


def test_nothing_found_and_nothing_open_is_nothing_to_tell() -> None:
    assert step(None) is None
    assert step(resolved(opened()), at=NOW + 2 * HOUR) is None


def test_a_finding_of_the_baseline_opens_nothing() -> None:
    assert step(None, finding(), baseline=True) is None


def test_a_recovered_dataset_resolves_its_alert() -> None:
    after = resolved(opened())
    assert (after.state, after.resolved_at, after.subject_version) == ("resolved", NOW + HOUR, 2)


def test_new_evidence_is_told_and_keeps_the_acknowledgement() -> None:
    alert = acknowledge(opened(), PERSON, NOW)
    after = step(alert, finding(evidence=(FindingEvidence("rows", "10", "3"),)), at=NOW + HOUR)
    assert after is not None
    assert (after.state, after.acknowledged_by) == ("acknowledged", PERSON)
    assert after.evidence[0].observed == "3"


def test_a_higher_severity_needs_a_person_again() -> None:
    alert = acknowledge(opened(), PERSON, NOW)
    after = step(alert, finding(severity="error"), at=NOW + HOUR)
    assert after is not None
    assert (after.state, after.acknowledged_by, after.severity) == ("open", None, "error")


def test_the_worst_finding_speaks_for_all_of_one_key() -> None:
    alert = opened(finding(cause="Mild."), finding(severity="error", cause="Grave."))
    assert (alert.cause, alert.severity, len(alert.evidence)) == ("Grave.", "error", 2)


def test_a_relapse_within_the_window_continues_the_incident_under_the_same_id() -> None:
    alert = opened()
    back = step(resolved(alert), finding(), at=NOW + 3 * HOUR)
    assert back is not None
    assert (back.alert_id, back.opened_at, back.occurrences) == (alert.alert_id, NOW, 2)
    assert (back.state, back.resolved_at, back.is_flapping) == ("open", None, False)
    again = step(resolved(back, NOW + 4 * HOUR), finding(), at=NOW + 5 * HOUR)
    assert again is not None
    assert (again.occurrences, again.is_flapping) == (3, True)


def test_a_relapse_after_the_window_is_a_new_incident_that_counts_on() -> None:
    later = NOW + timedelta(days=30)
    back = step(resolved(opened()), finding(), at=later)
    assert back is not None
    assert (back.opened_at, back.occurrences, back.is_flapping) == (later, 2, False)


def test_acknowledging_twice_changes_nothing_and_a_resolved_alert_refuses() -> None:
    alert = acknowledge(opened(), PERSON, NOW)
    assert acknowledge(alert, UUID(int=9), NOW + HOUR) == alert
    with pytest.raises(AlertTransitionError, match="already resolved"):
        acknowledge(resolved(alert), PERSON, NOW)


def test_a_retired_dataset_closes_what_is_not_resolved() -> None:
    open_alert, done = opened(), resolved(opened())
    assert [alert.state for alert in close_alerts([open_alert, done], NOW + HOUR)] == ["resolved"]


def test_the_id_depends_on_dataset_kind_and_column() -> None:
    keys = [STALE, AlertKey("nulls-risen", "a"), AlertKey("nulls-risen", "b"), AlertKey("nulls-risen")]
    ids = {alert_id_of(dataset, key) for key in keys for dataset in (DATASET, UUID(int=1))}
    assert len(ids) == 8


NULLS = AlertKey("nulls-risen", "town")
MEASURED = ("freshness-stale", "nulls-risen")


def plan(
    previous: dict[AlertKey, Alert],
    findings: list[Finding],
    known: frozenset[AlertKey] | None = frozenset(),
    measured: tuple[AlertKind, ...] = ("freshness-stale", "nulls-risen"),
) -> tuple[dict[AlertKey, Alert], frozenset[AlertKey]]:
    made = plan_alerts(DATASET, previous, findings, NOW, measured=measured, known_at_baseline=known)
    return {**previous, **{alert.key: alert for alert in made.changed}}, made.known_at_baseline


def test_a_first_measurement_opens_nothing_whatever_it_finds() -> None:
    alerts, known = plan({}, [finding(), finding("nulls-risen", column="town")], known=None)
    assert alerts == {}
    assert known == {STALE, NULLS}


def test_what_was_wrong_from_the_start_alarms_only_after_it_was_once_right() -> None:
    _, known = plan({}, [finding()], known=None)
    alerts, known = plan({}, [finding()], known)
    assert alerts == {}
    alerts, known = plan({}, [], known)
    assert known == frozenset()
    alerts, _ = plan({}, [finding()], known)
    assert alerts[STALE].state == "open"


def test_a_new_defect_of_an_imperfect_dataset_alarms_at_once() -> None:
    _, known = plan({}, [finding()], known=None)
    alerts, _ = plan({}, [finding(), finding("nulls-risen", column="town")], known)
    assert set(alerts) == {NULLS}


def test_silence_about_what_was_not_measured_resolves_nothing() -> None:
    alerts, known = plan({}, [finding("nulls-risen", column="town")])
    alerts, _ = plan(alerts, [], known, measured=("freshness-stale",))
    assert alerts[NULLS].state == "open"
    alerts, _ = plan(alerts, [], known, measured=("nulls-risen",))
    assert alerts[NULLS].state == "resolved"


def test_a_finding_outside_the_kinds_measured_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="freshness-stale"):
        plan({}, [finding()], measured=("nulls-risen",))


@given(st.lists(st.sampled_from(["none", "warning", "error", "acknowledge"]), max_size=30))
def test_versions_rise_by_one_and_a_replay_changes_nothing(steps: list[str]) -> None:
    alert: Alert | None = None
    at = NOW
    for name in steps:
        at += HOUR
        before = alert
        if name == "acknowledge":
            if alert is not None and alert.state != "resolved":
                alert = acknowledge(alert, PERSON, at)
        else:
            findings = () if name == "none" else (finding(severity=name),)
            alert = step(alert, *findings, at=at) or alert
            assert step(alert, *findings, at=at) is None
            if alert is not None:
                assert (alert.state == "resolved") == (name == "none")
        if before is not None and alert is not None and alert != before:
            assert alert.subject_version == before.subject_version + 1
            assert alert.occurrences - before.occurrences in (0, 1)
