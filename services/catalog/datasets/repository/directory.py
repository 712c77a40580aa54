"""Agencies with their spellings, and stewardships, as the directory tells them."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import delete, select

from services.catalog.datasets.domain.entry import GovernanceContext
from services.catalog.migrations.tables import AGENCIES, AGENCY_SPELLINGS, STEWARDSHIPS
from shared.datasets.publisher_names import normalize_publisher
from shared.events.catalog import DatasetState
from shared.events.governance import AgencyState, StewardshipState
from shared.store.chunks import chunks
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["DirectoryReplica"]


class DirectoryReplica:
    """What catalog remembers of governance: agencies with their spellings, and stewardships."""

    def __init__(self, jurisdiction_words: Collection[str]) -> None:
        self._jurisdiction_words = frozenset(jurisdiction_words)

    async def surroundings(self, work: UnitOfWork, states: Collection[DatasetState]) -> GovernanceContext:
        """All that bears on these datasets, in a bounded number of statements."""
        publishers = {state.publisher_name for state in states if state.publisher_name is not None}
        normalised = {name: self._normalised(name) for name in publishers}
        owners: dict[str, UUID] = {}
        for chunk in chunks(set(normalised.values())):
            rows = await work.connection.execute(
                select(AGENCY_SPELLINGS).where(AGENCY_SPELLINGS.c.normalised.in_(chunk))
            )
            owners.update((row.normalised, row.agency_id) for row in rows)
        stewardships: dict[str, StewardshipState] = {}
        for chunk in chunks({state.identifier for state in states}):
            rows = await work.connection.execute(
                select(STEWARDSHIPS).where(STEWARDSHIPS.c.identifier.in_(chunk))
            )
            for row in rows:
                stewardships[row.identifier] = StewardshipState.model_validate(row.stewardship)
        agencies = await work.connection.execute(select(AGENCIES.c.agency_id, AGENCIES.c.name))
        return GovernanceContext(
            agency_names={row.agency_id: row.name for row in agencies},
            agency_of_publisher={
                name: owners[spelling] for name, spelling in normalised.items() if spelling in owners
            },
            stewardships=stewardships,
        )

    async def put_agencies(self, work: UnitOfWork, agencies: Sequence[AgencyState]) -> None:
        """Write agencies with all their spellings."""
        rows = [{"agency_id": one.agency_id, "code": one.code, "name": one.name} for one in agencies]
        await upsert(work.connection, AGENCIES, rows)
        await self._forget_spellings(work, [agency.agency_id for agency in agencies])
        owners = {
            self._normalised(spelling): agency.agency_id
            for agency in agencies
            for spelling in (agency.code, *agency.aliases, agency.name)
        }
        spellings = [{"normalised": key, "agency_id": owner} for key, owner in owners.items() if key]
        await upsert(work.connection, AGENCY_SPELLINGS, spellings)

    async def forget_agencies(self, work: UnitOfWork, agency_ids: Collection[UUID]) -> None:
        """Delete agencies."""
        await self._forget_spellings(work, agency_ids)
        for chunk in chunks(agency_ids):
            await work.connection.execute(delete(AGENCIES).where(AGENCIES.c.agency_id.in_(chunk)))

    async def put_stewardships(self, work: UnitOfWork, stewardships: Sequence[StewardshipState]) -> None:
        """Write stewardships."""
        rows = [
            {"identifier": one.identifier, "stewardship": one.model_dump(mode="json", exclude_none=True)}
            for one in stewardships
        ]
        await upsert(work.connection, STEWARDSHIPS, rows)

    async def forget_stewardships(self, work: UnitOfWork, identifiers: Collection[str]) -> None:
        """Delete stewardships."""
        for chunk in chunks(identifiers):
            await work.connection.execute(delete(STEWARDSHIPS).where(STEWARDSHIPS.c.identifier.in_(chunk)))

    async def _forget_spellings(self, work: UnitOfWork, agency_ids: Collection[UUID]) -> None:
        for chunk in chunks(agency_ids):
            await work.connection.execute(
                delete(AGENCY_SPELLINGS).where(AGENCY_SPELLINGS.c.agency_id.in_(chunk))
            )

    def _normalised(self, spelling: str) -> str:
        return normalize_publisher(spelling, self._jurisdiction_words)
