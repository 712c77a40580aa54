"""What is over and told long ago is put away."""

from dataclasses import replace
from datetime import timedelta

from services.quality.ports import QualityPorts
from shared.events.registry import QUALITY_ALERT_RESOLVED
from shared.events.topics import TOPICS
from shared.store.engine import Store

__all__ = ["end_resolved_alerts", "prune_history"]

ALERTS_PER_RUN_MAX = 500
ENDED_AFTER = timedelta(days=TOPICS["quality.alerts"].tombstone_days or 90)


async def end_resolved_alerts(store: Store, ports: QualityPorts) -> int:
    """Send the tombstones of alerts resolved long ago; the rows stay, for their versions."""
    async with store.unit_of_work() as work:
        alerts = await ports.alerts.to_end(work, ports.clock.now() - ENDED_AFTER, ALERTS_PER_RUN_MAX)
        ended = [replace(alert, subject_version=alert.subject_version + 1) for alert in alerts]
        for alert in ended:
            work.emit_tombstone(
                QUALITY_ALERT_RESOLVED,
                subject=str(alert.alert_id),
                partition_key=str(alert.dataset_id),
                subjectversion=alert.subject_version,
            )
        await ports.alerts.mark_ended(work, ended)
    return len(ended)


async def prune_history(store: Store, ports: QualityPorts, *, days: int) -> None:
    """Remove lines of history older than ``days``."""
    async with store.unit_of_work() as work:
        await ports.measurements.prune_history(work, ports.clock.now() - timedelta(days=days))
