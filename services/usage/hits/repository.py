"""Names, salts and accepted hits on SQLAlchemy: SQLite and PostgreSQL alike."""

import secrets
from collections.abc import Collection, Mapping
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import delete, insert, select

from services.usage.hits.domain.reports import NamedDataset
from services.usage.hits.domain.visitors import SALT_BYTES
from services.usage.migrations.tables import ACCEPTED_HITS, DATASET_NAMES, KNOWN_DATASETS, VISITOR_SALTS
from shared.datasets.read_model import visible_to
from shared.identity.viewer import Viewer
from shared.store.chunks import chunks
from shared.store.in_list import in_list
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["DatasetNames", "HitRegistry"]


class DatasetNames:
    """Knows by what names hits may speak of datasets."""

    async def remember(self, work: UnitOfWork, names: Mapping[UUID, Collection[str]]) -> None:
        """Replace the names of each dataset; none means that it is gone."""
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
        """Return the datasets that ``viewer`` may see; names that fit none, or several, are left out."""
        known, is_seen = KNOWN_DATASETS, visible_to(viewer, KNOWN_DATASETS)
        found: dict[UUID | str, NamedDataset] = {}
        for ids in chunks(sorted(name for name in called if isinstance(name, UUID))):
            rows = await work.connection.execute(
                select(known.c.dataset_id, known.c.agency_id).where(known.c.dataset_id.in_(ids), is_seen)
            )
            found.update({row.dataset_id: NamedDataset(row.dataset_id, row.agency_id) for row in rows})
        names = [name for name in called if isinstance(name, str)]
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


class HitRegistry:
    """Keeps the salts of days and the ids of the hits taken in."""

    async def salts(self, work: UnitOfWork, days: Collection[date], *, today: date) -> dict[date, bytes]:
        """Return the salt of each day, made now where there is none. It lives until ``today`` is over."""
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
        """Delete every salt made before ``today``, and return how many."""
        done = await work.connection.execute(delete(VISITOR_SALTS).where(VISITOR_SALTS.c.made_on < today))
        return done.rowcount

    async def known(self, work: UnitOfWork, hit_ids: Collection[UUID]) -> set[UUID]:
        """Return those of ``hit_ids`` that were accepted before."""
        dialect = work.connection.dialect.name
        is_given = in_list(ACCEPTED_HITS.c.hit_id, [str(hit_id) for hit_id in hit_ids], dialect)
        rows = await work.connection.execute(select(ACCEPTED_HITS.c.hit_id).where(is_given))
        return {UUID(hit_id) for hit_id in rows.scalars()}

    async def accept(self, work: UnitOfWork, hit_ids: Collection[UUID], *, now: datetime) -> None:
        """Keep the ids."""
        rows = [{"hit_id": str(hit_id), "accepted_at": now} for hit_id in hit_ids]
        await upsert(work.connection, ACCEPTED_HITS, rows, update=[])

    async def forget_hits(self, work: UnitOfWork, *, accepted_before: datetime) -> int:
        """Delete old ids, and return how many."""
        old = ACCEPTED_HITS.c.accepted_at < accepted_before
        return (await work.connection.execute(delete(ACCEPTED_HITS).where(old))).rowcount

    async def _salts(self, work: UnitOfWork, days: Collection[date]) -> dict[date, bytes]:
        found: dict[date, bytes] = {}
        for some in chunks(sorted(days)):
            statement = select(VISITOR_SALTS).where(VISITOR_SALTS.c.day.in_(some))
            found.update({row.day: row.salt for row in await work.connection.execute(statement)})
        return found
