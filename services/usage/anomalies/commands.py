"""Commands of anomalies: look for spikes and silence, open and resolve alerts, note who took one."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from uuid import UUID

import structlog

from services.usage.anomalies.domain.alerts import AlertStep, KnownAlert, Subject, acknowledged, next_steps
from services.usage.anomalies.domain.signals import DAYS_LOOKED_BACK, SignalRules, WatchedDataset, signals
from services.usage.anomalies.repository import AnomalyMonitor, UsageAlertRepository
from services.usage.counts.domain.counter import hour_of
from shared.clock import Clock
from shared.events.alerts import AlertChanged, AlertOpened, AlertResolved
from shared.events.notify import AlertAcknowledged
from shared.events.registry import (
    USAGE_ALERT_CHANGED,
    USAGE_ALERT_OPENED,
    USAGE_ALERT_RESOLVED,
)
from shared.events.topics import TOPICS
from shared.store.unit_of_work import UnitOfWork
from shared.telemetry.metrics import Metrics

__all__ = [
    "LOOK_AFTER",
    "WATCH_WORK",
    "AnomalyDetection",
    "DailyUses",
    "acknowledge_alerts",
    "begin_watching",
    "detect_anomalies",
    "forget_alerts",
    "watch_changed",
]

logger = structlog.get_logger(__name__)

WATCH_WORK = "usage.watch"
"""The recurring work that looks for spikes and silence."""
DATASETS_PER_TURN_MAX = 200
JUDGED_AGAIN_AFTER = timedelta(seconds=5)
FIRST_LOOK_AFTER = timedelta(hours=1)
LOOK_AFTER = timedelta(seconds=2)
"""So that a stream of batches does not have a dataset looked at for each of them."""


class DailyUses(Protocol):
    """The uses that signals are looked for in: from the counts, or from a stream of rollups."""

    def at_hand(self) -> Callable[[UUID], bool] | None:
        """Return what tells whose uses this process knows, up to a moment ago; ``None``: everyone's."""
        ...

    async def daily_uses(
        self, work: UnitOfWork, dataset_ids: Collection[UUID], *, since: date
    ) -> Mapping[UUID, Mapping[date, int]]:
        """Return the uses per dataset and day, days without use left out."""
        ...


@dataclass(frozen=True, slots=True)
class AnomalyDetection:
    """What the commands of anomalies work with."""

    clock: Clock
    monitor: AnomalyMonitor
    uses: DailyUses
    alerts: UsageAlertRepository
    rules: SignalRules
    metrics: Metrics


async def begin_watching(
    work: UnitOfWork, detection: AnomalyDetection, since: Mapping[UUID, date], *, ended: Mapping[UUID, date]
) -> None:
    """Watch datasets from the day on that each is known; those that have ended are looked at at once."""
    now = detection.clock.now()
    await detection.monitor.begin(work, since, due_at=now + FIRST_LOOK_AFTER)
    if ended:
        await detection.monitor.begin(work, ended, due_at=now)


async def watch_changed(
    work: UnitOfWork, detection: AnomalyDetection, first_days: Mapping[UUID, date]
) -> None:
    """Look soon at datasets whose counts changed."""
    await detection.monitor.begin(work, first_days, due_at=detection.clock.now() + LOOK_AFTER)


async def detect_anomalies(work: UnitOfWork, detection: AnomalyDetection) -> int:
    """Look at the datasets that are due, open and resolve alerts, and return how many were looked at.

    The one writer of ``usage.alerts``: a process that knows the uses from a stream runs it as well as one
    that counts them. A dataset whose uses cannot be judged is told of, looked at again later, and holds up
    no other.
    """
    now = detection.clock.now()
    since = now.astimezone(UTC).date() - timedelta(days=DAYS_LOOKED_BACK)
    due = await detection.monitor.due(
        work, now=now, rows_max=DATASETS_PER_TURN_MAX, is_wanted=detection.uses.at_hand()
    )
    if not due:
        return 0
    ids = [watched.dataset_id for watched in due]
    uses = await detection.uses.daily_uses(work, ids, since=since)
    observed = await detection.monitor.observed_days(work, since=since)
    subjects = await detection.monitor.subjects(work, ids)
    open_alerts = await detection.alerts.open_alerts(work, ids)
    failed: set[UUID] = set()
    for watched in due:
        try:
            steps = _judged(
                watched,
                uses.get(watched.dataset_id, {}),
                observed,
                subject=subjects.get(watched.dataset_id),
                open_alerts=open_alerts.get(watched.dataset_id, []),
                rules=detection.rules,
                now=now,
            )
        except Exception:
            logger.exception("use could not be judged", dataset_id=str(watched.dataset_id))
            failed.add(watched.dataset_id)
            continue
        for step in steps:
            await _publish_step(work, detection, step)
    # Counting makes a dataset due by itself; what nobody used for long can only be noticed by that.
    idle = {dataset_id for dataset_id in ids if dataset_id not in uses and dataset_id not in open_alerts}
    await detection.monitor.looked_at(work, failed, due_at=now + JUDGED_AGAIN_AFTER)
    await detection.monitor.looked_at(
        work, set(ids) - idle - failed, due_at=hour_of(now) + timedelta(hours=1)
    )
    await detection.monitor.looked_at(work, idle - failed, due_at=now + timedelta(days=1))
    if failed:
        work.after_commit(lambda: _count_failures(detection.metrics, len(failed)))
    return len(due)


async def acknowledge_alerts(
    work: UnitOfWork, detection: AnomalyDetection, acknowledgements: Sequence[AlertAcknowledged]
) -> list[bool]:
    """Say on each alert who took charge of it; true where that changed it.

    One that is over, or that is another service's, is left alone.
    """
    topic = USAGE_ALERT_OPENED.topic.name
    ours = {taken.alert_id for taken in acknowledgements if taken.owner_topic == topic}
    known = await detection.alerts.find(work, ours)
    has_changed = []
    for taken in acknowledgements:
        alert = known.get(taken.alert_id)
        step = None
        if alert is not None:
            step = acknowledged(alert, person_id=taken.acknowledged_by, at=taken.acknowledged_at)
        has_changed.append(step is not None)
        if step is not None:
            known[taken.alert_id] = KnownAlert(step.alert, step.first_day)
            await _publish_step(work, detection, step)
    return has_changed


async def forget_alerts(work: UnitOfWork, detection: AnomalyDetection) -> int:
    """Delete alerts resolved long ago, send their tombstones, and return how many."""
    kept_days = TOPICS["usage.alerts"].tombstone_days or 0
    before = detection.clock.now() - timedelta(days=kept_days)
    ended = await detection.alerts.take_ended(work, resolved_before=before)
    for alert_id, dataset_id, version in ended:
        work.emit_tombstone(
            USAGE_ALERT_RESOLVED,
            subject=str(alert_id),
            partition_key=str(dataset_id),
            subjectversion=version,
        )
    return len(ended)


def _judged(
    watched: WatchedDataset,
    uses: Mapping[date, int],
    observed: Sequence[date],
    *,
    subject: Subject | None,
    open_alerts: Sequence[KnownAlert],
    rules: SignalRules,
    now: datetime,
) -> list[AlertStep]:
    found = signals(
        uses,
        observed_days=observed,
        counted_since=watched.counted_since,
        today=now.astimezone(UTC).date(),
        rules=rules,
    )
    return next_steps(found, open_alerts, uses, subject=subject, now=now)


async def _publish_step(work: UnitOfWork, detection: AnomalyDetection, step: AlertStep) -> None:
    """Write a change of an alert and tell it; one that was opened before is told once."""
    version = await detection.alerts.put(work, step)
    if version is None:
        return
    subject = str(step.alert.alert_id)
    if step.change == "opened":
        work.emit(USAGE_ALERT_OPENED, AlertOpened(alert=step.alert), subject=subject, subjectversion=version)
    elif step.change == "resolved":
        work.emit(
            USAGE_ALERT_RESOLVED, AlertResolved(alert=step.alert), subject=subject, subjectversion=version
        )
    else:
        changed = AlertChanged(alert=step.alert, change=step.change)
        work.emit(USAGE_ALERT_CHANGED, changed, subject=subject, subjectversion=version)
    work.after_commit(
        lambda: detection.metrics.count(
            "nutmeg_alerts_total", service="usage", kind=step.alert.kind, change=step.change
        )
    )


def _count_failures(metrics: Metrics, count: int) -> None:
    metrics.count("nutmeg_work_failures_total", count, service="usage", work=WATCH_WORK)
