"""Commands of alerts: publish each change as what it is, and end what was resolved long ago."""

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from services.quality.alerts.domain.alerts import Alert, alert_state
from services.quality.alerts.repository import QualityAlertRepository
from shared.events.alerts import AlertChanged, AlertOpened, AlertResolved
from shared.events.envelope import Event
from shared.events.model import EventModel
from shared.events.registry import QUALITY_ALERT_CHANGED, QUALITY_ALERT_OPENED, QUALITY_ALERT_RESOLVED
from shared.events.topics import TOPICS
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork
from shared.telemetry.metrics import Metrics

__all__ = ["Alerting", "emit_alert", "end_resolved_alerts"]

ALERTS_PER_RUN_MAX = 500
ENDED_AFTER = timedelta(days=TOPICS["quality.alerts"].tombstone_days or 90)


@dataclass(frozen=True, slots=True)
class Alerting:
    """What the commands of alerts work with."""

    alerts: QualityAlertRepository
    metrics: Metrics


def emit_alert(
    work: UnitOfWork,
    alerting: Alerting,
    before: Alert | None,
    after: Alert,
    *,
    title: str,
    agency_id: UUID | None,
    cause: Event | None = None,
) -> None:
    """Tell the new state of an alert as what it is: opened, changed or resolved; count it once committed."""
    state = alert_state(after, title=title, agency_id=agency_id)
    data: EventModel
    if after.state == "resolved":
        change, event_type, data = "resolved", QUALITY_ALERT_RESOLVED, AlertResolved(alert=state)
    elif before is None or before.state == "resolved":
        change, event_type, data = "opened", QUALITY_ALERT_OPENED, AlertOpened(alert=state)
    else:
        change, event_type = _change(before, after), QUALITY_ALERT_CHANGED
        data = AlertChanged(alert=state, change=change)
    work.emit(
        event_type, data, subject=str(after.alert_id), subjectversion=after.subject_version, cause=cause
    )
    work.after_commit(
        lambda: alerting.metrics.count(
            "nutmeg_alerts_total", service="quality", kind=after.key.kind, change=change
        )
    )


async def end_resolved_alerts(store: Store, alerting: Alerting) -> int:
    """Send the tombstones of alerts resolved long ago; the rows stay, for their versions."""
    async with store.unit_of_work() as work:
        resolved = await alerting.alerts.to_end(work, store.clock.now() - ENDED_AFTER, ALERTS_PER_RUN_MAX)
        ended = [replace(alert, subject_version=alert.subject_version + 1) for alert in resolved]
        for alert in ended:
            work.emit_tombstone(
                QUALITY_ALERT_RESOLVED,
                subject=str(alert.alert_id),
                partition_key=str(alert.dataset_id),
                subjectversion=alert.subject_version,
            )
        await alerting.alerts.mark_tombstoned(work, ended)
    return len(ended)


def _change(before: Alert, after: Alert) -> str:
    if before.severity != after.severity:
        return "severity"
    return "acknowledged" if after.state == "acknowledged" != before.state else "evidence"
