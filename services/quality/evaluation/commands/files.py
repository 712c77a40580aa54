"""Look into the files that are due, and evaluate what was found of each."""

from collections.abc import Collection
from functools import partial
from uuid import UUID

from services.quality.evaluation.commands.context import EvaluationContext
from services.quality.evaluation.commands.dataset_batch import load_batch
from services.quality.evaluation.domain.dataset_quality import profiled_distribution
from services.quality.evaluation.domain.evaluation import measure_file
from services.quality.profiling.commands import run_profile_jobs
from services.quality.profiling.domain.jobs import FileOutcome, KnownFile
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = ["evaluate_files"]


async def evaluate_files(store: Store, context: EvaluationContext) -> int:
    """Do the profile jobs that are due, and evaluate the files; return how many were worked on."""
    return await run_profile_jobs(
        store,
        context.profiling,
        known_files=partial(_known_files, context),
        record=partial(_record, context),
    )


async def _known_files(
    context: EvaluationContext, work: UnitOfWork, dataset_ids: Collection[UUID]
) -> dict[UUID, KnownFile]:
    files = await context.qualities.files_of(work, dataset_ids)
    return {
        dataset_id: KnownFile(file.url, file.etag, file.last_modified, file.latest.sha256)
        for dataset_id, file in files.items()
        if file.latest is not None
    }


async def _record(
    context: EvaluationContext, work: UnitOfWork, dataset_id: UUID, outcome: FileOutcome | None
) -> bool:
    batch = await load_batch(work, context, [dataset_id])
    quality = batch.qualities.get(dataset_id)
    if quality is None or profiled_distribution(quality) is None:
        return False
    if outcome is not None:
        now = context.clock.now()
        known, alerts = batch.files.get(dataset_id), batch.alerts_of(dataset_id)
        batch.take(measure_file(quality, known, alerts, outcome, now))
        batch.publish(dataset_id, now)
        await batch.save()
    return True
