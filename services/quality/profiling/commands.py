"""Commands of profiling: ask for files to be looked into, and do the jobs that are due.

Nothing is held open while a file is fetched: a run leases its jobs, works, and writes what it found in a
second transaction, if the job is still its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID

import structlog

from services.quality.profiling.domain.files import (
    DataSource,
    FetchFailedError,
    ProfileError,
    ProfileLimits,
    Profiler,
    ProfilerUnavailableError,
    UnreadableDataError,
)
from services.quality.profiling.domain.jobs import (
    FileOutcome,
    JobHolds,
    KnownFile,
    LinkBroken,
    Profiled,
    ProfileJob,
    ProfilingFailure,
    ProfilingRules,
    Unchanged,
    Unreadable,
    finished_job,
)
from services.quality.profiling.repository.jobs import ProfileJobRepository
from shared.clock import Clock
from shared.errors import TransientError
from shared.jobs.parking import DEATHS_MAX, PARKED_BECAUSE
from shared.jobs.wake_signal import WakeSignal
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork
from shared.telemetry.metrics import Metrics

__all__ = [
    "PROFILE_WORK",
    "KnownFiles",
    "OutcomeRecorder",
    "Profiling",
    "cancel_profiles",
    "free_abandoned_jobs",
    "release_leases",
    "release_parked_job",
    "request_profiles",
    "run_profile_jobs",
]

_log = structlog.get_logger(__name__)

PROFILE_WORK = "quality.profile"
_OUTCOMES: dict[type[FileOutcome | ProfilingFailure], str] = {
    Profiled: "profiled",
    Unchanged: "unchanged",
    Unreadable: "unreadable",
    LinkBroken: "link-broken",
    ProfilingFailure: "failed",
}

KnownFiles: TypeAlias = Callable[[UnitOfWork, Collection[UUID]], Awaitable[Mapping[UUID, KnownFile]]]
"""Tells what is known of datasets' files, by dataset id; files that were never read are left out."""
OutcomeRecorder: TypeAlias = Callable[[UnitOfWork, UUID, FileOutcome | None], Awaitable[bool]]
"""Keeps what became of a dataset's file, if anything did; false if nothing is to be read of it any more."""


@dataclass(frozen=True, slots=True)
class Profiling:
    """What the commands of profiling work with."""

    clock: Clock
    jobs: ProfileJobRepository
    holds: JobHolds
    source: DataSource
    profiler: Profiler
    metrics: Metrics
    limits: ProfileLimits = field(default_factory=ProfileLimits)
    rules: ProfilingRules = field(default_factory=ProfilingRules)
    wake_signal: WakeSignal = field(default_factory=WakeSignal)


async def request_profiles(
    work: UnitOfWork, profiling: Profiling, files: Mapping[UUID, tuple[str, str | None]]
) -> None:
    """Ask for datasets' files to be looked into now: dataset id → (url, media type)."""
    if files:
        await profiling.jobs.request(work, files)
        work.after_commit(profiling.wake_signal.wake)


async def cancel_profiles(work: UnitOfWork, profiling: Profiling, dataset_ids: Collection[UUID]) -> None:
    """Look into these datasets' files no more."""
    await profiling.jobs.cancel(work, dataset_ids)


async def release_leases(work: UnitOfWork, profiling: Profiling) -> None:
    """Give up every lease: for the start of a process that knows itself to be the only worker."""
    await profiling.jobs.release_leases(work)


async def release_parked_job(store: Store, profiling: Profiling, dataset_id: UUID) -> bool:
    """Make a parked job due, as if nobody had tried it; false if there is none."""
    async with store.unit_of_work() as work:
        is_released = await profiling.jobs.release(work, dataset_id)
        if is_released:
            work.after_commit(profiling.wake_signal.wake)
    return is_released


async def run_profile_jobs(
    store: Store, profiling: Profiling, *, known_files: KnownFiles, record: OutcomeRecorder
) -> int:
    """Do the jobs that are due, a few at once; return how many were worked on."""
    now = profiling.clock.now()
    async with store.unit_of_work() as work:
        jobs = await profiling.jobs.lease(
            work, now, until=now + profiling.rules.lease, count_max=profiling.rules.jobs_at_once_max
        )
        ids = [job.dataset_id for job in jobs]
        files = await known_files(work, ids)
        # Before the leases are committed: a lease that nobody holds is a dead process's.
        await profiling.holds.take(ids)
    try:
        await _all_of([_run(store, profiling, job, files.get(job.dataset_id), record) for job in jobs])
    except BaseException:
        # This process lives, so that no death may be counted; with the store away, the next success does.
        with suppress(TransientError):
            async with store.unit_of_work() as work:
                await profiling.jobs.uncount(work, ids)
        raise
    finally:
        await profiling.holds.let_go(ids)
    return len(jobs)


async def free_abandoned_jobs(store: Store, profiling: Profiling) -> int:
    """Make the jobs of processes that died due again, and return how many those were."""
    async with store.unit_of_work() as work:
        leases = await profiling.jobs.leased(work)
        abandoned = await profiling.holds.abandoned(leases)
        freed = await profiling.jobs.free(work, {dataset_id: leases[dataset_id] for dataset_id in abandoned})
        if freed:
            _log.warning("profile_jobs_taken_over", jobs=freed)
            work.after_commit(profiling.wake_signal.wake)
    return freed


async def _all_of(runs: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Let each come to its end, then raise what the first of them raised that did."""
    for result in await asyncio.gather(*runs, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


async def _run(
    store: Store, profiling: Profiling, job: ProfileJob, file: KnownFile | None, record: OutcomeRecorder
) -> None:
    if job.unended_attempts > DEATHS_MAX:
        # The present attempt is counted too, and touches nothing of the file.
        result: FileOutcome | ProfilingFailure = ProfilingFailure(PARKED_BECAUSE, is_parked=True)
        _log.error("profile_job_parked", dataset_id=str(job.dataset_id), url=job.url)
    else:
        is_known = file is not None and file.url == job.url and file.sha256 is not None
        result = await _look(profiling, job, file if is_known else None)
    async with store.unit_of_work() as work:
        hold = await profiling.jobs.hold(work, job)
        if hold == "lost":
            return
        if hold == "asked-again":
            await profiling.jobs.give_back(work, job)
            work.after_commit(profiling.wake_signal.wake)
            return
        finished, outcome = finished_job(job, result, profiling.rules, profiling.clock.now())
        if not await record(work, job.dataset_id, outcome):
            # It was withdrawn or closed while we read it: nothing of it is kept.
            await profiling.jobs.cancel(work, [job.dataset_id])
            return
        await profiling.jobs.finish(work, finished)
        word = _OUTCOMES[type(outcome or result)]
        work.after_commit(
            lambda: profiling.metrics.count("nutmeg_quality_measurements_total", kind="file", outcome=word)
        )


async def _look(
    profiling: Profiling, job: ProfileJob, known: KnownFile | None
) -> FileOutcome | ProfilingFailure:
    try:
        async with (
            asyncio.timeout((profiling.rules.lease - timedelta(seconds=1)).total_seconds()),
            profiling.source.fetch(
                job.url,
                etag=known.etag if known else None,
                last_modified=known.last_modified if known else None,
            ) as fetched,
        ):
            if fetched.path is None:
                return Unchanged()
            if known is not None and await profiling.source.sha256(fetched.path) == known.sha256:
                return Unchanged()
            media_type = fetched.media_type or job.media_type
            profile = await profiling.profiler.profile(fetched.path, media_type, profiling.limits)
            return Profiled(profile, job.url, fetched.etag, fetched.last_modified)
    except FetchFailedError as error:
        return ProfilingFailure(
            str(error), is_link_broken=error.is_link_broken, is_permanent=error.is_permanent
        )
    except UnreadableDataError as error:
        return Unreadable(str(error))
    except ProfileError as error:
        return ProfilingFailure(str(error), is_permanent=True)
    except ProfilerUnavailableError as error:
        _log.warning("profiler_unavailable", error=str(error))
        return ProfilingFailure("The profiler was not available; we try again.")
    except TimeoutError:
        return ProfilingFailure("Fetching and reading the file took too long; we try again.")
    except TransientError:
        raise
    except Exception:  # noqa: BLE001 - one job must not end the others, whatever its file does
        _log.exception("profile_job_failed", dataset_id=str(job.dataset_id))
        return ProfilingFailure(
            "The file could not be looked at because of an error on our side; we try again."
        )
