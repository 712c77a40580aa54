"""Datasets as lists show them, and the list of those that a person answers for."""

from collections.abc import Collection
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.datasets.domain.condition import open_alerts_of_row
from services.catalog.datasets.domain.entry import known_freshness
from services.catalog.datasets.domain.views import DatasetSummary, OwnDatasets
from services.catalog.migrations.tables import DATASETS
from shared.datasets.read_model import answered_for_by, visible_to
from shared.identity.viewer import Role, Viewer

__all__ = ["SUMMARY_COLUMNS", "own_datasets", "summaries", "summary_of"]

OWN_SHOWN_MAX = 6

SUMMARY_COLUMNS = (
    DATASETS.c.dataset_id,
    DATASETS.c.state,
    DATASETS.c.freshness,
    DATASETS.c.freshness_reason,
    DATASETS.c.quality_score,
    DATASETS.c.uses_30d,
    DATASETS.c.open_alerts,
    DATASETS.c.alert_severity,
    DATASETS.c.alert_kind,
)
"""What :func:`summary_of` needs."""

_WORST_FIRST = case({"error": 0, "warning": 1, "info": 2}, value=DATASETS.c.alert_severity, else_=1)


async def own_datasets(connection: AsyncConnection, viewer: Viewer) -> OwnDatasets | None:
    """Return what the viewer answers for; None for somebody who answers for no dataset here."""
    is_theirs = answered_for_by(viewer, DATASETS)
    if is_theirs is None:
        return None
    counted = (
        await connection.execute(
            select(
                func.count().label("datasets"),
                func.count(case((DATASETS.c.freshness == "stale", 1))).label("out_of_date"),
                func.count(case((DATASETS.c.open_alerts > 0, 1))).label("with_alerts"),
            ).where(is_theirs)
        )
    ).one()
    rows = await connection.execute(
        select(*SUMMARY_COLUMNS)
        .where(is_theirs, DATASETS.c.open_alerts > 0)
        .order_by(_WORST_FIRST, DATASETS.c.alerts_changed_at.desc(), DATASETS.c.dataset_id)
        .limit(OWN_SHOWN_MAX)
    )
    answers_for_all = Role.CHIEF_DATA_OFFICER in viewer.roles
    return OwnDatasets(
        counted.datasets,
        counted.out_of_date,
        counted.with_alerts,
        tuple(summary_of(row) for row in rows),
        () if answers_for_all else tuple(sorted(viewer.agency_ids)),
    )


def summary_of(row: Any) -> DatasetSummary:
    """Return the dataset in a row with :data:`SUMMARY_COLUMNS`."""
    # Read from the document as it is: checking what we wrote took as long as the rest of a row.
    state: dict[str, Any] = row.state
    agency_id, updated_at = state.get("agency_id"), state.get("data_updated_at")
    formats = (item.get("format") for item in state.get("distributions", ()))
    return DatasetSummary(
        dataset_id=row.dataset_id,
        title=state["title"],
        description=state.get("description", ""),
        identifier=state["identifier"],
        agency_id=None if agency_id is None else UUID(agency_id),
        agency_name=state.get("agency_name"),
        publisher_name=state.get("publisher_name"),
        themes=tuple(state.get("themes", ())),
        formats=tuple(dict.fromkeys(filter(None, formats))),
        access_level=state.get("access_level", "public"),
        visibility=state.get("visibility", "public"),
        license=state.get("license"),
        modified=state.get("modified"),
        data_updated_at=None if updated_at is None else datetime.fromisoformat(updated_at),
        freshness=known_freshness(row.freshness),
        freshness_reason=row.freshness_reason,
        quality_score=row.quality_score,
        uses_30d=row.uses_30d,
        is_sample=state.get("is_sample", False),
        open_alerts=open_alerts_of_row(row),
    )


async def summaries(
    connection: AsyncConnection, viewer: Viewer, dataset_ids: Collection[UUID]
) -> dict[UUID, DatasetSummary]:
    """Return those of the datasets that the viewer may see, by id."""
    rows = await connection.execute(_summaries_seen_by(viewer), {"ids": list(dataset_ids)})
    return {row.dataset_id: summary_of(row) for row in rows}


@lru_cache(maxsize=256)
def _summaries_seen_by(viewer: Viewer) -> Select[Any]:
    """Kept, since to build it for each search took longer than to run it."""
    wanted = DATASETS.c.dataset_id.in_(bindparam("ids", expanding=True))
    return select(*SUMMARY_COLUMNS).where(wanted, visible_to(viewer, DATASETS))
