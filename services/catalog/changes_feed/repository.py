"""The numbered changes feed on SQLAlchemy: SQLite and PostgreSQL alike."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    delete,
    insert,
    select,
    update,
)

from services.catalog.changes_feed.domain.lines import (
    WITHDRAWN,
    NewFeedLine,
    PublishedVisibility,
    with_withdrawals,
    withdrawal_id,
)
from services.catalog.migrations.tables import CHANGES, COUNTERS, DATASETS, TOLD_STANDINGS
from shared.store.chunks import chunks
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = [
    "ChangesRepository",
]

LAST_NUMBER = "changes"
"""The counter of the numbers that were given out."""


class ChangesRepository:
    """The numbered changes that outside services read."""

    async def append(self, work: UnitOfWork, lines: Sequence[NewFeedLine]) -> None:
        """Number and write lines. Numbers become visible in order, without gaps."""
        owners = await self._owners(work, {line.dataset_id for line in lines})
        told = await self._with_withdrawals(work, lines)
        first = await self._take_numbers(work, len(told))
        rows = [_row(number, line, owners) for number, line in enumerate(told, first)]
        await work.connection.execute(insert(CHANGES), rows)

    async def prune(self, work: UnitOfWork, before: datetime) -> int:
        """Delete lines from before a moment, and return how many."""
        done = await work.connection.execute(delete(CHANGES).where(CHANGES.c.happened_at < before))
        return done.rowcount

    async def _take_numbers(self, work: UnitOfWork, count: int) -> int:
        """Return the first of ``count`` new numbers.

        The counter's row stays locked to the end of the transaction, which makes numbers visible in their
        order, whichever consumer writes.
        """
        take = (
            update(COUNTERS)
            .where(COUNTERS.c.name == LAST_NUMBER)
            .values(value=COUNTERS.c.value + count)
            .returning(COUNTERS.c.value)
        )
        last: int | None = await work.connection.scalar(take)
        if last is None:
            await upsert(work.connection, COUNTERS, [{"name": LAST_NUMBER, "value": 0}], update=[])
            last = (await work.connection.execute(take)).scalar_one()
        return last - count + 1

    async def _with_withdrawals(self, work: UnitOfWork, lines: Sequence[NewFeedLine]) -> list[NewFeedLine]:
        known: dict[UUID, PublishedVisibility] = {}
        for chunk in chunks({line.dataset_id for line in lines if line.audience == "dataset"}):
            rows = await work.connection.execute(
                select(TOLD_STANDINGS).where(TOLD_STANDINGS.c.dataset_id.in_(chunk))
            )
            known.update((row.dataset_id, PublishedVisibility(row.visibility, row.agency_id)) for row in rows)
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
