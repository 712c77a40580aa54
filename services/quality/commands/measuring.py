"""Measure what the record says: when it changed, when time passed, when a steward asks."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from services.quality.commands.dataset_batch import DatasetBatch, load_batch
from services.quality.domain.rounds import accept_as_baseline, leave_file, measure_record
from services.quality.domain.standing import (
    FETCHED_FIELDS,
    Standing,
    new_standing,
    profiled_distribution,
)
from services.quality.ports import QualityPorts
from shared.errors import NotFoundError
from shared.events.catalog import DatasetState
from shared.events.envelope import Event
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = [
    "BASELINE_WORK",
    "FRESHNESS_WORK",
    "PROFILE_WORK",
    "Arrival",
    "accept_baseline",
    "measure_arrivals",
    "measure_now",
    "recheck_freshness",
]

PROFILE_WORK = "quality.profile"
FRESHNESS_WORK = "quality.freshness"
BASELINE_WORK = "quality.baseline"
CHECKS_PER_RUN_MAX = 200
DATASETS_PER_TURN = 20


@dataclass(slots=True)
class Arrival:
    """What a batch of events says about one dataset: its newest state, and all that changed on the way.

    ``dataset`` is None when the record has ended.
    """

    cause: Event
    dataset: DatasetState | None
    is_retired: bool
    is_registered: bool
    changed_fields: frozenset[str]
    harvest_id: UUID | None


async def measure_arrivals(work: UnitOfWork, ports: QualityPorts, arrivals: Mapping[UUID, Arrival]) -> None:
    """Measure each dataset's newest state, tell what differs, and ask for files to be read again."""
    now = ports.clock.now()
    batch = await load_batch(work, ports, arrivals.keys())
    wanted: dict[UUID, tuple[str, str | None]] = {}
    idle: list[UUID] = []
    ended: list[UUID] = []
    for number, (dataset_id, arrival) in enumerate(arrivals.items()):
        if number % DATASETS_PER_TURN == 0:
            await asyncio.sleep(0)  # the event loop is shared: a large batch must not keep it
        if arrival.dataset is None:
            batch.end(dataset_id, now, arrival.cause)
            ended.append(dataset_id)
            continue
        before = batch.standings.get(dataset_id)
        known = before or new_standing(arrival.dataset, harvest_id=arrival.harvest_id)
        standing = known.with_dataset(arrival.dataset, is_retired=arrival.is_retired)
        batch.keep(standing)
        if arrival.is_retired:
            batch.close_alerts(dataset_id, now, arrival.cause)
            idle.append(dataset_id)
            continue
        distribution = profiled_distribution(standing)
        if distribution is None or distribution.download_url is None:
            _leave_file(batch, standing, arrival.cause)
            idle.append(dataset_id)
        elif before is None or before.is_retired or _may_differ(arrival):
            wanted[dataset_id] = (distribution.download_url, distribution.media_type)
        _measure(batch, dataset_id, arrival.cause)
    await batch.save()
    await ports.standings.forget(work, ended)
    await ports.jobs.cancel(work, idle)
    if wanted:
        await ports.jobs.request(work, wanted)
        work.after_commit(lambda: ports.wakers.wake(PROFILE_WORK))
    work.after_commit(lambda: ports.wakers.wake(BASELINE_WORK))


async def recheck_freshness(store: Store, ports: QualityPorts) -> int:
    """Judge again the datasets whose status can have changed by time alone; return how many."""
    async with store.unit_of_work() as work:
        due = await ports.standings.due(work, ports.clock.now(), CHECKS_PER_RUN_MAX)
        if due:
            batch = await load_batch(work, ports, due)
            for number, dataset_id in enumerate(due):
                if number % DATASETS_PER_TURN == 0:
                    await asyncio.sleep(0)
                _measure(batch, dataset_id, None)
            await batch.save()
    return len(due)


async def measure_now(work: UnitOfWork, ports: QualityPorts, dataset_id: UUID) -> None:
    """Measure a dataset again, and fetch its file. Raises ``NotFoundError`` for one that is not known."""
    batch = await load_batch(work, ports, [dataset_id])
    standing = _living(batch, dataset_id)
    _measure(batch, dataset_id, None)
    await batch.save()
    distribution = profiled_distribution(standing)
    if distribution is not None and distribution.download_url is not None:
        await ports.jobs.request(work, {dataset_id: (distribution.download_url, distribution.media_type)})
        work.after_commit(lambda: ports.wakers.wake(PROFILE_WORK))


async def accept_baseline(work: UnitOfWork, ports: QualityPorts, dataset_id: UUID) -> None:
    """Compare the dataset with what it is now from here on. Raises ``NotFoundError`` as above."""
    batch = await load_batch(work, ports, [dataset_id])
    standing = _living(batch, dataset_id)
    now = ports.clock.now()
    file = batch.files.get(dataset_id)
    batch.take(accept_as_baseline(standing, file, batch.alerts_of(dataset_id), now, ports.calendar))
    batch.tell(dataset_id, now)
    await batch.save()


def _measure(batch: DatasetBatch, dataset_id: UUID, cause: Event | None) -> None:
    ports = batch.ports
    now = ports.clock.now()
    standing, file = batch.standings[dataset_id], batch.files.get(dataset_id)
    outcome = measure_record(standing, file, batch.alerts_of(dataset_id), now, ports.calendar)
    batch.take(outcome, cause)
    batch.tell(dataset_id, now, cause, outcome.judgement)


def _leave_file(batch: DatasetBatch, standing: Standing, cause: Event) -> None:
    dataset_id = standing.dataset.dataset_id
    batch.take(leave_file(standing, batch.alerts_of(dataset_id), batch.ports.clock.now()), cause)
    batch.leave_file(dataset_id, cause)


def _may_differ(arrival: Arrival) -> bool:
    """True when the file may be another one than before."""
    return arrival.is_registered or not FETCHED_FIELDS.isdisjoint(arrival.changed_fields)


def _living(batch: DatasetBatch, dataset_id: UUID) -> Standing:
    standing = batch.standings.get(dataset_id)
    if standing is None or standing.is_retired:
        raise NotFoundError(
            f"No dataset with the id {dataset_id} is being measured.", what="dataset", field="dataset_id"
        )
    return standing
