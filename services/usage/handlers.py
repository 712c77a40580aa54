"""What usage does with events: remember datasets and viewers, count its own hits, note who took an alert."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date
from uuid import UUID

from services.usage.anomalies.commands import (
    AnomalyDetection,
    acknowledge_alerts,
    begin_watching,
    watch_changed,
)
from services.usage.counts import commands as counts
from services.usage.counts.commands import Counting
from services.usage.hits.commands import HitRecording, remember_names
from services.usage.hits.domain.reports import identifier_name, landing_page_name
from shared.consuming.handling import Handlers, Outcome
from shared.datasets.read_model import KnownDatasets, dataset_of
from shared.events.catalog import DatasetRetired
from shared.events.envelope import Event
from shared.events.notify import AlertAcknowledged
from shared.events.registry import (
    ALERT_ACKNOWLEDGED,
    DATASET_CHANGED,
    DATASET_REGISTERED,
    DATASET_RETIRED,
    HIT_RECORDED,
    PERSON_CHANGED,
)
from shared.events.usage import HitRecorded
from shared.identity.principals import Principals, remember_people
from shared.store.unit_of_work import UnitOfWork

__all__ = [
    "COUNTING_HANDLERS",
    "DIRECTORY_HANDLERS",
    "UsageContext",
    "count_hits",
    "note_acknowledgements",
    "remember_datasets",
    "remember_viewers",
]


@dataclass(frozen=True, slots=True)
class UsageContext:
    """What usage's handlers work with: its read models, and what its features' commands work with."""

    datasets: KnownDatasets
    principals: Principals
    hits: HitRecording
    counting: Counting
    detection: AnomalyDetection


async def remember_datasets(batch: Sequence[Event], work: UnitOfWork, context: UsageContext) -> list[Outcome]:
    """Keep the dataset read model, the names that hits may use, and since when a dataset is watched."""
    outcomes = await context.datasets.remember(batch, work)
    names: dict[UUID, list[str]] = {}
    since: dict[UUID, date] = {}
    ended: dict[UUID, date] = {}
    for event in batch:
        dataset_id, dataset = UUID(event.subject), dataset_of(event)
        names[dataset_id] = []
        known_since = event.time if dataset is None else dataset.registered_at
        since.setdefault(dataset_id, known_since.astimezone(UTC).date())
        if dataset is None or isinstance(event.data, DatasetRetired):
            ended[dataset_id] = since[dataset_id]
            continue
        ended.pop(dataset_id, None)
        names[dataset_id].append(identifier_name(dataset.identifier))
        if dataset.landing_page:
            names[dataset_id].append(landing_page_name(dataset.landing_page))
    await remember_names(work, context.hits, names)
    await begin_watching(work, context.detection, since, ended=ended)
    return outcomes


async def remember_viewers(
    batch: Sequence[Event], work: UnitOfWork, context: UsageContext
) -> Sequence[Outcome] | None:
    """Keep what each person may do."""
    return await remember_people(batch, work, context.principals)


async def note_acknowledgements(
    batch: Sequence[Event], work: UnitOfWork, context: UsageContext
) -> list[Outcome]:
    """A person took charge of an alert: say so on it."""
    taken = [event.payload(AlertAcknowledged) for event in batch]
    has_changed = await acknowledge_alerts(work, context.detection, taken)
    return [Outcome.APPLIED if changed else Outcome.IGNORED for changed in has_changed]


async def count_hits(batch: Sequence[Event], work: UnitOfWork, context: UsageContext) -> list[Outcome]:
    """Count hits, and have the datasets looked at. The inbox has dropped repeats already."""
    hits = [event.payload(HitRecorded).hit for event in batch]
    until = max(event.time for event in batch)
    result = await counts.count_hits(work, context.counting, hits, until=until)
    await watch_changed(work, context.detection, result.first_days)
    return [Outcome.APPLIED if is_counted else Outcome.IGNORED for is_counted in result.is_counted]


DIRECTORY_HANDLERS: Handlers[UsageContext] = {
    DATASET_REGISTERED.name: remember_datasets,
    DATASET_CHANGED.name: remember_datasets,
    DATASET_RETIRED.name: remember_datasets,
    PERSON_CHANGED.name: remember_viewers,
    ALERT_ACKNOWLEDGED.name: note_acknowledgements,
}

COUNTING_HANDLERS: Handlers[UsageContext] = {
    HIT_RECORDED.name: count_hits,
}
