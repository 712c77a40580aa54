"""Note who acknowledged an alert, and remove old lines of history."""

from collections.abc import Sequence
from datetime import timedelta

from services.quality.alerts.commands import emit_alert
from services.quality.alerts.domain.alerts import Alert, AlertTransitionError, acknowledge
from services.quality.evaluation.commands.context import EvaluationContext
from shared.events.envelope import Event
from shared.events.notify import AlertAcknowledged
from shared.events.registry import QUALITY_ALERT_OPENED
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = ["acknowledge_alerts", "prune_history"]


async def acknowledge_alerts(
    work: UnitOfWork, context: EvaluationContext, events: Sequence[Event]
) -> list[bool]:
    """Say on each alert who took charge of it; true where that changed it.

    One that is resolved, or another service's, is left alone.
    """
    topic = QUALITY_ALERT_OPENED.topic.name
    taken = [event.payload(AlertAcknowledged) for event in events]
    alerts = await context.alerting.alerts.find(
        work, [note.alert_id for note in taken if note.owner_topic == topic]
    )
    qualities = await context.qualities.of(work, [alert.dataset_id for alert in alerts.values()])
    changed: dict[object, Alert] = {}
    has_changed = []
    for event, note in zip(events, taken, strict=True):
        before = alerts.get(note.alert_id)
        after = None if before is None else _acknowledged(before, note)
        has_changed.append(before is not None and after is not None and after != before)
        if before is None or after is None or after == before:
            continue
        quality = qualities.get(after.dataset_id)
        emit_alert(
            work,
            context.alerting,
            before,
            after,
            title=quality.dataset.title if quality else "",
            agency_id=quality.dataset.agency_id if quality else None,
            cause=event,
        )
        alerts[note.alert_id] = changed[note.alert_id] = after
    await context.alerting.alerts.put(work, list(changed.values()))
    return has_changed


async def prune_history(store: Store, context: EvaluationContext, *, days: int) -> None:
    """Remove lines of history older than ``days``."""
    async with store.unit_of_work() as work:
        await context.measurements.prune_history(work, context.clock.now() - timedelta(days=days))


def _acknowledged(alert: Alert, taken: AlertAcknowledged) -> Alert | None:
    try:
        return acknowledge(alert, taken.acknowledged_by, taken.acknowledged_at)
    except AlertTransitionError:
        return None
