"""People and ownership on SQLAlchemy: SQLite and PostgreSQL alike."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, select, update

from services.notify.domain.routing import Directory, KnownPerson, Ownership
from services.notify.migrations.tables import (
    AGENCIES,
    DELIVERIES,
    INBOX_LINES,
    KNOWN_DATASETS,
    MATTERS,
    PEOPLE,
    TELLINGS,
)
from shared.events.governance import AgencyState, PersonState
from shared.identity.viewer import Grant, Role
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["SqlPeopleBook"]

_ROLES = {role.value for role in Role}

# Kept, since alerts come one by one, and to build a statement takes longer than to run it.
_EVERYBODY = select(PEOPLE.c.person_id, PEOPLE.c.grants)
_OWNERSHIP = select(
    KNOWN_DATASETS.c.dataset_id,
    KNOWN_DATASETS.c.title,
    KNOWN_DATASETS.c.steward_id,
    KNOWN_DATASETS.c.agency_id,
    KNOWN_DATASETS.c.agency_name,
).where(KNOWN_DATASETS.c.dataset_id.in_(bindparam("ids", expanding=True)))


class SqlPeopleBook:
    """Implements :class:`services.notify.ports.PeopleBook`."""

    async def put_people(self, work: UnitOfWork, people: Sequence[PersonState]) -> None:
        rows = [
            {
                "person_id": person.person_id,
                "email": person.email,
                "display_name": person.display_name,
                "grants": [grant.model_dump(mode="json") for grant in person.grants],
            }
            for person in people
        ]
        await upsert(work.connection, PEOPLE, rows)

    async def grants_of(self, work: UnitOfWork, person_ids: Collection[UUID]) -> dict[UUID, frozenset[Grant]]:
        rows = await work.connection.execute(
            select(PEOPLE.c.person_id, PEOPLE.c.grants).where(PEOPLE.c.person_id.in_(list(person_ids)))
        )
        return {row.person_id: _grants(row.grants) for row in rows}

    async def erase_people(self, work: UnitOfWork, person_ids: Collection[UUID]) -> None:
        if not person_ids:
            return
        for table in (TELLINGS, DELIVERIES, INBOX_LINES, PEOPLE):
            await work.connection.execute(delete(table).where(table.c.person_id.in_(list(person_ids))))
        for column in (MATTERS.c.requester_id, MATTERS.c.acknowledged_by):
            await work.connection.execute(
                update(MATTERS).where(column.in_(list(person_ids))).values({column.name: None})
            )

    async def put_agencies(self, work: UnitOfWork, agencies: Sequence[AgencyState]) -> None:
        await upsert(
            work.connection, AGENCIES, [{"agency_id": one.agency_id, "name": one.name} for one in agencies]
        )

    async def directory(self, work: UnitOfWork) -> Directory:
        rows = await work.connection.execute(_EVERYBODY)
        return Directory([KnownPerson(row.person_id, _grants(row.grants)) for row in rows])

    async def ownership(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> dict[UUID, Ownership]:
        if not dataset_ids:
            return {}
        rows = await work.connection.execute(_OWNERSHIP, {"ids": list(dataset_ids)})
        return {
            row.dataset_id: Ownership(row.title, row.steward_id, row.agency_id, row.agency_name)
            for row in rows
        }

    async def stewarded_by(self, work: UnitOfWork, person_ids: Collection[UUID]) -> set[UUID]:
        if not person_ids:
            return set()
        mine = KNOWN_DATASETS.c.steward_id.in_(list(person_ids))
        return set(await work.connection.scalars(select(KNOWN_DATASETS.c.dataset_id).where(mine)))

    async def agency_names(self, work: UnitOfWork, agency_ids: Collection[UUID]) -> dict[UUID, str]:
        if not agency_ids:
            return {}
        rows = await work.connection.execute(
            select(AGENCIES).where(AGENCIES.c.agency_id.in_(list(agency_ids)))
        )
        return {row.agency_id: row.name for row in rows}


def _grants(documents: Sequence[dict[str, Any]]) -> frozenset[Grant]:
    """Return the grants in a person's row."""
    # Roles on topics are open: one that this version does not know routes nothing.
    return frozenset(
        Grant(Role(one["role"]), UUID(one["agency_id"]) if one.get("agency_id") else None)
        for one in documents
        if one["role"] in _ROLES
    )
