"""Run profile jobs: fetch a file, look into it, compare it with its baseline.

Nothing is held open while a file is fetched: a run leases its jobs, works, and writes what it found in a
second transaction, if the job is still its own.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from services.quality.commands.dataset_batch import load_batch
from services.quality.commands.measuring import PROFILE_WORK
from services.quality.domain.rounds import (
    FileOutcome,
    LinkBroken,
    Profiled,
    Unchanged,
    Unreadable,
    measure_file,
)
from services.quality.domain.standing import FileStanding, profiled_distribution
from services.quality.ports import (
    FetchFailedError,
    ProfileError,
    ProfileJob,
    ProfilerUnavailableError,
    ProfilingRules,
    QualityPorts,
    UnreadableDataError,
)
from shared.errors import TransientError
from shared.jobs.parking import DEATHS_MAX, PARKED_BECAUSE
from shared.store.engine import Store

__all__ = ["Failure", "after_failure", "free_abandoned_jobs", "run_profile_jobs"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """A run without a result. ``reason`` is a whole sentence."""

    reason: str
    is_link_broken: bool = False
    is_permanent: bool = False
    is_parked: bool = False


_OUTCOMES: dict[type[FileOutcome | Failure], str] = {
    Profiled: "profiled",
    Unchanged: "unchanged",
    Unreadable: "unreadable",
    LinkBroken: "link-broken",
    Failure: "failed",
}


async def run_profile_jobs(store: Store, ports: QualityPorts) -> int:
    """Do the jobs that are due, a few at once; return how many were worked on."""
    now = ports.clock.now()
    async with store.unit_of_work() as work:
        jobs = await ports.jobs.lease(
            work, now, until=now + ports.rules.lease, count_max=ports.rules.jobs_at_once_max
        )
        ids = [job.dataset_id for job in jobs]
        files = await ports.standings.files_of(work, ids)
        # Before the leases are committed: a lease that nobody holds is a dead process's.
        await ports.holds.take(ids)
    try:
        await _all_of([_run(store, ports, job, files.get(job.dataset_id)) for job in jobs])
    except BaseException:
        # This process lives, so that no death may be counted; with the store away, the next success does.
        with suppress(TransientError):
            async with store.unit_of_work() as work:
                await ports.jobs.uncount(work, ids)
        raise
    finally:
        await ports.holds.let_go(ids)
    return len(jobs)


async def _all_of(runs: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Let each come to its end, then raise what the first of them raised that did."""
    for result in await asyncio.gather(*runs, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


async def free_abandoned_jobs(store: Store, ports: QualityPorts) -> int:
    """Make the jobs of processes that died due again, and return how many those were."""
    async with store.unit_of_work() as work:
        leases = await ports.jobs.leased(work)
        abandoned = await ports.holds.abandoned(leases)
        freed = await ports.jobs.free(work, {dataset_id: leases[dataset_id] for dataset_id in abandoned})
        if freed:
            _log.warning("profile_jobs_taken_over", jobs=freed)
            work.after_commit(lambda: ports.wakers.wake(PROFILE_WORK))
    return freed


def after_failure(
    job: ProfileJob, failure: Failure, rules: ProfilingRules, now: datetime
) -> tuple[ProfileJob, LinkBroken | None]:
    """Decide what follows: another try, an end with the reason, or the finding that the link is broken.

    A broken link is looked at again from time to time, so that its repair is noticed.
    A parked job waits for an operator.
    """
    ended = replace(job, state="failed", reason=failure.reason, finished_at=now, next_attempt_at=None)
    if failure.is_parked:
        return replace(ended, state="parked"), None
    if failure.is_link_broken:
        failures = job.link_failures + 1
        if failures < rules.link_failures_min:
            again = replace(job, state="waiting", reason=failure.reason, link_failures=failures)
            return replace(again, next_attempt_at=now + rules.retry_first), None
        recheck = replace(ended, link_failures=failures, attempts=0, next_attempt_at=now + rules.link_recheck)
        return recheck, LinkBroken(job.url, failure.reason)
    if failure.is_permanent or job.attempts >= rules.attempts_max:
        return ended, None
    pause = min(rules.retry_first * 2 ** (job.attempts - 1), rules.retry_max)
    return replace(job, state="waiting", reason=failure.reason, next_attempt_at=now + pause), None


async def _run(store: Store, ports: QualityPorts, job: ProfileJob, file: FileStanding | None) -> None:
    if job.unended_attempts > DEATHS_MAX:
        # The present attempt is counted too, and touches nothing of the file.
        result: FileOutcome | Failure = Failure(PARKED_BECAUSE, is_parked=True)
        _log.error("profile_job_parked", dataset_id=str(job.dataset_id), url=job.url)
    else:
        result = await _look(ports, job, file)
    async with store.unit_of_work() as work:
        hold = await ports.jobs.hold(work, job)
        if hold == "lost":
            return
        if hold == "asked-again":
            await ports.jobs.give_back(work, job)
            work.after_commit(lambda: ports.wakers.wake(PROFILE_WORK))
            return
        now = ports.clock.now()
        finished, outcome = _finished(job, result, ports.rules, now)
        batch = await load_batch(work, ports, [job.dataset_id])
        standing = batch.standings.get(job.dataset_id)
        if standing is None or profiled_distribution(standing) is None:
            # It was withdrawn or closed while we read it: nothing of it is kept.
            await ports.jobs.cancel(work, [job.dataset_id])
            return
        if outcome is not None:
            known = batch.files.get(job.dataset_id)
            alerts = batch.alerts_of(job.dataset_id)
            batch.take(measure_file(standing, known, alerts, outcome, now))
            batch.tell(job.dataset_id, now)
            await batch.save()
        await ports.jobs.finish(work, finished)
        work.after_commit(lambda: ports.meter.measured("file", _OUTCOMES[type(outcome or result)]))


def _finished(
    job: ProfileJob, result: FileOutcome | Failure, rules: ProfilingRules, now: datetime
) -> tuple[ProfileJob, FileOutcome | None]:
    if isinstance(result, Failure):
        return after_failure(job, result, rules, now)
    ended = replace(job, link_failures=0, finished_at=now, next_attempt_at=None, state="done", reason=None)
    if isinstance(result, Unreadable):
        ended = replace(ended, state="failed", reason=result.reason)
    return ended, result


async def _look(ports: QualityPorts, job: ProfileJob, file: FileStanding | None) -> FileOutcome | Failure:
    known = file if file is not None and file.url == job.url and file.latest is not None else None
    try:
        async with (
            asyncio.timeout((ports.rules.lease - timedelta(seconds=1)).total_seconds()),
            ports.source.fetch(
                job.url,
                etag=known.etag if known else None,
                last_modified=known.last_modified if known else None,
            ) as fetched,
        ):
            if fetched.path is None:
                return Unchanged()
            latest = known.latest if known else None
            is_same = latest is not None and await ports.source.sha256(fetched.path) == latest.sha256
            if is_same:
                return Unchanged()
            media_type = fetched.media_type or job.media_type
            profile = await ports.profiler.profile(fetched.path, media_type, ports.limits)
            return Profiled(profile, job.url, fetched.etag, fetched.last_modified)
    except FetchFailedError as error:
        return Failure(str(error), is_link_broken=error.is_link_broken, is_permanent=error.is_permanent)
    except UnreadableDataError as error:
        return Unreadable(str(error))
    except ProfileError as error:
        return Failure(str(error), is_permanent=True)
    except ProfilerUnavailableError as error:
        _log.warning("profiler_unavailable", error=str(error))
        return Failure("The profiler was not available; we try again.")
    except TimeoutError:
        return Failure("Fetching and reading the file took too long; we try again.")
    except TransientError:
        raise
    except Exception:  # noqa: BLE001 - one job must not end the others, whatever its file does
        _log.exception("profile_job_failed", dataset_id=str(job.dataset_id))
        return Failure("The file could not be looked at because of an error on our side; we try again.")
