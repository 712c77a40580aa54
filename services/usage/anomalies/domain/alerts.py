"""The life of usage's alerts: opened by a signal, taken by a person, over when use is back or time is up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from services.usage.anomalies.domain.signals import Signal, SignalKind, alert_id
from shared.events.alerts import AlertState, Evidence

__all__ = ["AlertStep", "KnownAlert", "Subject", "acknowledged", "next_steps"]

_SEVERITIES = {"info": 0, "warning": 1, "error": 2}

Change = Literal["opened", "severity", "acknowledged", "resolved"]


@dataclass(frozen=True, slots=True)
class Subject:
    """The dataset that an alert is about."""

    dataset_id: UUID
    title: str
    agency_id: UUID | None


@dataclass(frozen=True, slots=True)
class KnownAlert:
    """An alert and the first day of the stretch that it is about."""

    alert: AlertState
    first_day: date


@dataclass(frozen=True, slots=True)
class AlertStep:
    """A change of one alert, with its full state afterwards."""

    change: Change
    alert: AlertState
    first_day: date


def next_steps(
    signals: Sequence[Signal],
    open_alerts: Sequence[KnownAlert],
    uses: Mapping[date, int],
    *,
    subject: Subject | None,
    now: datetime,
) -> list[AlertStep]:
    """Return what changes for one dataset. ``subject=None``: it is gone, so whatever is open is resolved.

    At most one alert of a kind is open for a dataset. A silence ends only by use: that its history has
    grown too old to judge by does not end it.
    """
    steps = []
    by_kind = {signal.kind.value: signal for signal in signals} if subject is not None else {}
    for known in open_alerts:
        alert, first_day = known.alert, known.first_day
        signal = by_kind.pop(alert.kind, None)
        if signal is not None:
            if signal.severity.value != alert.severity:
                steps.append(AlertStep("severity", _changed(alert, signal, now), first_day))
        elif subject is None or _is_over(known, uses):
            steps.append(AlertStep("resolved", _resolved(alert, now), first_day))
    if subject is not None:
        steps.extend(
            AlertStep("opened", _opened(subject, signal, now), signal.first_day)
            for signal in by_kind.values()
        )
    return steps


def acknowledged(known: KnownAlert, *, person_id: UUID, at: datetime) -> AlertStep | None:
    """A person takes charge; None for an alert that somebody has, or that is over."""
    if known.alert.state != "open":
        return None
    taken = known.alert.model_copy(
        update={
            "state": "acknowledged",
            "acknowledged_at": at,
            "acknowledged_by": person_id,
            "changed_at": at,
        }
    )
    return AlertStep("acknowledged", taken, known.first_day)


def _is_over(known: KnownAlert, uses: Mapping[date, int]) -> bool:
    if known.alert.kind != SignalKind.SILENCE:
        return True
    return any(count for day, count in uses.items() if day >= known.first_day)


def _opened(subject: Subject, signal: Signal, now: datetime) -> AlertState:
    return AlertState(
        alert_id=alert_id(subject.dataset_id, signal),
        dataset_id=subject.dataset_id,
        dataset_title=subject.title,
        agency_id=subject.agency_id,
        kind=signal.kind.value,
        severity=signal.severity.value,
        state="open",
        cause=_cause(signal),
        evidence=_evidence(signal),
        next_act=_NEXT_ACTS[signal.kind],
        opened_at=now,
        changed_at=now,
    )


def _changed(alert: AlertState, signal: Signal, now: datetime) -> AlertState:
    update: dict[str, Any] = {"severity": signal.severity.value, "cause": _cause(signal), "changed_at": now}
    if _SEVERITIES.get(signal.severity.value, 0) > _SEVERITIES.get(alert.severity, 0):
        # What got worse needs a person again, whoever took the lesser one.
        update |= {"state": "open", "acknowledged_at": None, "acknowledged_by": None}
    return alert.model_copy(update=update)


def _resolved(alert: AlertState, now: datetime) -> AlertState:
    return alert.model_copy(update={"state": "resolved", "changed_at": now, "resolved_at": now})


def _cause(signal: Signal) -> str:
    usual = f"{signal.usual:g}"
    if signal.kind is SignalKind.SPIKE:
        return f"Used {signal.observed:,} times in a day, after {usual} times on a usual day."
    return f"No use for {signal.days} days, after {usual} uses on a usual day."


def _evidence(signal: Signal) -> list[Evidence]:
    return [
        Evidence(name="uses per day", expected=f"about {signal.usual:g}", observed=str(signal.observed)),
        Evidence(name="since", observed=signal.first_day.isoformat()),
    ]


_NEXT_ACTS: Mapping[SignalKind, str] = {
    SignalKind.SPIKE: "Find out what people look for, and see that the data is fresh and answers it.",
    SignalKind.SILENCE: "Open the dataset's page and its download address; a moved or broken link is the "
    "usual reason.",
}
