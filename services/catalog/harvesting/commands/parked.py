"""What operators see of catalog's jobs on which processes died, and how they let one go."""

from uuid import UUID

from services.catalog.harvesting.commands.context import HarvestContext
from shared.jobs.parking import JobQueue, ParkedJob
from shared.store.engine import Store

__all__ = ["harvest_queue"]

HARVESTS = "catalog.harvest"


def harvest_queue(store: Store, context: HarvestContext) -> JobQueue:
    """Return the queue of harvests. One that a later harvest of its source replaced is not told any more."""

    async def parked(limit: int) -> list[ParkedJob]:
        return [
            ParkedJob(
                job_id=job.harvest_id,
                subject=f"Harvest of {job.source_id}",
                reason=job.message or "",
                parked_at=job.completed_at or job.requested_at,
            )
            for job in await context.harvests.parked(limit)
        ]

    async def release(job_id: UUID) -> bool:
        async with store.unit_of_work() as work:
            job = await context.harvests.job(work, job_id)
            if job is None or job.status != "parked" or await context.harvests.is_superseded(work, job):
                return False
            await context.harvests.put_job(work, job.released())
            work.after_commit(context.wake_harvesting)
        return True

    return JobQueue(HARVESTS, parked, context.harvests.parked_count, release)
