"""What quality does when something happened: measure datasets, note first harvests, take acknowledgements."""

from collections.abc import Sequence
from uuid import UUID

from services.quality.evaluation.commands import housekeeping
from services.quality.evaluation.commands.context import EvaluationContext
from services.quality.evaluation.commands.measuring import IncomingChange, evaluate_changes
from services.quality.evaluation.domain.baseline import FirstHarvest
from shared.consuming.handling import Handlers, Outcome
from shared.datasets.read_model import dataset_of
from shared.events.catalog import DatasetChanged, DatasetRegistered, DatasetRetired, HarvestCompleted
from shared.events.envelope import Event
from shared.events.registry import (
    ALERT_ACKNOWLEDGED,
    DATASET_CHANGED,
    DATASET_REGISTERED,
    DATASET_RETIRED,
    HARVEST_COMPLETED,
    PERSON_CHANGED,
)
from shared.identity.principals import remember_people
from shared.store.unit_of_work import UnitOfWork

__all__ = [
    "DIRECTORY_HANDLERS",
    "MEASURING_HANDLERS",
    "acknowledge_alerts",
    "measure_datasets",
    "note_harvests",
    "remember_viewers",
]


async def measure_datasets(
    batch: Sequence[Event], work: UnitOfWork, context: EvaluationContext
) -> list[Outcome]:
    """Keep the dataset read model, and measure each dataset of the batch once, in its newest state."""
    outcomes = await context.datasets.remember(batch, work)
    changes: dict[UUID, IncomingChange] = {}
    for event in batch:
        dataset_id = UUID(event.subject)
        changes[dataset_id] = _incoming_change(event, changes.get(dataset_id))
    await evaluate_changes(work, context, changes)
    return outcomes


async def note_harvests(
    batch: Sequence[Event], work: UnitOfWork, context: EvaluationContext
) -> list[Outcome]:
    """Remember first harvests that are over, so that their datasets are summarized once measured."""
    completed = [event.payload(HarvestCompleted) for event in batch]
    first = [
        FirstHarvest(harvest.harvest_id, harvest.created, harvest.completed_at)
        for harvest in completed
        if harvest.first_harvest and harvest.created > 0
    ]
    if first:
        await context.harvests.note_completed(work, first)
        work.after_commit(context.baseline_wake.wake)
    return [Outcome.APPLIED if harvest.first_harvest else Outcome.IGNORED for harvest in completed]


async def acknowledge_alerts(
    batch: Sequence[Event], work: UnitOfWork, context: EvaluationContext
) -> list[Outcome]:
    """A person took charge of an alert: say so on it."""
    has_changed = await housekeeping.acknowledge_alerts(work, context, batch)
    return [Outcome.APPLIED if changed else Outcome.IGNORED for changed in has_changed]


async def remember_viewers(
    batch: Sequence[Event], work: UnitOfWork, context: EvaluationContext
) -> Sequence[Outcome] | None:
    """Know whose token may see what."""
    return await remember_people(batch, work, context.principals)


def _incoming_change(event: Event, before: IncomingChange | None) -> IncomingChange:
    """Add one event to what the events before it in the batch said of its dataset."""
    changed = before.changed_fields if before else frozenset[str]()
    is_registered = before.is_registered if before else False
    harvest_id = before.harvest_id if before else None
    if isinstance(event.data, DatasetRegistered):
        is_registered = True
        harvest_id = event.data.harvest_id if event.data.first_harvest else None
    elif isinstance(event.data, DatasetChanged):
        changed |= frozenset(event.data.changed_fields)
    return IncomingChange(
        cause=event,
        dataset=dataset_of(event),
        is_retired=isinstance(event.data, DatasetRetired),
        is_registered=is_registered,
        changed_fields=changed,
        harvest_id=harvest_id,
    )


MEASURING_HANDLERS: Handlers[EvaluationContext] = {
    DATASET_REGISTERED.name: measure_datasets,
    DATASET_CHANGED.name: measure_datasets,
    DATASET_RETIRED.name: measure_datasets,
    HARVEST_COMPLETED.name: note_harvests,
}

DIRECTORY_HANDLERS: Handlers[EvaluationContext] = {
    PERSON_CHANGED.name: remember_viewers,
    ALERT_ACKNOWLEDGED.name: acknowledge_alerts,
}
