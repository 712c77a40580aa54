"""People and ownership on SQLAlchemy: SQLite and PostgreSQL alike."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, select, update

from services.notify.migrations.tables import (
    AGENCIES,
    DATASET_FRESHNESS,
    DELIVERIES,
    INBOX_ENTRIES,
    INBOX_ITEMS,
    KNOWN_DATASETS,
    NOTIFICATIONS,
    PEOPLE,
)
from services.notify.routing.domain.recipients import KnownPeople, KnownPerson, Ownership
from shared.events.governance import AgencyState, PersonState
from shared.identity.viewer import Grant, Role
from shared.store.chunks import chunks
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["FreshnessRepository", "PeopleRepository"]

COUNTED_STATUSES = ("stale", "late")
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


class PeopleRepository:
    """Keeps who people are, where they read, and whose datasets are."""

    async def put_people(self, work: UnitOfWork, people: Sequence[PersonState]) -> None:
        """Write the newest state of people."""
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
        """Return what these people may, as was last told; unknown ones are left out."""
        rows = await work.connection.execute(
            select(PEOPLE.c.person_id, PEOPLE.c.grants).where(PEOPLE.c.person_id.in_(list(person_ids)))
        )
        return {row.person_id: _grants(row.grants) for row in rows}

    async def erase_people(self, work: UnitOfWork, person_ids: Collection[UUID]) -> None:
        """Remove people with their inbox, waiting messages and the texts of sent ones."""
        if not person_ids:
            return
        for table in (NOTIFICATIONS, DELIVERIES, INBOX_ENTRIES, PEOPLE):
            await work.connection.execute(delete(table).where(table.c.person_id.in_(list(person_ids))))
        for column in (INBOX_ITEMS.c.requester_id, INBOX_ITEMS.c.acknowledged_by):
            await work.connection.execute(
                update(INBOX_ITEMS).where(column.in_(list(person_ids))).values({column.name: None})
            )

    async def put_agencies(self, work: UnitOfWork, agencies: Sequence[AgencyState]) -> None:
        """Write the newest state of agencies."""
        await upsert(
            work.connection,
            AGENCIES,
            [{"agency_id": agency.agency_id, "name": agency.name} for agency in agencies],
        )

    async def directory(self, work: UnitOfWork) -> KnownPeople:
        """Return everybody whom routing may choose from."""
        rows = await work.connection.execute(_EVERYBODY)
        return KnownPeople([KnownPerson(row.person_id, _grants(row.grants)) for row in rows])

    async def ownership(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> dict[UUID, Ownership]:
        """Return whose these datasets are; unknown ones are left out."""
        if not dataset_ids:
            return {}
        rows = await work.connection.execute(_OWNERSHIP, {"ids": list(dataset_ids)})
        return {
            row.dataset_id: Ownership(row.title, row.steward_id, row.agency_id, row.agency_name)
            for row in rows
        }

    async def stewarded_by(self, work: UnitOfWork, person_ids: Collection[UUID]) -> set[UUID]:
        """Return the datasets that these people are stewards of."""
        if not person_ids:
            return set()
        mine = KNOWN_DATASETS.c.steward_id.in_(list(person_ids))
        return set(await work.connection.scalars(select(KNOWN_DATASETS.c.dataset_id).where(mine)))

    async def agency_names(self, work: UnitOfWork, agency_ids: Collection[UUID]) -> dict[UUID, str]:
        """Return the names of these agencies."""
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
        Grant(Role(grant["role"]), UUID(grant["agency_id"]) if grant.get("agency_id") else None)
        for grant in documents
        if grant["role"] in _ROLES
    )


class FreshnessRepository:
    """Keeps which datasets are late or out of date: only those have a row."""

    async def put(self, work: UnitOfWork, statuses: Mapping[UUID, str | None]) -> None:
        """Write the newest status of datasets; None where it was withdrawn."""
        rows = [
            {"dataset_id": dataset_id, "status": status}
            for dataset_id, status in statuses.items()
            if status in COUNTED_STATUSES
        ]
        await upsert(work.connection, DATASET_FRESHNESS, rows)
        well = [key for key, status in statuses.items() if status not in COUNTED_STATUSES]
        for part in chunks(well):
            await work.connection.execute(
                delete(DATASET_FRESHNESS).where(DATASET_FRESHNESS.c.dataset_id.in_(part))
            )
