"""What usage does with events: remember datasets and viewers, count its own hits, note who took an alert."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from services.usage.commands import tell_step
from services.usage.domain.alerts import KnownAlert, acknowledged
from services.usage.domain.clients import AccessMethod
from services.usage.domain.counter import CountedHit, HitKind, TrailKey, recount
from services.usage.domain.reports import identifier_name, landing_page_name
from services.usage.ports import UsagePorts
from shared.consuming.handling import Handlers, Outcome
from shared.datasets.read_model import dataset_of
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
    USAGE_ALERT_OPENED,
)
from shared.events.usage import Hit, HitRecorded
from shared.identity.principals import remember_people
from shared.store.unit_of_work import UnitOfWork

__all__ = [
    "COUNTING_HANDLERS",
    "DIRECTORY_HANDLERS",
    "acknowledge_alerts",
    "count_hits",
    "remember_datasets",
    "remember_viewers",
]

FIRST_LOOK_AFTER = timedelta(hours=1)
LOOK_AFTER = timedelta(seconds=2)
"""So that a stream of batches does not have a dataset looked at for each of them."""


async def remember_datasets(batch: Sequence[Event], work: UnitOfWork, ports: UsagePorts) -> list[Outcome]:
    """Keep the dataset read model, the names that hits may use, and since when a dataset is watched."""
    outcomes = await ports.datasets.remember(batch, work)
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
    await ports.names.remember(work, names)
    now = ports.clock.now()
    await ports.watch.begin(work, since, due_at=now + FIRST_LOOK_AFTER)
    if ended:
        await ports.watch.begin(work, ended, due_at=now)
    return outcomes


async def remember_viewers(
    batch: Sequence[Event], work: UnitOfWork, ports: UsagePorts
) -> Sequence[Outcome] | None:
    """Keep what each person may do."""
    return await remember_people(batch, work, ports.principals)


async def acknowledge_alerts(batch: Sequence[Event], work: UnitOfWork, ports: UsagePorts) -> list[Outcome]:
    """A person took charge: say so on the alert. One that is over, or not ours, is left alone."""
    ours = USAGE_ALERT_OPENED.topic.name
    taken = [event.payload(AlertAcknowledged) for event in batch]
    known = await ports.alerts.find(work, {one.alert_id for one in taken if one.owner_topic == ours})
    outcomes = []
    for one in taken:
        alert = known.get(one.alert_id)
        step = None
        if alert is not None:
            step = acknowledged(alert, person_id=one.acknowledged_by, at=one.acknowledged_at)
        if step is None:
            outcomes.append(Outcome.IGNORED)
            continue
        known[one.alert_id] = KnownAlert(step.alert, step.first_day)
        await tell_step(work, ports, step)
        outcomes.append(Outcome.APPLIED)
    return outcomes


async def count_hits(batch: Sequence[Event], work: UnitOfWork, ports: UsagePorts) -> list[Outcome]:
    """Count hits into hours and days. Kinds that are not known here, and robots, are counted nowhere.

    The inbox has dropped repeats already; even so the counts of a set of hits would be the same.
    """
    outcomes: list[Outcome] = []
    hits: list[CountedHit] = []
    seen: Counter[tuple[str, str]] = Counter()
    until = batch[0].time
    for event in batch:
        until = max(until, event.time)
        hit = _counted(event.payload(HitRecorded).hit)
        is_counted = hit is not None and hit.access_method is not AccessMethod.CRAWLER
        outcomes.append(Outcome.APPLIED if is_counted else Outcome.IGNORED)
        if hit is not None:
            seen[hit.kind.value, "counted" if is_counted else "robot"] += 1
            hits.append(hit)
    trails = await ports.tally.trails(work, {hit.key for hit in hits})
    changes = recount(trails, hits)
    now = ports.clock.now()
    await ports.tally.apply(work, changes, now=now, until=until)
    await ports.watch.begin(work, _first_days(changes.changes), due_at=now + LOOK_AFTER)
    work.after_commit(lambda: _meter(ports, seen))
    return outcomes


def _counted(hit: Hit) -> CountedHit | None:
    try:
        kind = HitKind(hit.kind)
    except ValueError:
        return None
    try:
        method = AccessMethod(hit.access_method)
    except ValueError:
        # A method of a later version: certainly not a person at a browser.
        method = AccessMethod.TDM
    return CountedHit(TrailKey(hit.visitor_hash, hit.dataset_id), kind, method, hit.occurred_at)


def _first_days(changes: Iterable[tuple[UUID, datetime]]) -> dict[UUID, date]:
    first: dict[UUID, date] = {}
    for dataset_id, hour in changes:
        first[dataset_id] = min(first.get(dataset_id, hour.date()), hour.date())
    return first


def _meter(ports: UsagePorts, seen: Counter[tuple[str, str]]) -> None:
    for (kind, result), count in seen.items():
        ports.meter.hits(kind, result, count)


DIRECTORY_HANDLERS: Handlers[UsagePorts] = {
    DATASET_REGISTERED.name: remember_datasets,
    DATASET_CHANGED.name: remember_datasets,
    DATASET_RETIRED.name: remember_datasets,
    PERSON_CHANGED.name: remember_viewers,
    ALERT_ACKNOWLEDGED.name: acknowledge_alerts,
}

COUNTING_HANDLERS: Handlers[UsagePorts] = {
    HIT_RECORDED.name: count_hits,
}
