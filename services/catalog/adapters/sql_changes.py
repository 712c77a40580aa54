"""The numbered changes feed on SQLAlchemy: SQLite and PostgreSQL alike."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    delete,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)

from services.catalog.adapters.entry_rows import chunks
from services.catalog.domain.feed_changes import (
    WITHDRAWN,
    FeedLine,
    NewFeedLine,
    Standing,
    with_withdrawals,
    withdrawal_id,
)
from services.catalog.migrations.tables import CHANGES, COUNTERS, DATASETS, TOLD_STANDINGS
from shared.identity.rules import WorksFor
from shared.identity.sharing_rights import MAY_SEE
from shared.identity.sql_rules import condition
from shared.identity.viewer import VISIBLE, Viewer
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["SqlChangesFeed", "readable_by"]

_LAST_NUMBER = "changes"
_WORKS_FOR = WorksFor("agency_id")


class SqlChangesFeed:
    """Implements :class:`services.catalog.ports.ChangesFeed`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def append(self, work: UnitOfWork, lines: Sequence[NewFeedLine]) -> None:
        owners = await self._owners(work, {line.dataset_id for line in lines})
        told = await self._with_withdrawals(work, lines)
        first = await self._take_numbers(work, len(told))
        rows = [_row(number, line, owners) for number, line in enumerate(told, first)]
        await work.connection.execute(insert(CHANGES), rows)

    async def read(
        self,
        viewer: Viewer,
        *,
        after: int,
        limit: int,
        event_type: str | None = None,
        dataset_id: UUID | None = None,
    ) -> list[FeedLine]:
        wanted = (
            select(CHANGES)
            .join(DATASETS, DATASETS.c.dataset_id == CHANGES.c.dataset_id)
            .where(CHANGES.c.sequence > after, readable_by(viewer))
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
        # The counter, not the last line: that may be pruned, and its number was given out all the same.
        return await self._number(select(COUNTERS.c.value).where(COUNTERS.c.name == _LAST_NUMBER))

    async def first_sequence(self) -> int:
        first = await self._number(select(func.min(CHANGES.c.sequence)))
        return first or await self.last_sequence() + 1

    async def prune(self, work: UnitOfWork, before: datetime) -> int:
        done = await work.connection.execute(delete(CHANGES).where(CHANGES.c.happened_at < before))
        return done.rowcount

    async def _take_numbers(self, work: UnitOfWork, count: int) -> int:
        """Return the first of ``count`` new numbers.

        The counter's row stays locked to the end of the transaction, which makes numbers visible in their
        order, whichever consumer writes.
        """
        take = (
            update(COUNTERS)
            .where(COUNTERS.c.name == _LAST_NUMBER)
            .values(value=COUNTERS.c.value + count)
            .returning(COUNTERS.c.value)
        )
        last: int | None = await work.connection.scalar(take)
        if last is None:
            await upsert(work.connection, COUNTERS, [{"name": _LAST_NUMBER, "value": 0}], update=[])
            last = (await work.connection.execute(take)).scalar_one()
        return last - count + 1

    async def _number(self, statement: Select[tuple[int]]) -> int:
        async with self._store.read() as connection:
            return await connection.scalar(statement) or 0

    async def _with_withdrawals(self, work: UnitOfWork, lines: Sequence[NewFeedLine]) -> list[NewFeedLine]:
        known: dict[UUID, Standing] = {}
        for chunk in chunks({line.dataset_id for line in lines if line.audience == "dataset"}):
            rows = await work.connection.execute(
                select(TOLD_STANDINGS).where(TOLD_STANDINGS.c.dataset_id.in_(chunk))
            )
            known.update((row.dataset_id, Standing(row.visibility, row.agency_id)) for row in rows)
        now = dict(known)
        told = list(with_withdrawals(lines, now))
        moved = [
            {"dataset_id": dataset_id, "visibility": standing.visibility, "agency_id": standing.agency_id}
            for dataset_id, standing in now.items()
            if known.get(dataset_id) != standing
        ]
        if moved:
            await upsert(work.connection, TOLD_STANDINGS, moved)
        return told

    async def _owners(self, work: UnitOfWork, dataset_ids: set[UUID]) -> dict[UUID, tuple[str, UUID | None]]:
        found: dict[UUID, tuple[str, UUID | None]] = {}
        columns = (DATASETS.c.dataset_id, DATASETS.c.visibility, DATASETS.c.agency_id)
        for chunk in chunks(dataset_ids):
            rows = await work.connection.execute(select(*columns).where(DATASETS.c.dataset_id.in_(chunk)))
            found.update((row.dataset_id, (row.visibility, row.agency_id)) for row in rows)
        return found


def readable_by(viewer: Viewer) -> ColumnElement[bool]:
    """Which lines of ``changes``, joined with ``datasets``, the viewer may read now."""
    # Retired datasets included, as their last state was told.
    is_visible_now = condition(VISIBLE, viewer, DATASETS.c)
    was_visible_then = condition(VISIBLE, viewer, CHANGES.c)
    works_for = condition(_WORKS_FOR, viewer, CHANGES.c)
    request = {"requester_id": CHANGES.c.person_id, "agency_id": CHANGES.c.agency_id}
    return or_(
        and_(CHANGES.c.audience == "dataset", is_visible_now, was_visible_then),
        and_(CHANGES.c.audience == "agency", is_visible_now, works_for),
        and_(CHANGES.c.audience == "parties", condition(MAY_SEE, viewer, request)),
        and_(CHANGES.c.audience == "former", was_visible_then, not_(is_visible_now)),
    )


def _row(number: int, line: NewFeedLine, owners: dict[UUID, tuple[str, UUID | None]]) -> dict[str, Any]:
    event = line.event
    # Of a dataset that is not known here nothing may be told to anyone but those who see all.
    visibility, agency_id = owners.get(line.dataset_id, ("agency", None))
    carries_visibility = line.visibility is not None
    is_withdrawal = line.audience == "former"
    return {
        "sequence": number,
        "event_id": withdrawal_id(event.id) if is_withdrawal else event.id,
        "event_type": WITHDRAWN if is_withdrawal else event.type,
        "event_source": event.source,
        "subject": event.subject,
        "subjectversion": event.subjectversion,
        "correlationid": event.correlationid,
        "happened_at": event.time,
        "audience": line.audience,
        "dataset_id": line.dataset_id,
        "visibility": line.visibility or visibility,
        "agency_id": line.agency_id if carries_visibility else line.agency_id or agency_id,
        "person_id": line.person_id,
        "data": dict(line.data),
    }


def _line(row: Any) -> FeedLine:
    return FeedLine(**{name: getattr(row, name) for name in FeedLine.__slots__})
