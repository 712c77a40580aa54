"""What quality does when something happened: measure datasets, note first harvests, take acknowledgements."""

from collections.abc import Sequence
from uuid import UUID

from services.quality.commands.dataset_batch import emit_alert
from services.quality.commands.measuring import BASELINE_WORK, Arrival, measure_arrivals
from services.quality.domain.alerts import Alert, AlertTransitionError, acknowledge
from services.quality.ports import FirstHarvest, QualityPorts
from shared.consuming.handling import Handlers, Outcome
from shared.datasets.read_model import dataset_of
from shared.events.catalog import DatasetChanged, DatasetRegistered, DatasetRetired, HarvestCompleted
from shared.events.envelope import Event
from shared.events.notify import AlertAcknowledged
from shared.events.registry import (
    ALERT_ACKNOWLEDGED,
    DATASET_CHANGED,
    DATASET_REGISTERED,
    DATASET_RETIRED,
    HARVEST_COMPLETED,
    PERSON_CHANGED,
    QUALITY_ALERT_OPENED,
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


async def measure_datasets(batch: Sequence[Event], work: UnitOfWork, ports: QualityPorts) -> list[Outcome]:
    """Keep the dataset read model, and measure each dataset of the batch once, in its newest state."""
    outcomes = await ports.datasets.remember(batch, work)
    arrivals: dict[UUID, Arrival] = {}
    for event in batch:
        dataset_id = UUID(event.subject)
        arrivals[dataset_id] = _arrival(event, arrivals.get(dataset_id))
    await measure_arrivals(work, ports, arrivals)
    return outcomes


async def note_harvests(batch: Sequence[Event], work: UnitOfWork, ports: QualityPorts) -> list[Outcome]:
    """Remember first harvests that are over, so that their datasets are summarised once measured."""
    completed = [event.payload(HarvestCompleted) for event in batch]
    first = [
        FirstHarvest(one.harvest_id, one.created, one.completed_at)
        for one in completed
        if one.first_harvest and one.created > 0
    ]
    if first:
        await ports.harvests.note_completed(work, first)
        work.after_commit(lambda: ports.wakers.wake(BASELINE_WORK))
    return [Outcome.APPLIED if one.first_harvest else Outcome.IGNORED for one in completed]


async def acknowledge_alerts(batch: Sequence[Event], work: UnitOfWork, ports: QualityPorts) -> list[Outcome]:
    """A person took charge: say so on the alert. One that is resolved, or not ours, is left alone."""
    ours = QUALITY_ALERT_OPENED.topic.name
    taken = [event.payload(AlertAcknowledged) for event in batch]
    alerts = await ports.alerts.find(work, [one.alert_id for one in taken if one.owner_topic == ours])
    standings = await ports.standings.of(work, [alert.dataset_id for alert in alerts.values()])
    changed: dict[UUID, Alert] = {}
    outcomes = []
    for event, one in zip(batch, taken, strict=True):
        before = alerts.get(one.alert_id)
        after = None if before is None else _acknowledged(before, one)
        if before is None or after is None or after == before:
            outcomes.append(Outcome.IGNORED)
            continue
        emit_alert(work, ports.meter, standings.get(after.dataset_id), before, after, event)
        alerts[one.alert_id] = changed[one.alert_id] = after
        outcomes.append(Outcome.APPLIED)
    await ports.alerts.put(work, list(changed.values()))
    return outcomes


async def remember_viewers(
    batch: Sequence[Event], work: UnitOfWork, ports: QualityPorts
) -> Sequence[Outcome] | None:
    """Know whose token may see what."""
    return await remember_people(batch, work, ports.principals)


def _arrival(event: Event, before: Arrival | None) -> Arrival:
    """Add one event to what the events before it in the batch said of its dataset."""
    changed = before.changed_fields if before else frozenset[str]()
    is_registered = before.is_registered if before else False
    harvest_id = before.harvest_id if before else None
    if isinstance(event.data, DatasetRegistered):
        is_registered = True
        harvest_id = event.data.harvest_id if event.data.first_harvest else None
    elif isinstance(event.data, DatasetChanged):
        changed |= frozenset(event.data.changed_fields)
    return Arrival(
        cause=event,
        dataset=dataset_of(event),
        is_retired=isinstance(event.data, DatasetRetired),
        is_registered=is_registered,
        changed_fields=changed,
        harvest_id=harvest_id,
    )


def _acknowledged(alert: Alert, taken: AlertAcknowledged) -> Alert | None:
    try:
        return acknowledge(alert, taken.acknowledged_by, taken.acknowledged_at)
    except AlertTransitionError:
        return None


MEASURING_HANDLERS: Handlers[QualityPorts] = {
    DATASET_REGISTERED.name: measure_datasets,
    DATASET_CHANGED.name: measure_datasets,
    DATASET_RETIRED.name: measure_datasets,
    HARVEST_COMPLETED.name: note_harvests,
}

DIRECTORY_HANDLERS: Handlers[QualityPorts] = {
    PERSON_CHANGED.name: remember_viewers,
    ALERT_ACKNOWLEDGED.name: acknowledge_alerts,
}
