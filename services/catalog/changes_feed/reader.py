"""What changed, as outside services and pages read it: only what the viewer may see now."""

from dataclasses import replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.changes_feed.domain.history import ChangeView, fold_changes
from services.catalog.changes_feed.domain.lines import FeedLine
from services.catalog.changes_feed.repository import LAST_NUMBER
from services.catalog.migrations.tables import CHANGES, COUNTERS, DATASETS
from shared.events.registry import DATASET_CHANGED, DATASET_REGISTERED, DATASET_RETIRED
from shared.identity.rules import WorksFor
from shared.identity.sharing_rights import MAY_SEE
from shared.identity.sql_rules import condition as sql_condition
from shared.identity.viewer import VISIBLE, Viewer
from shared.store.engine import Store

__all__ = ["ChangesReader", "changed_since", "dataset_history"]

_WORKS_FOR = WorksFor("agency_id")
_KINDS: dict[str, Literal["registered", "changed", "retired"]] = {
    DATASET_REGISTERED.name: "registered",
    DATASET_CHANGED.name: "changed",
    DATASET_RETIRED.name: "retired",
}
CHANGED_TODAY_MAX = 10
LINES_LOOKED_AT_MAX = 500
LINES_FOLDED_MAX = 5
HISTORY_LINES_MAX = 30


class ChangesReader:
    """Reads the numbered lines of the changes feed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(
        self,
        viewer: Viewer,
        *,
        after: int,
        limit: int,
        event_type: str | None = None,
        dataset_id: UUID | None = None,
    ) -> list[FeedLine]:
        """The next lines after a number that ``viewer`` may see now, oldest first."""
        wanted = (
            select(CHANGES)
            .join(DATASETS, DATASETS.c.dataset_id == CHANGES.c.dataset_id)
            .where(CHANGES.c.sequence > after, _readable_by(viewer))
            .order_by(CHANGES.c.sequence)
            .limit(limit)
        )
        if event_type is not None:
            wanted = wanted.where(CHANGES.c.event_type == event_type)
        if dataset_id is not None:
            wanted = wanted.where(CHANGES.c.dataset_id == dataset_id)
        async with self._store.read() as connection:
            return [_line(row) for row in await connection.execute(wanted)]

    async def last_sequence(self) -> int:
        """The highest number given out, also when its line is no longer kept; 0 before the first."""
        # The counter, not the last line: that may be pruned, and its number was given out all the same.
        return await self._number(select(COUNTERS.c.value).where(COUNTERS.c.name == LAST_NUMBER))

    async def first_sequence(self) -> int:
        """The number of the oldest line that is kept, or of the next one where none is."""
        first = await self._number(select(func.min(CHANGES.c.sequence)))
        return first or await self.last_sequence() + 1

    async def _number(self, statement: Select[tuple[int]]) -> int:
        async with self._store.read() as connection:
            return await connection.scalar(statement) or 0


async def dataset_history(
    connection: AsyncConnection, viewer: Viewer, dataset_id: UUID
) -> tuple[ChangeView, ...]:
    """Return the last changes of a dataset that the viewer may see, newest first."""
    lines = await connection.execute(
        _changes(viewer)
        .where(CHANGES.c.dataset_id == dataset_id)
        .order_by(CHANGES.c.sequence.desc())
        .limit(HISTORY_LINES_MAX)
    )
    return tuple(_change(line) for line in lines)


async def changed_since(
    connection: AsyncConnection, viewer: Viewer, since: datetime
) -> tuple[tuple[ChangeView, ...], int]:
    """Return one line for each of the datasets that changed last, newest first, and how many changed."""
    changes = _changes(viewer).where(CHANGES.c.happened_at >= since)
    total = await connection.scalar(changes.with_only_columns(func.count(CHANGES.c.dataset_id.distinct())))
    return await _folded(connection, changes), total or 0


def _readable_by(viewer: Viewer) -> ColumnElement[bool]:
    """Which lines of ``changes``, joined with ``datasets``, the viewer may read now."""
    # Retired datasets included, as their last state was told.
    is_visible_now = sql_condition(VISIBLE, viewer, DATASETS.c)
    was_visible_then = sql_condition(VISIBLE, viewer, CHANGES.c)
    works_for = sql_condition(_WORKS_FOR, viewer, CHANGES.c)
    request = {"requester_id": CHANGES.c.person_id, "agency_id": CHANGES.c.agency_id}
    return or_(
        and_(CHANGES.c.audience == "dataset", is_visible_now, was_visible_then),
        and_(CHANGES.c.audience == "agency", is_visible_now, works_for),
        and_(CHANGES.c.audience == "parties", sql_condition(MAY_SEE, viewer, request)),
        and_(CHANGES.c.audience == "former", was_visible_then, not_(is_visible_now)),
    )


def _line(row: Any) -> FeedLine:
    return FeedLine(**{name: getattr(row, name) for name in FeedLine.__slots__})


def _changes(viewer: Viewer) -> Select[Any]:
    return (
        select(CHANGES)
        .join(DATASETS, DATASETS.c.dataset_id == CHANGES.c.dataset_id)
        .where(_readable_by(viewer), CHANGES.c.event_type.in_(_KINDS))
    )


async def _folded(connection: AsyncConnection, changes: Select[Any]) -> tuple[ChangeView, ...]:
    """One line for each of the datasets that changed last, newest first."""
    # A line holds the whole state: first find out which are wanted, then read those.
    found = await connection.execute(
        changes.with_only_columns(CHANGES.c.dataset_id, CHANGES.c.sequence)
        .order_by(CHANGES.c.sequence.desc())
        .limit(LINES_LOOKED_AT_MAX)
    )
    by_dataset: dict[UUID, list[int]] = {}
    for row in found:
        if row.dataset_id in by_dataset or len(by_dataset) < CHANGED_TODAY_MAX:
            by_dataset.setdefault(row.dataset_id, []).append(row.sequence)
    wanted = [sequence for sequences in by_dataset.values() for sequence in sequences[:LINES_FOLDED_MAX]]
    rows = await connection.execute(select(CHANGES).where(CHANGES.c.sequence.in_(wanted)))
    lines = {row.sequence: _change(row) for row in rows}
    return tuple(
        replace(
            fold_changes([lines[sequence] for sequence in sequences[:LINES_FOLDED_MAX]]), times=len(sequences)
        )
        for sequences in by_dataset.values()
    )


def _change(row: Any) -> ChangeView:
    dataset = row.data["dataset"]
    return ChangeView(
        event_id=row.event_id,
        dataset_id=row.dataset_id,
        title=dataset["title"],
        agency_name=dataset.get("agency_name"),
        kind=_KINDS[row.event_type],
        changed_fields=tuple(row.data.get("changed_fields", ())),
        reason=row.data.get("reason"),
        happened_at=row.happened_at,
    )
