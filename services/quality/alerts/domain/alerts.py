"""The life of an alert, as pure transitions: opened, acknowledged, resolved, opened again.

An alert has one id for ever, made of its dataset, kind and column. A dataset is measured against its own
baseline: what was wrong when it was first seen is summarized to its steward, not alarmed about, until it has
once been right.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from services.quality.alerts.domain.findings import (
    EVIDENCE_MAX,
    AlertKind,
    Finding,
    FindingEvidence,
    Severity,
    severity_rank,
    worst_severity,
)
from shared.errors import ConflictError
from shared.events.alerts import AlertState, Evidence

AlertStatus = Literal["open", "acknowledged", "resolved"]

FLAP_WINDOW = timedelta(hours=24)
"""An alert that comes back within this time continues its old incident."""
FLAPPING_OCCURRENCES_MIN = 3

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:nutmeg:quality:alerts")


class AlertKey(NamedTuple):
    """What an alert is about, within one dataset."""

    kind: AlertKind
    column: str | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. ``subject_version`` rises by one with every transition (design, section 3, rule 2).

    ``opened_at`` is the start of the present incident, ``occurrences`` counts how often it came in all;
    ``is_flapping`` is set when it keeps coming back shortly after it was resolved.
    """

    alert_id: UUID
    dataset_id: UUID
    key: AlertKey
    severity: Severity
    state: AlertStatus
    cause: str
    next_act: str
    evidence: tuple[FindingEvidence, ...]
    opened_at: datetime
    changed_at: datetime
    subject_version: int = 1
    occurrences: int = 1
    is_flapping: bool = False
    resolved_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: UUID | None = None


@dataclass(frozen=True, slots=True)
class AlertPlan:
    """What one round of measurements does: the alerts that changed, and what stays part of the baseline."""

    changed: tuple[Alert, ...]
    known_at_baseline: frozenset[AlertKey]


class AlertTransitionError(ConflictError):
    """A person asked for a step that the state of the alert does not allow."""


def alert_id_of(dataset_id: UUID, key: AlertKey) -> UUID:
    """The same id for the same dataset, kind and column, on every machine and after every replay."""
    return uuid5(_NAMESPACE, f"{dataset_id}/{key.kind}/{key.column if key.column is not None else ''}")


def advance(
    previous: Alert | None,
    findings: Sequence[Finding],
    now: datetime,
    *,
    dataset_id: UUID,
    key: AlertKey,
    baseline: bool,
    flap_window: timedelta = FLAP_WINDOW,
) -> Alert | None:
    """The next state of one alert, or None when nothing changed.

    ``findings`` are those of this key in the present measurement; none means that all is well. With
    ``baseline`` they were already there when the dataset was first measured: then nothing opens.
    """
    if not findings:
        return _resolved(previous, now) if previous is not None and previous.state != "resolved" else None
    if previous is None:
        return None if baseline else _opened(dataset_id, key, findings, now)
    if previous.state == "resolved":
        return None if baseline else _reopened(previous, findings, now, flap_window)
    return _updated(previous, findings, now)


def plan_alerts(
    dataset_id: UUID,
    previous: Mapping[AlertKey, Alert],
    findings: Sequence[Finding],
    now: datetime,
    *,
    measured: Collection[AlertKind],
    known_at_baseline: frozenset[AlertKey] | None,
) -> AlertPlan:
    """Advance every alert of one dataset after one round of measurements.

    ``measured`` are the kinds that this round could have found: only they can be resolved, since silence
    about what was not looked at proves nothing. ``known_at_baseline`` is None at the first measurement of
    the dataset (give the kinds of one measurement together), later what the last plan returned. A key leaves
    the baseline as soon as it was once measured and found right; from then on it alarms.
    """
    by_key: dict[AlertKey, list[Finding]] = {}
    for finding in findings:
        by_key.setdefault(AlertKey(finding.kind, finding.column), []).append(finding)
    stray = {key.kind for key in by_key} - set(measured)
    if stray:
        raise ValueError(f"measured: add the kinds that were found, {', '.join(sorted(stray))}")
    if known_at_baseline is None:
        known = frozenset(by_key)
    else:
        known = frozenset(key for key in known_at_baseline if key.kind not in measured or key in by_key)
    keys = {*by_key, *(key for key in previous if key.kind in measured)}
    changed = []
    for key in sorted(keys, key=lambda one: (one.kind, one.column or "")):
        alert = advance(
            previous.get(key), by_key.get(key, ()), now, dataset_id=dataset_id, key=key, baseline=key in known
        )
        if alert is not None:
            changed.append(alert)
    return AlertPlan(changed=tuple(changed), known_at_baseline=known)


def acknowledge(alert: Alert, person_id: UUID, now: datetime) -> Alert:
    """A person takes charge. Doing it twice changes nothing.

    Raises:
        AlertTransitionError: the alert is already resolved.
    """
    if alert.state == "resolved":
        raise AlertTransitionError("state: the alert is already resolved; there is nothing to acknowledge")
    if alert.state == "acknowledged":
        return alert
    return replace(
        alert,
        state="acknowledged",
        acknowledged_at=now,
        acknowledged_by=person_id,
        changed_at=now,
        subject_version=alert.subject_version + 1,
    )


def close_alerts(alerts: Sequence[Alert], now: datetime) -> tuple[Alert, ...]:
    """Resolve whatever is not resolved yet, for a dataset that was retired."""
    return tuple(_resolved(alert, now) for alert in alerts if alert.state != "resolved")


def _opened(dataset_id: UUID, key: AlertKey, findings: Sequence[Finding], now: datetime) -> Alert:
    lead = _lead(findings)
    return Alert(
        alert_id=alert_id_of(dataset_id, key),
        dataset_id=dataset_id,
        key=key,
        severity=worst_severity(tuple(findings)),
        state="open",
        cause=lead.cause,
        next_act=lead.next_act,
        evidence=_evidence(findings),
        opened_at=now,
        changed_at=now,
    )


def _reopened(previous: Alert, findings: Sequence[Finding], now: datetime, flap_window: timedelta) -> Alert:
    fresh = _opened(previous.dataset_id, previous.key, findings, now)
    resolved_at = previous.resolved_at or previous.changed_at
    continues = now - resolved_at <= flap_window
    occurrences = previous.occurrences + 1
    return replace(
        fresh,
        opened_at=previous.opened_at if continues else now,
        occurrences=occurrences,
        is_flapping=continues and (previous.is_flapping or occurrences >= FLAPPING_OCCURRENCES_MIN),
        subject_version=previous.subject_version + 1,
    )


def _updated(previous: Alert, findings: Sequence[Finding], now: datetime) -> Alert | None:
    """New words or evidence; a higher severity needs a person again, whoever acknowledged the lower one."""
    fresh = _opened(previous.dataset_id, previous.key, findings, now)
    escalated = severity_rank(fresh.severity) > severity_rank(previous.severity)
    updated = replace(
        previous,
        severity=fresh.severity,
        cause=fresh.cause,
        next_act=fresh.next_act,
        evidence=fresh.evidence,
        state="open" if escalated else previous.state,
        acknowledged_at=None if escalated else previous.acknowledged_at,
        acknowledged_by=None if escalated else previous.acknowledged_by,
    )
    if updated == previous:
        return None
    return replace(updated, changed_at=now, subject_version=previous.subject_version + 1)


def _resolved(alert: Alert, now: datetime) -> Alert:
    return replace(
        alert, state="resolved", resolved_at=now, changed_at=now, subject_version=alert.subject_version + 1
    )


def _lead(findings: Sequence[Finding]) -> Finding:
    return max(findings, key=lambda finding: severity_rank(finding.severity))


def _evidence(findings: Sequence[Finding]) -> tuple[FindingEvidence, ...]:
    return tuple(evidence for finding in findings for evidence in finding.evidence)[:EVIDENCE_MAX]


def alert_state(alert: Alert, *, title: str, agency_id: UUID | None) -> AlertState:
    """Return the alert as every alerts topic tells it."""
    return AlertState(
        alert_id=alert.alert_id,
        dataset_id=alert.dataset_id,
        dataset_title=title,
        agency_id=agency_id,
        kind=alert.key.kind,
        severity=alert.severity,
        state=alert.state,
        cause=alert.cause,
        evidence=[
            Evidence(name=one.name, expected=one.expected, observed=one.observed) for one in alert.evidence
        ],
        next_act=alert.next_act,
        occurrences=alert.occurrences,
        opened_at=alert.opened_at,
        changed_at=alert.changed_at,
        acknowledged_at=alert.acknowledged_at,
        acknowledged_by=alert.acknowledged_by,
        resolved_at=alert.resolved_at,
    )
