"""Queues harvests that people and programs ask for, and those that a person confirms."""

from dataclasses import dataclass, replace
from uuid import UUID

from services.catalog.harvesting.commands.choosing_source import choose_source, source_of_address
from services.catalog.harvesting.commands.context import HarvestContext
from services.catalog.harvesting.domain.jobs import HarvestJob, HarvestSource, HarvestStateError
from services.catalog.harvesting.domain.source_choice import FeedSketch
from shared.errors import NotFoundError
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = ["HarvestRequest", "confirm_held", "request_harvest"]


async def confirm_held(store: Store, context: HarvestContext, harvest_id: UUID) -> None:
    """Queue a held harvest again, confirmed. Raises ``NotFoundError`` and ``HarvestStateError``."""
    async with store.unit_of_work() as work:
        job = await context.harvests.job(work, harvest_id)
        if job is None:
            raise NotFoundError(
                "No harvest here has this id.", what="harvest", fix="Look at the list of harvests."
            )
        if await context.harvests.is_superseded(work, job):
            raise HarvestStateError("A later harvest of the same source has taken this one's place.")
        await context.harvests.put_job(work, job.confirmed_by_person())
        work.after_commit(context.wake_harvesting)


@dataclass(frozen=True, slots=True)
class HarvestRequest:
    """What is to be harvested: a feed that lies in the storage, or the one at ``address``.

    Without ``source_id`` the source is found by the address, or by ``sketch`` and ``file_name`` of the feed.
    Publisher and contact stand in where a record names none. ``is_confirmed`` says beforehand that datasets
    may go although the feed lost more than half of them.
    """

    harvest_id: UUID
    source_id: str | None
    publisher_name: str
    contact_name: str
    contact_email: str
    address: str | None = None
    sketch: FeedSketch | None = None
    file_name: str | None = None
    is_sample: bool = False
    is_confirmed: bool = False


async def request_harvest(store: Store, context: HarvestContext, request: HarvestRequest) -> None:
    """Find the source and queue the harvest. What is known of the source's last feed stays."""
    async with store.unit_of_work() as work:
        source_id = request.source_id or await _find_source(work, context, request)
        job = HarvestJob(
            request.harvest_id,
            source_id,
            work.clock.now(),
            url=request.address,
            confirmed=request.is_confirmed,
        )
        source = HarvestSource(
            source_id,
            request.publisher_name,
            request.contact_name,
            request.contact_email,
            is_sample=request.is_sample,
        )
        await _queue(work, context, job, source)


async def _find_source(work: UnitOfWork, context: HarvestContext, request: HarvestRequest) -> str:
    if request.address is not None:
        return await source_of_address(work, context.harvests, request.address)
    sketch = request.sketch or FeedSketch(None, {})
    return await choose_source(work, context.harvests, sketch, request.file_name)


async def _queue(work: UnitOfWork, context: HarvestContext, job: HarvestJob, source: HarvestSource) -> None:
    known = await context.harvests.source(work, job.source_id)
    if known is not None:
        source = replace(
            source,
            url=known.url,
            is_sample=source.is_sample or known.is_sample,
            etag=known.etag,
            last_modified=known.last_modified,
        )
    await context.harvests.put_source(work, source)
    await context.harvests.put_job(work, job)
    work.after_commit(context.wake_harvesting)
