"""What waits for whoever answers for datasets: requests to decide, data that is out of date, open alerts."""

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.inbox.domain.items import ALERT_TOPICS, ItemState
from services.notify.inbox.domain.workload import Workload
from services.notify.migrations.tables import DATASET_FRESHNESS, INBOX_ITEMS, KNOWN_DATASETS
from shared.datasets.read_model import answered_for_by
from shared.identity.sharing_rights import MAY_DECIDE
from shared.identity.sql_rules import condition
from shared.identity.viewer import Viewer

__all__ = ["workload_of"]

WAITS_FOR_DECISION = INBOX_ITEMS.c.kind == "sharing-request-submitted"


async def workload_of(connection: AsyncConnection, viewer: Viewer) -> Workload | None:
    """Return what waits for the viewer; None for somebody who answers for no data."""
    is_theirs = answered_for_by(viewer, KNOWN_DATASETS)
    if is_theirs is None:
        return None
    datasets = await connection.scalar(select(func.count()).select_from(KNOWN_DATASETS).where(is_theirs))
    statuses = await connection.execute(
        select(DATASET_FRESHNESS.c.status, func.count().label("datasets"))
        .join(KNOWN_DATASETS, KNOWN_DATASETS.c.dataset_id == DATASET_FRESHNESS.c.dataset_id)
        .where(is_theirs)
        .group_by(DATASET_FRESHNESS.c.status)
    )
    freshness = {row.status: row.datasets for row in statuses}
    return Workload(
        datasets=datasets or 0,
        requests_waiting=await _items(connection, _may_decide(viewer), WAITS_FOR_DECISION),
        out_of_date=freshness.get("stale", 0),
        late=freshness.get("late", 0),
        open_alerts=await _items(connection, is_theirs, INBOX_ITEMS.c.topic.in_(sorted(ALERT_TOPICS))),
    )


def _may_decide(viewer: Viewer) -> ColumnElement[bool]:
    """Sharing lists by the same rule what waits for a decision."""
    columns = {"requester_id": INBOX_ITEMS.c.requester_id, "agency_id": INBOX_ITEMS.c.agency_id}
    return condition(MAY_DECIDE, viewer, columns)


async def _items(
    connection: AsyncConnection, is_theirs: ColumnElement[bool], wanted: ColumnElement[bool]
) -> int:
    counted = await connection.scalar(
        select(func.count())
        .select_from(INBOX_ITEMS)
        .join(KNOWN_DATASETS, KNOWN_DATASETS.c.dataset_id == INBOX_ITEMS.c.dataset_id)
        .where(is_theirs, wanted, INBOX_ITEMS.c.state != ItemState.DONE.value)
    )
    return counted or 0
