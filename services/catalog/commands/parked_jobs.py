"""What operators see of catalog's jobs on which processes died, and how they let one go."""

from uuid import UUID

from services.catalog.ports import CatalogPorts
from shared.jobs.parking import JobQueue, ParkedJob
from shared.store.engine import Store

__all__ = ["dictionary_queue", "harvest_queue"]

HARVESTS = "catalog.harvest"
DICTIONARIES = "catalog.dictionaries"


def harvest_queue(store: Store, ports: CatalogPorts) -> JobQueue:
    """Return the queue of harvests. One that a later harvest of its source replaced is not told any more."""

    async def parked(limit: int) -> list[ParkedJob]:
        return [
            ParkedJob(
                job_id=job.harvest_id,
                subject=f"Harvest of {job.source_id}",
                reason=job.message or "",
                parked_at=job.completed_at or job.requested_at,
            )
            for job in await ports.harvests.parked(limit)
        ]

    async def release(job_id: UUID) -> bool:
        async with store.unit_of_work() as work:
            job = await ports.harvests.job(work, job_id)
            if job is None or job.status != "parked" or await ports.harvests.is_superseded(work, job):
                return False
            await ports.harvests.put_job(work, job.released())
            work.after_commit(ports.wake_harvesting)
        return True

    return JobQueue(HARVESTS, parked, ports.harvests.parked_count, release)


def dictionary_queue(store: Store, ports: CatalogPorts) -> JobQueue:
    """Return the queue of data dictionaries to fetch; a job has the id of its dataset."""

    async def parked(limit: int) -> list[ParkedJob]:
        return [
            ParkedJob(
                job_id=fetch.dataset_id,
                subject=f"Data dictionary {fetch.url}",
                reason=fetch.message or "",
                parked_at=fetch.parked_at,
            )
            for fetch in await ports.dictionaries.parked(limit)
            if fetch.parked_at is not None
        ]

    async def release(job_id: UUID) -> bool:
        async with store.unit_of_work() as work:
            is_released = await ports.dictionaries.release(work, job_id)
            if is_released:
                work.after_commit(ports.wake_dictionaries)
        return is_released

    return JobQueue(DICTIONARIES, parked, ports.dictionaries.parked_count, release)
