"""Takes feeds in: one job after the other, a bounded portion at a time, each portion one transaction.

Before a job begins, all that the directory told until then is known here: a stewardship says which records
nobody may see, and one that came a moment late would have let them be published.

A job that was cut off goes on behind the records that its last transaction counted. Those before are read
again only to remember their identifiers, so that nothing is done twice and nothing is counted twice.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

import structlog

from services.catalog.dcat.domain.records import ParsedRecord, SourceDefaults
from services.catalog.harvesting.commands.batches import apply_batch, retire_missing
from services.catalog.harvesting.commands.context import HarvestContext
from services.catalog.harvesting.domain.differences import HarvestDiff
from services.catalog.harvesting.domain.feeds import Feed, FeedError, FeedStorage
from services.catalog.harvesting.domain.jobs import (
    REJECTIONS_TOLD_MAX,
    HarvestCounts,
    HarvestJob,
    HarvestSource,
)
from services.catalog.harvesting.reader.directory_lag import DirectoryLag
from shared.errors import NotReadyError, TransientError
from shared.events.catalog import HarvestCompleted, HarvestHeld, RejectedRecord
from shared.events.registry import HARVEST_COMPLETED, HARVEST_HELD
from shared.http.downloads import Downloads, FetchError
from shared.jobs.parking import DEATHS_MAX, PARKED_BECAUSE
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork
from shared.telemetry.metrics import Metrics

__all__ = ["HarvestLimits", "HarvestWorker"]

logger = structlog.get_logger(__name__)

DIRECTORY_LOOKS_MAX = 20
DIRECTORY_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class HarvestLimits:
    """``lease_seconds``: how long a worker that was cut off keeps its job from another one."""

    records_per_batch: int = 200
    lease_seconds: float = 60.0
    fetch_lease_seconds: float = 900.0
    feed_bytes_max: int = 1024**3


@dataclass(slots=True)
class _Active:
    """The job in hand, with all that is only in memory."""

    job: HarvestJob
    source: HarvestSource
    feed: Feed
    diff: HarvestDiff = field(default_factory=HarvestDiff)
    is_read: bool = False


class _LostJobError(Exception):
    """Another worker has the job now."""


class HarvestWorker:
    """Recurring work: :meth:`run_once` does one portion of the oldest open job."""

    def __init__(
        self,
        store: Store,
        context: HarvestContext,
        feeds: FeedStorage,
        downloads: Downloads,
        directory_lag: DirectoryLag,
        metrics: Metrics,
        limits: HarvestLimits,
    ) -> None:
        self._store = store
        self._context = context
        self._feeds = feeds
        self._downloads = downloads
        self._directory_lag = directory_lag
        self._metrics = metrics
        self._limits = limits
        self._active: _Active | None = None
        self._own_job: UUID | None = None
        self._counted_job: UUID | None = None
        """The job whose present attempt is counted: a second try of a process that lives is none."""

    async def run_once(self) -> int:
        """Do one portion; return 0 when no job is open. Whatever is raised, the job can be taken up again."""
        try:
            if self._active is None:
                self._active = await self._begin()
                return 0 if self._active is None and self._own_job is None else 1
            return await self._portion(self._active)
        except (FeedError, FetchError) as error:
            await self._fail(str(error))
            return 1
        except _LostJobError:
            self._own_job = self._counted_job = None
            await self._drop()
            return 1
        except BaseException:
            # What is in memory may be ahead of what was committed: take the job up from the store.
            await self._drop()
            raise

    async def pending(self) -> int:
        """Jobs that still have work to do."""
        return await self._context.harvests.open_count()

    async def close(self) -> None:
        """Let go of the job in hand; it is taken up again at the next start."""
        await self._drop()
        if self._counted_job is not None and self._counted_job == self._own_job:
            with suppress(TransientError):
                await self._give_back(self._counted_job)
        self._own_job = self._counted_job = None

    async def _begin(self) -> _Active | None:
        """Claim a job, get its feed, check it from end to end, and read past what is done."""
        job = await self._claim()
        if job is None:
            self._own_job = None
            return None
        self._own_job = job.harvest_id
        job = await self._wait_for_directory(job)
        if self._counted_job != job.harvest_id:
            if job.attempts >= DEATHS_MAX:
                await self._park(job)
                return None
            # Written before anything of the feed is touched: a process that dies of it cannot say so.
            job = await self._save(job.begun())
            self._counted_job = job.harvest_id
        async with self._store.unit_of_work() as work:
            source = await self._context.harvests.source(work, job.source_id)
        if source is None:
            raise FeedError(f"The source {job.source_id!r} is gone. Start the harvest again.")
        if not self._feeds.path_of(job.harvest_id).exists():
            got = await (self._bring(job) if job.url is None else self._fetch(job, source))
            if got is None:
                self._own_job = self._counted_job = None
                return None
            job = got
        defaults = SourceDefaults(
            publisher_name=source.publisher_name,
            contact_name=source.contact_name,
            contact_email=source.contact_email,
            harvested_on=self._store.clock.now().date(),
        )
        feed = self._feeds.open(job.harvest_id, defaults)
        active = _Active(job, source, feed)
        try:
            if job.total is None:
                active.job = await self._save(replace(job, total=await feed.check()))
            while active.diff.position < job.processed:
                portion = min(self._limits.records_per_batch, job.processed - active.diff.position)
                active.diff.take(await feed.next_records(portion), {})
        except BaseException:
            await feed.close()
            raise
        return active

    async def _claim(self) -> HarvestJob | None:
        lease = timedelta(seconds=self._limits.lease_seconds)
        async with self._store.unit_of_work() as work:
            now = work.clock.now()
            job = None
            if self._own_job is not None:
                job = await self._context.harvests.job(work, self._own_job)
                job = job if job is not None and job.status == "running" else None
            job = job or await self._context.harvests.next_job(work, now)
            if job is None:
                return None
            is_first = not await self._context.harvests.has_completed(work, job.source_id)
            job = job.claimed(now, lease, first_harvest=is_first)
            await self._context.harvests.put_job(work, job)
        return job

    async def _wait_for_directory(self, job: HarvestJob) -> HarvestJob:
        """Wait a moment for what the directory told; in vain, tell the job so and raise ``NotReadyError``.

        The work then tries again by itself.
        """
        for _ in range(DIRECTORY_LOOKS_MAX):
            pending = await self._directory_lag.pending_changes()
            if not pending:
                return job if job.message is None else await self._save(replace(job, message=None))
            await asyncio.sleep(DIRECTORY_LOOK_SECONDS)
        message = (
            "Waits until the catalogue knows all that was told of agencies and stewardships, "
            f"which say who may see what. Changes to come: {pending:,}."
        )
        if job.message != message:
            await self._save(replace(job, message=message))
        raise NotReadyError(f"{pending:,} changes of the directory", patience=None)

    async def _bring(self, job: HarvestJob) -> HarvestJob:
        """Have a feed here that another process received."""
        await self._lengthen(job)
        await self._feeds.bring(job.harvest_id)
        lease = timedelta(seconds=self._limits.lease_seconds)
        return await self._save(replace(job, lease_until=self._store.clock.now() + lease))

    async def _fetch(self, job: HarvestJob, source: HarvestSource) -> HarvestJob | None:
        """Bring the feed here; None when its address says that it did not change, which ends the job."""
        await self._lengthen(job)
        is_known_address = source.url == job.url
        download = await self._downloads.fetch(
            job.url or "",
            self._feeds.path_of(job.harvest_id),
            size_bytes_max=self._limits.feed_bytes_max,
            etag=source.etag if is_known_address else None,
            last_modified=source.last_modified if is_known_address else None,
        )
        if download.is_new:
            return await self._save(replace(job, etag=download.etag, last_modified=download.last_modified))
        async with self._store.unit_of_work() as work:
            live = await self._context.datasets.datasets.live_identifiers(work, job.source_id)
            counts = HarvestCounts(unchanged=len(live))
            job = replace(job, counts=counts, known=len(live), missing=0, processed=0, total=0)
            await self._complete(work, job, replace(source, url=job.url))
        return None

    async def _lengthen(self, job: HarvestJob) -> None:
        """Hold the job for as long as getting its feed may take."""
        lease = timedelta(seconds=self._limits.fetch_lease_seconds)
        await self._save(replace(job, lease_until=self._store.clock.now() + lease))

    async def _portion(self, active: _Active) -> int:
        if not active.is_read:
            records = await active.feed.next_records(self._limits.records_per_batch)
            if records:
                await self._take(active, records)
                return len(records)
            active.is_read = True
        return await self._end(active)

    async def _take(self, active: _Active, records: Sequence[ParsedRecord | RejectedRecord]) -> None:
        """Apply one batch: rows, events and the job's progress are one transaction."""
        async with self._store.unit_of_work() as work:
            await self._check_held(work, active.job)
            identifiers = {record.identifier for record in records if record.identifier is not None}
            known = await self._context.datasets.datasets.known(work, active.job.source_id, identifiers)
            plan = active.diff.take(records, known)
            done = await apply_batch(work, self._context, active.job, active.source, plan)
            job = replace(
                active.job,
                processed=active.job.processed + len(records),
                counts=active.job.counts.plus(done),
                attempts=1,
                lease_until=work.clock.now() + timedelta(seconds=self._limits.lease_seconds),
            )
            await self._context.harvests.put_job(work, job, done.rejected)
        active.job = job
        self._count("created", len(done.created))
        self._count("changed", len(done.changed))
        self._count("unchanged", done.unchanged)
        self._count("rejected", len(done.rejected))

    async def _end(self, active: _Active) -> int:
        """Hold the job, retire a portion of what is missing, or complete it."""
        retired = 0
        async with self._store.unit_of_work() as work:
            await self._check_held(work, active.job)
            end = active.diff.end(
                await self._context.datasets.datasets.live_identifiers(work, active.job.source_id)
            )
            job = active.job
            if job.known is None:
                job = replace(job, known=end.known, missing=len(end.missing))
            if end.held and not job.confirmed:
                await self._hold(work, job)
            elif end.missing:
                portion = end.missing[: self._limits.records_per_batch]
                retired = await retire_missing(work, self._context, job, portion)
                job = replace(
                    job,
                    counts=replace(job.counts, retired=job.counts.retired + retired),
                    attempts=1,
                    lease_until=work.clock.now() + timedelta(seconds=self._limits.lease_seconds),
                )
                await self._context.harvests.put_job(work, job)
            else:
                await self._complete(work, job, active.source)
        active.job = job
        self._count("retired", retired)
        if not retired:
            await self._let_go(keep_feed=end.held and not job.confirmed)
        return 1

    async def _check_held(self, work: UnitOfWork, job: HarvestJob) -> None:
        """Raise ``_LostJobError`` if another worker took the job over while this one was slow."""
        present = await self._context.harvests.job(work, job.harvest_id)
        if present is None or present.status != "running" or present.lease_until != job.lease_until:
            raise _LostJobError

    async def _hold(self, work: UnitOfWork, job: HarvestJob) -> None:
        message = (
            f"The feed lacks {job.missing:,} of the {job.known:,} datasets known from this source. "
            "Nothing was retired. Confirm if they are really gone; else mend the feed and harvest it again, "
            "or, if it is another feed, harvest it with a source of its own."
        )
        await self._context.harvests.put_job(work, job.ended("held", work.clock.now(), message))
        held = HarvestHeld(
            harvest_id=job.harvest_id,
            source_id=job.source_id,
            known=job.known or 0,
            missing=job.missing or 0,
        )
        work.emit(HARVEST_HELD, held, subject=str(job.harvest_id))

    async def _complete(self, work: UnitOfWork, job: HarvestJob, source: HarvestSource) -> None:
        now = work.clock.now()
        await self._context.harvests.put_job(work, job.ended("completed", now))
        if job.url is not None and (job.etag or job.last_modified):
            source = replace(source, url=job.url, etag=job.etag, last_modified=job.last_modified)
            await self._context.harvests.put_source(work, source)
        told = await self._context.harvests.rejections(work, job.harvest_id, REJECTIONS_TOLD_MAX)
        counts = job.counts
        completed = HarvestCompleted(
            harvest_id=job.harvest_id,
            source_id=job.source_id,
            first_harvest=job.first_harvest,
            created=counts.created,
            changed=counts.changed,
            unchanged=counts.unchanged,
            retired=counts.retired,
            rejected=counts.rejected,
            rejections=told,
            started_at=job.started_at or now,
            completed_at=now,
        )
        work.emit(HARVEST_COMPLETED, completed, subject=str(job.harvest_id))

    async def _fail(self, message: str) -> None:
        """End the job in hand with the reason. What its earlier batches kept stays."""
        if self._own_job is None:
            return
        async with self._store.unit_of_work() as work:
            job = await self._context.harvests.job(work, self._own_job)
            if job is not None:
                await self._context.harvests.put_job(work, job.ended("failed", work.clock.now(), message))
        await self._let_go(keep_feed=False)

    async def _park(self, job: HarvestJob) -> None:
        """Put a job aside on which processes died. Its feed is kept, for who looks into it."""
        async with self._store.unit_of_work() as work:
            await self._context.harvests.put_job(work, job.ended("parked", work.clock.now(), PARKED_BECAUSE))
            work.after_commit(self._context.wake_harvesting)
        self._own_job = self._counted_job = None
        logger.error("harvest parked", harvest_id=str(job.harvest_id), source_id=job.source_id)

    async def _give_back(self, harvest_id: UUID) -> None:
        """Let another process begin with the job, and not count this one's attempt."""
        async with self._store.unit_of_work() as work:
            job = await self._context.harvests.job(work, harvest_id)
            if job is not None and job.status == "running":
                await self._context.harvests.put_job(work, job.given_back())

    async def _save(self, job: HarvestJob) -> HarvestJob:
        async with self._store.unit_of_work() as work:
            await self._context.harvests.put_job(work, job)
        return job

    async def _let_go(self, *, keep_feed: bool) -> None:
        """The job has ended: close its feed, and forget it unless it waits for a confirmation."""
        harvest_id, self._own_job = self._own_job, None
        self._counted_job = None
        await self._drop()
        if harvest_id is not None and not keep_feed:
            await self._feeds.remove(harvest_id)

    async def _drop(self) -> None:
        active, self._active = self._active, None
        if active is not None:
            await active.feed.close()

    def _count(self, outcome: str, number: int) -> None:
        if number:
            self._metrics.count("nutmeg_harvest_records_total", number, outcome=outcome)
