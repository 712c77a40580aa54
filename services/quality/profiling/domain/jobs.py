"""Profile jobs: what a run found, what follows from a failure, and whose runs are alive. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID

from services.quality.profiling.domain.profile import Profile

__all__ = [
    "FileOutcome",
    "Hold",
    "JobHolds",
    "JobState",
    "KnownFile",
    "LinkBroken",
    "ProfileJob",
    "Profiled",
    "ProfilingFailure",
    "ProfilingRules",
    "Unchanged",
    "Unreadable",
    "after_failure",
    "finished_job",
]

JobState = Literal["waiting", "done", "failed", "parked"]


@dataclass(frozen=True, slots=True)
class ProfileJob:
    """The one job of a dataset: fetch its file and look into it.

    ``revision`` rises with every request, so that a run knows whether what it did is still what is asked.
    ``next_attempt_at`` None: nothing is due. ``attempts`` and ``link_failures`` count since the request;
    ``unended_attempts`` those in a row, the present one with them, that no process ended.
    """

    dataset_id: UUID
    url: str
    media_type: str | None
    revision: int
    state: JobState
    attempts: int
    link_failures: int
    requested_at: datetime
    next_attempt_at: datetime | None
    reason: str | None = None
    finished_at: datetime | None = None
    leased_until: datetime | None = None
    unended_attempts: int = 0


Hold = Literal["held", "asked-again", "lost"]
"""Of a run on its job: still the one that finishes it; overtaken by a new request; or no longer its own."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """What is known of the file that was read last: it makes a fetch conditional."""

    url: str | None
    etag: str | None
    last_modified: str | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class LinkBroken:
    """The file could not be had, often enough to believe it. ``reason`` is a whole sentence."""

    url: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The file came and cannot be read as a table. ``reason`` is a whole sentence."""

    reason: str


@dataclass(frozen=True, slots=True)
class Profiled:
    """The file was read. The last three make the next fetch conditional."""

    profile: Profile
    url: str
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The file is the one that was profiled last."""


FileOutcome = LinkBroken | Unreadable | Unchanged | Profiled


@dataclass(frozen=True, slots=True)
class ProfilingFailure:
    """A run without a result. ``reason`` is a whole sentence."""

    reason: str
    is_link_broken: bool = False
    is_permanent: bool = False
    is_parked: bool = False


@dataclass(frozen=True, slots=True)
class ProfilingRules:
    """When a fetch is tried again, and when a link is called broken."""

    jobs_at_once_max: int = 4
    lease: timedelta = timedelta(minutes=5)
    attempts_max: int = 6
    retry_first: timedelta = timedelta(seconds=30)
    retry_max: timedelta = timedelta(hours=6)
    link_failures_min: int = 2
    link_recheck: timedelta = timedelta(hours=6)


def after_failure(
    job: ProfileJob, failure: ProfilingFailure, rules: ProfilingRules, now: datetime
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


def finished_job(
    job: ProfileJob, result: FileOutcome | ProfilingFailure, rules: ProfilingRules, now: datetime
) -> tuple[ProfileJob, FileOutcome | None]:
    """Return the job as it ends now, and what the file turned out to be, if that is known."""
    if isinstance(result, ProfilingFailure):
        return after_failure(job, result, rules, now)
    ended = replace(job, link_failures=0, finished_at=now, next_attempt_at=None, state="done", reason=None)
    if isinstance(result, Unreadable):
        ended = replace(ended, state="failed", reason=result.reason)
    return ended, result


class JobHolds(Protocol):
    """Tells whose runs are alive: a lease alone keeps a dead process's jobs as long as a run may take."""

    async def take(self, dataset_ids: Collection[UUID]) -> None:
        """Tell that these jobs are run here, before others can see that they are leased."""
        ...

    async def let_go(self, dataset_ids: Collection[UUID]) -> None:
        """Tell that they are run here no more."""
        ...

    async def abandoned(self, dataset_ids: Collection[UUID]) -> list[UUID]:
        """Return those leased jobs that no process runs."""
        ...

    async def close(self) -> None:
        """Let everything go. Idempotent."""
        ...
