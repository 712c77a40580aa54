"""What the directory says of agencies and stewards, learned here and laid over the datasets it concerns."""

from collections.abc import Mapping
from uuid import UUID

from services.catalog.datasets.commands.context import DatasetContext
from services.catalog.datasets.commands.editing import recompute
from services.catalog.datasets.domain.entry import CatalogEntry
from shared.events.envelope import Event
from shared.events.governance import AgencyState, StewardshipState
from shared.store.unit_of_work import UnitOfWork

__all__ = ["learn_agencies", "learn_stewardships"]


async def learn_agencies(
    work: UnitOfWork,
    context: DatasetContext,
    newest: Mapping[UUID, AgencyState | None],
    causes: Mapping[UUID, Event],
) -> None:
    """Learn agencies and their spellings, and map the datasets that publish under one of them.

    ``newest`` holds None for an agency whose key has ended; ``causes`` the event that said so.
    """
    agencies = [agency for agency in newest.values() if agency is not None]
    # A spelling that moves from one agency to another touches the datasets of both.
    spellings = [spelling for agency in agencies for spelling in (agency.name, agency.code, *agency.aliases)]
    await context.directory.forget_agencies(work, [key for key, agency in newest.items() if agency is None])
    await context.directory.put_agencies(work, agencies)
    touched = await context.datasets.ids_touched_by(work, publishers=spellings, agency_ids=list(newest))

    def cause_of(entry: CatalogEntry) -> Event | None:
        return causes.get(entry.state.agency_id) if entry.state.agency_id is not None else None

    await recompute(work, context, touched, cause_of)


async def learn_stewardships(
    work: UnitOfWork,
    context: DatasetContext,
    newest: Mapping[str, StewardshipState | None],
    causes: Mapping[str, Event],
) -> None:
    """Learn who is responsible for which dataset, by identifier; the dataset may come before or after."""
    stewardships = [state for state in newest.values() if state is not None]
    await context.directory.put_stewardships(work, stewardships)
    ended = [key for key, state in newest.items() if state is None]
    await context.directory.forget_stewardships(work, ended)
    touched = await context.datasets.ids_touched_by(work, identifiers=list(newest))
    await recompute(work, context, touched, lambda entry: causes.get(entry.source.identifier))
