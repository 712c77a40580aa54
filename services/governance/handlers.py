"""What governance does when the catalogue changes: remember datasets, and settle new publisher names."""

from collections.abc import Sequence

from services.governance.commands.directory import publish_agency
from services.governance.domain.agencies import PublisherNames
from services.governance.domain.auditing import AuditLine, DirectoryAct
from services.governance.ports import GovernancePorts
from shared.consuming.handling import Handlers, Outcome
from shared.datasets.read_model import dataset_of
from shared.events.catalog import DatasetChanged
from shared.events.envelope import Event
from shared.events.registry import DATASET_CHANGED, DATASET_REGISTERED, DATASET_RETIRED
from shared.store.unit_of_work import UnitOfWork

__all__ = ["EVENT_HANDLERS", "remember_and_reconcile"]


async def remember_and_reconcile(
    batch: Sequence[Event], work: UnitOfWork, ports: GovernancePorts
) -> list[Outcome]:
    """Keep the dataset read model, and find the agency of each publisher that has none yet.

    A spelling that can be settled becomes an alias of its agency, which the catalogue learns from the
    agency's event; any other is listed for a person.
    """
    await _note_visibility(batch, work, ports)
    outcomes = await ports.datasets.remember(batch, work)
    spellings = {
        dataset.publisher_name
        for event in batch
        if (dataset := dataset_of(event)) is not None
        and dataset.publisher_name is not None
        and dataset.agency_id is None
    }
    if spellings:
        await _settle(work, ports, sorted(spellings))
    return outcomes


async def _note_visibility(batch: Sequence[Event], work: UnitOfWork, ports: GovernancePorts) -> None:
    """Write down whose record is seen by others than before, whichever way that was changed."""
    told = [(event, dataset) for event in batch if (dataset := dataset_of(event)) is not None]
    known = await ports.directory.visibilities(work, {dataset.dataset_id for _, dataset in told})
    lines = []
    for event, dataset in told:
        before = known.get(dataset.dataset_id)
        known[dataset.dataset_id] = dataset.visibility
        if before is None or before == dataset.visibility:
            continue
        changed_by = event.data.changed_by if isinstance(event.data, DatasetChanged) else None
        details = {"dataset_id": str(dataset.dataset_id), "visibility": [before, dataset.visibility]}
        lines.append(
            AuditLine(DirectoryAct.VISIBILITY_CHANGED, changed_by, None, event.time, details=details)
        )
    await ports.audit.note_all(work, lines)


async def _settle(work: UnitOfWork, ports: GovernancePorts, spellings: Sequence[str]) -> None:
    agencies = await ports.directory.agencies(work)
    names = PublisherNames(agencies, ports.jurisdiction_words)
    found: dict[str, dict[str, str]] = {}
    for spelling in spellings:
        match = names.match(spelling)
        if match.agency_id is None:
            await ports.directory.note_open_publisher(work, spelling, match)
            continue
        code = next(agency.code for agency in agencies if agency.agency_id == match.agency_id)
        found.setdefault(code, {})[spelling] = match.rule
    for agency in agencies:
        if agency.code in found:
            put = await ports.directory.put_agency(
                work, code=agency.code, name=agency.name, aliases=found[agency.code]
            )
            if put is not None:
                publish_agency(work, *put)


EVENT_HANDLERS: Handlers[GovernancePorts] = {
    DATASET_REGISTERED.name: remember_and_reconcile,
    DATASET_CHANGED.name: remember_and_reconcile,
    DATASET_RETIRED.name: remember_and_reconcile,
}
