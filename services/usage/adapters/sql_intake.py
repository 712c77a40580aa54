"""Names, salts and accepted hits on SQLAlchemy: SQLite and PostgreSQL alike."""

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import delete, insert, select

from services.usage.domain.visitors import SALT_BYTES
from services.usage.migrations.tables import ACCEPTED_HITS, DATASET_NAMES, KNOWN_DATASETS, VISITOR_SALTS
from services.usage.ports import NamedDataset
from shared.datasets.read_model import visible_to
from shared.identity.viewer import Viewer
from shared.store.in_list import in_list
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["SqlDatasetNames", "SqlIntake", "chunks"]

VALUES_PER_STATEMENT_MAX = 500
T = TypeVar("T")


class SqlDatasetNames:
    """Implements :class:`services.usage.ports.DatasetNames`."""

    async def remember(self, work: UnitOfWork, names: Mapping[UUID, Collection[str]]) -> None:
        table = DATASET_NAMES
        for ids in chunks(sorted(names)):
            await work.connection.execute(delete(table).where(table.c.dataset_id.in_(ids)))
        rows = [
            {"name": name, "dataset_id": dataset_id}
            for dataset_id, own in names.items()
            for name in sorted(set(own))
        ]
        if rows:
            await work.connection.execute(insert(table), rows)

    async def find(
        self, work: UnitOfWork, viewer: Viewer, called: Collection[UUID | str]
    ) -> dict[UUID | str, NamedDataset]:
        known, is_seen = KNOWN_DATASETS, visible_to(viewer, KNOWN_DATASETS)
        found: dict[UUID | str, NamedDataset] = {}
        for ids in chunks(sorted(one for one in called if isinstance(one, UUID))):
            rows = await work.connection.execute(
                select(known.c.dataset_id, known.c.agency_id).where(known.c.dataset_id.in_(ids), is_seen)
            )
            found.update({row.dataset_id: NamedDataset(row.dataset_id, row.agency_id) for row in rows})
        names = [one for one in called if isinstance(one, str)]
        statement = (
            select(DATASET_NAMES.c.name, known.c.dataset_id, known.c.agency_id)
            .join(known, known.c.dataset_id == DATASET_NAMES.c.dataset_id)
            .where(in_list(DATASET_NAMES.c.name, names, work.connection.dialect.name), is_seen)
        )
        several: set[str] = set()
        for row in await work.connection.execute(statement) if names else ():
            if row.name in found:
                several.add(row.name)
            found[row.name] = NamedDataset(row.dataset_id, row.agency_id)
        return {name: dataset for name, dataset in found.items() if name not in several}


class SqlIntake:
    """Implements :class:`services.usage.ports.Intake`."""

    async def salts(self, work: UnitOfWork, days: Collection[date], *, today: date) -> dict[date, bytes]:
        table = VISITOR_SALTS
        found = await self._salts(work, days)
        missing = sorted(set(days) - found.keys())
        if missing:
            rows = [
                {"day": day, "salt": secrets.token_bytes(SALT_BYTES), "made_on": today} for day in missing
            ]
            # Another writer may have made it in the meantime; then its salt is the day's.
            await upsert(work.connection, table, rows, update=[])
            found |= await self._salts(work, missing)
        return found

    async def forget_salts(self, work: UnitOfWork, *, today: date) -> int:
        done = await work.connection.execute(delete(VISITOR_SALTS).where(VISITOR_SALTS.c.made_on < today))
        return done.rowcount

    async def known(self, work: UnitOfWork, hit_ids: Collection[UUID]) -> set[UUID]:
        dialect = work.connection.dialect.name
        is_given = in_list(ACCEPTED_HITS.c.hit_id, [str(hit_id) for hit_id in hit_ids], dialect)
        rows = await work.connection.execute(select(ACCEPTED_HITS.c.hit_id).where(is_given))
        return {UUID(hit_id) for hit_id in rows.scalars()}

    async def accept(self, work: UnitOfWork, hit_ids: Collection[UUID], *, now: datetime) -> None:
        rows = [{"hit_id": str(hit_id), "accepted_at": now} for hit_id in hit_ids]
        await upsert(work.connection, ACCEPTED_HITS, rows, update=[])

    async def forget_hits(self, work: UnitOfWork, *, accepted_before: datetime) -> int:
        old = ACCEPTED_HITS.c.accepted_at < accepted_before
        return (await work.connection.execute(delete(ACCEPTED_HITS).where(old))).rowcount

    async def _salts(self, work: UnitOfWork, days: Collection[date]) -> dict[date, bytes]:
        found: dict[date, bytes] = {}
        for some in chunks(sorted(days)):
            statement = select(VISITOR_SALTS).where(VISITOR_SALTS.c.day.in_(some))
            found.update({row.day: row.salt for row in await work.connection.execute(statement)})
        return found


def chunks(values: Sequence[T], size: int = VALUES_PER_STATEMENT_MAX) -> Iterator[list[T]]:
    """Yield ``values`` in lists that one statement can bind."""
    rest: Any = iter(values)
    while part := list(islice(rest, size)):
        yield part
