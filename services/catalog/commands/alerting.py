"""What quality and usage alert of, kept for the pages and summed up on each dataset's own row."""

from collections.abc import Mapping
from uuid import UUID

from services.catalog.ports import CatalogPorts
from shared.events.alerts import AlertState
from shared.store.unit_of_work import UnitOfWork

__all__ = ["keep_alerts"]


async def keep_alerts(
    work: UnitOfWork, ports: CatalogPorts, newest: Mapping[UUID, AlertState | None]
) -> None:
    """Keep the newest state of alerts, by id; None for one whose key has ended.

    The sum on a dataset is counted anew from all that is open on it, so that neither the order in which
    quality and usage are heard nor a repeat can leave it wrong.
    """
    alerts = [alert for alert in newest.values() if alert is not None]
    # An alert may have moved to another dataset, or ended without naming its own.
    touched = await ports.insights.datasets_of_alerts(work, newest.keys())
    touched |= {alert.dataset_id for alert in alerts}
    # Alerts of one dataset come in two topics: whoever counts second must see what the first one wrote.
    await ports.datasets.lock(work, touched)
    await ports.insights.put_alerts(work, alerts)
    await ports.insights.forget_alerts(work, [key for key, alert in newest.items() if alert is None])
    await ports.datasets.note_alerts(work, await ports.insights.open_alerts(work, touched))
    work.after_commit(ports.wake_indexing)
