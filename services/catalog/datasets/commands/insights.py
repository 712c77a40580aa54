"""What quality, usage and notify say of datasets: kept for the pages, summed up on each dataset's own row."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from services.catalog.datasets.commands.context import DatasetContext
from services.catalog.datasets.commands.editing import USE_DAYS
from services.catalog.datasets.domain.insights import UseRecord
from shared.events.alerts import AlertState
from shared.events.notify import Delivery
from shared.events.quality import Measurement
from shared.store.unit_of_work import UnitOfWork

__all__ = ["keep_alerts", "note_deliveries", "record_measurements", "record_use"]


async def keep_alerts(
    work: UnitOfWork, context: DatasetContext, newest: Mapping[UUID, AlertState | None]
) -> None:
    """Keep the newest state of alerts, by id; None for one whose key has ended.

    The sum on a dataset is counted anew from all that is open on it, so that neither the order in which
    quality and usage are heard nor a repeat can leave it wrong.
    """
    alerts = [alert for alert in newest.values() if alert is not None]
    # An alert may have moved to another dataset, or ended without naming its own.
    touched = await context.insights.datasets_of_alerts(work, newest.keys())
    touched |= {alert.dataset_id for alert in alerts}
    # Alerts of one dataset come in two topics: whoever counts second must see what the first one wrote.
    await context.datasets.lock(work, touched)
    await context.insights.put_alerts(work, alerts)
    await context.insights.forget_alerts(work, [key for key, alert in newest.items() if alert is None])
    await context.datasets.note_alerts(work, await context.insights.open_alerts(work, touched))
    work.after_commit(context.wake_indexing)


async def record_measurements(
    work: UnitOfWork, context: DatasetContext, newest: Mapping[tuple[UUID, str], Measurement | None]
) -> None:
    """Keep the newest measurements by dataset and kind; None for one whose key has ended.

    Score and freshness go onto the dataset's own row.
    """
    measured = [measurement for measurement in newest.values() if measurement is not None]
    await context.insights.put_measurements(work, measured)
    await context.insights.forget_measurements(work, [key for key, value in newest.items() if value is None])
    scores = {
        measurement.dataset_id: measurement.score for measurement in measured if measurement.kind == "overall"
    }
    freshness = {
        measurement.dataset_id: (measurement.status or "not-known", measurement.reason)
        for measurement in measured
        if measurement.kind == "freshness"
    }
    await context.datasets.note_quality(work, scores)
    await context.datasets.note_freshness(work, freshness)
    work.after_commit(context.wake_indexing)


async def record_use(work: UnitOfWork, context: DatasetContext, days: Sequence[UseRecord]) -> None:
    """Keep the counts of days, and note the use of the last 30 days on each dataset's own row."""
    if not days:
        return
    await context.insights.put_days(work, days)
    first_day = work.clock.now().date() - timedelta(days=USE_DAYS - 1)
    touched = {day.dataset_id for day in days}
    await context.datasets.note_use(work, await context.insights.uses_since(work, first_day, touched))
    work.after_commit(context.wake_indexing)


async def note_deliveries(
    work: UnitOfWork, context: DatasetContext, *, sent: Sequence[Delivery], failed: Sequence[Delivery]
) -> None:
    """Note whom messages about alerts have reached; a page says that somebody was notified only by this."""
    if sent:
        await context.insights.note_deliveries(work, sent, sent=True)
    if failed:
        await context.insights.note_deliveries(work, failed, sent=False)
