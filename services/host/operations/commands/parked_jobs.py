"""What an operator does about a job that no process takes up by itself."""

from uuid import UUID

from services.host.operations.installation import OperatedInstallation
from shared.errors import NotFoundError

__all__ = ["release_parked_job"]


async def release_parked_job(installation: OperatedInstallation, queue_name: str, job_id: UUID) -> None:
    """Make a parked job due again. Raises ``NotFoundError``."""
    for _, queue in installation.job_queues:
        if queue.name == queue_name:
            if await queue.release(job_id):
                return
            break
    raise NotFoundError(
        f"No job {job_id} is parked in {queue_name!r}.",
        what="job",
        field="job_id",
        fix="Use one that /ops or nutmeg jobs list shows.",
    )
