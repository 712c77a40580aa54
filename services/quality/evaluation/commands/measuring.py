"""Measure what the record says: when it changed, when time passed, when a steward asks."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from services.quality.evaluation.commands.context import EvaluationContext
from services.quality.evaluation.commands.dataset_batch import DatasetBatch, load_batch
from services.quality.evaluation.domain.dataset_quality import (
    FETCHED_FIELDS,
    DatasetQuality,
    new_dataset_quality,
    profiled_distribution,
)
from services.quality.evaluation.domain.evaluation import accept_as_baseline, leave_file, measure_record
from services.quality.profiling.commands import cancel_profiles, request_profiles
from shared.errors import NotFoundError
from shared.events.catalog import DatasetState
from shared.events.envelope import Event
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = [
    "BASELINE_WORK",
    "FRESHNESS_WORK",
    "IncomingChange",
    "accept_baseline",
    "evaluate_changes",
    "measure_now",
    "recheck_freshness",
]

FRESHNESS_WORK = "quality.freshness"
BASELINE_WORK = "quality.baseline"
CHECKS_PER_RUN_MAX = 200
DATASETS_PER_TURN = 20


@dataclass(slots=True)
class IncomingChange:
    """What a batch of events says about one dataset: its newest state, and all that changed on the way.

    ``dataset`` is None when the record has ended.
    """

    cause: Event
    dataset: DatasetState | None
    is_retired: bool
    is_registered: bool
    changed_fields: frozenset[str]
    harvest_id: UUID | None


async def evaluate_changes(
    work: UnitOfWork, context: EvaluationContext, changes: Mapping[UUID, IncomingChange]
) -> None:
    """Measure each dataset's newest state, tell what differs, and ask for files to be read again."""
    now = context.clock.now()
    batch = await load_batch(work, context, changes.keys())
    wanted: dict[UUID, tuple[str, str | None]] = {}
    idle: list[UUID] = []
    ended: list[UUID] = []
    for number, (dataset_id, change) in enumerate(changes.items()):
        if number % DATASETS_PER_TURN == 0:
            await asyncio.sleep(0)  # the event loop is shared: a large batch must not keep it
        if change.dataset is None:
            batch.end(dataset_id, now, change.cause)
            ended.append(dataset_id)
            continue
        before = batch.qualities.get(dataset_id)
        known = before or new_dataset_quality(change.dataset, harvest_id=change.harvest_id)
        quality = known.with_dataset(change.dataset, is_retired=change.is_retired)
        batch.keep(quality)
        if change.is_retired:
            batch.close_alerts(dataset_id, now, change.cause)
            idle.append(dataset_id)
            continue
        distribution = profiled_distribution(quality)
        if distribution is None or distribution.download_url is None:
            _leave_file(batch, quality, change.cause)
            idle.append(dataset_id)
        elif before is None or before.is_retired or _may_differ(change):
            wanted[dataset_id] = (distribution.download_url, distribution.media_type)
        _measure(batch, dataset_id, change.cause)
    await batch.save()
    await context.qualities.forget(work, ended)
    await cancel_profiles(work, context.profiling, idle)
    await request_profiles(work, context.profiling, wanted)
    work.after_commit(context.baseline_wake.wake)


async def recheck_freshness(store: Store, context: EvaluationContext) -> int:
    """Judge again the datasets whose status can have changed by time alone; return how many."""
    async with store.unit_of_work() as work:
        due = await context.qualities.due(work, context.clock.now(), CHECKS_PER_RUN_MAX)
        if due:
            batch = await load_batch(work, context, due)
            for number, dataset_id in enumerate(due):
                if number % DATASETS_PER_TURN == 0:
                    await asyncio.sleep(0)
                _measure(batch, dataset_id, None)
            await batch.save()
    return len(due)


async def measure_now(work: UnitOfWork, context: EvaluationContext, dataset_id: UUID) -> None:
    """Measure a dataset again, and fetch its file. Raises ``NotFoundError`` for one that is not known."""
    batch = await load_batch(work, context, [dataset_id])
    quality = _living(batch, dataset_id)
    _measure(batch, dataset_id, None)
    await batch.save()
    distribution = profiled_distribution(quality)
    if distribution is not None and distribution.download_url is not None:
        wanted = {dataset_id: (distribution.download_url, distribution.media_type)}
        await request_profiles(work, context.profiling, wanted)


async def accept_baseline(work: UnitOfWork, context: EvaluationContext, dataset_id: UUID) -> None:
    """Compare the dataset with what it is now from here on. Raises ``NotFoundError`` as above."""
    batch = await load_batch(work, context, [dataset_id])
    quality = _living(batch, dataset_id)
    now = context.clock.now()
    file = batch.files.get(dataset_id)
    batch.take(accept_as_baseline(quality, file, batch.alerts_of(dataset_id), now, context.calendar))
    batch.publish(dataset_id, now)
    await batch.save()


def _measure(batch: DatasetBatch, dataset_id: UUID, cause: Event | None) -> None:
    context = batch.context
    now = context.clock.now()
    quality, file = batch.qualities[dataset_id], batch.files.get(dataset_id)
    outcome = measure_record(quality, file, batch.alerts_of(dataset_id), now, context.calendar)
    batch.take(outcome, cause)
    batch.publish(dataset_id, now, cause, outcome.judgment)


def _leave_file(batch: DatasetBatch, quality: DatasetQuality, cause: Event) -> None:
    dataset_id = quality.dataset.dataset_id
    batch.take(leave_file(quality, batch.alerts_of(dataset_id), batch.context.clock.now()), cause)
    batch.leave_file(dataset_id, cause)


def _may_differ(change: IncomingChange) -> bool:
    """True when the file may be another one than before."""
    return change.is_registered or not FETCHED_FIELDS.isdisjoint(change.changed_fields)


def _living(batch: DatasetBatch, dataset_id: UUID) -> DatasetQuality:
    quality = batch.qualities.get(dataset_id)
    if quality is None or quality.is_retired:
        raise NotFoundError(
            f"No dataset with the id {dataset_id} is being measured.", what="dataset", field="dataset_id"
        )
    return quality
