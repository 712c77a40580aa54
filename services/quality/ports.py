"""What quality needs from outside, named for its role."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, Protocol
from uuid import UUID

from services.quality.domain.alerts import Alert, AlertKey
from services.quality.domain.freshness import BusinessCalendar
from services.quality.domain.profile import Profile
from services.quality.domain.standing import FileStanding, Standing
from shared.clock import Clock
from shared.datasets.read_model import KnownDatasets
from shared.events.quality import Measurement
from shared.identity.principals import Principals
from shared.store.unit_of_work import UnitOfWork


class ProfileError(Exception):
    """A file could not be profiled. The message names the cause and the cure; it is fit for a steward."""


class UnreadableDataError(ProfileError):
    """The file is not a table that can be read: wrong format, damaged, or larger than the limits allow."""


class ProfileTimeoutError(ProfileError):
    """Profiling took longer than ``timeout_seconds``; the process was killed."""


class ProfileMemoryError(ProfileError):
    """Profiling needed more than ``memory_mb``; the process was ended."""


class ProfilerUnavailableError(Exception):
    """The profiler itself cannot work (its process does not start). Not the file's fault: try again later."""


@dataclass(frozen=True, slots=True)
class ProfileLimits:
    """Bounds of one profile. ``size_bytes_max`` holds for the file, and again for it when decompressed."""

    memory_mb: int = 512
    timeout_seconds: float = 60.0
    rows_max: int = 1_000_000
    columns_max: int = 1_000
    size_bytes_max: int = 512 * 1024 * 1024

    def __post_init__(self) -> None:
        for name in ("memory_mb", "timeout_seconds", "rows_max", "columns_max", "size_bytes_max"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: must be above zero")


class Profiler(Protocol):
    """Looks into a data file without trusting it."""

    async def profile(
        self, source: Path | bytes, media_type: str | None, limits: ProfileLimits = ...
    ) -> Profile:
        """Profile one CSV, JSON or Parquet file, gzip-compressed or not.

        ``media_type`` is what the publisher says; the first bytes of the file decide where they disagree.

        Raises:
            UnreadableDataError, ProfileTimeoutError, ProfileMemoryError: the file is at fault.
            ProfilerUnavailableError: the profiler is.
        """

    async def close(self) -> None:
        """End the process of the profiler, if one runs."""


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A data file on this machine, for the time of one block. ``path`` is None when the source says that
    it did not change since the tags that were sent."""

    path: Path | None
    media_type: str | None
    etag: str | None
    last_modified: str | None


class FetchFailedError(Exception):
    """A file could not be had. The message is for a steward.

    ``is_link_broken``: the address leads nowhere (gone, no such host, refused). ``is_permanent``: trying
    again without a change is of no use.
    """

    def __init__(self, message: str, *, is_link_broken: bool = False, is_permanent: bool = False) -> None:
        super().__init__(message)
        self.is_link_broken = is_link_broken
        self.is_permanent = is_permanent


class DataSource(Protocol):
    """Gets data files from the addresses that publishers give."""

    def fetch(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> AbstractAsyncContextManager[FetchedFile]:
        """Fetch a file; with tags, only if it changed. Raises ``FetchFailedError``."""
        ...

    async def sha256(self, path: Path) -> str:
        """Return the hash of a file, in hexadecimal."""
        ...


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
class Recorded:
    """The latest measurement of one kind; None once it was withdrawn. ``version`` never falls."""

    measurement: Measurement | None
    version: int


@dataclass(frozen=True, slots=True)
class FirstHarvest:
    """A first harvest that is over, and not summarised yet."""

    harvest_id: UUID
    datasets: int
    completed_at: datetime


class Standings(Protocol):
    """Keeps what is remembered of each dataset, and of its file."""

    async def of(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> dict[UUID, Standing]:
        """Return the standings that there are, their rows locked."""
        ...

    async def put(self, work: UnitOfWork, standings: Sequence[Standing]) -> None: ...

    async def due(self, work: UnitOfWork, now: datetime, count_max: int) -> list[UUID]:
        """Return datasets whose status can have changed by time alone."""
        ...

    async def files_of(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> dict[UUID, FileStanding]: ...

    async def put_file(self, work: UnitOfWork, dataset_id: UUID, file: FileStanding) -> None: ...

    async def forget_files(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> None: ...

    async def forget(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> None:
        """Remove datasets whose record has ended, with their files and jobs."""
        ...


class MeasurementBook(Protocol):
    """Keeps the latest measurements with their versions, and the history."""

    async def of(
        self, work: UnitOfWork, dataset_ids: Collection[UUID]
    ) -> dict[tuple[UUID, str], Recorded]: ...

    async def put(self, work: UnitOfWork, rows: Sequence[tuple[Measurement, int]]) -> None:
        """Write latest measurements and add a line of history for each."""
        ...

    async def withdraw(self, work: UnitOfWork, keys: Mapping[tuple[UUID, str], int]) -> None:
        """Empty these measurements; the value is the version of the withdrawal."""
        ...

    async def prune_history(self, work: UnitOfWork, before: datetime) -> None: ...


class AlertBook(Protocol):
    """Keeps alerts."""

    async def of(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> dict[UUID, dict[AlertKey, Alert]]:
        """Return every alert of the datasets, their rows locked."""
        ...

    async def find(self, work: UnitOfWork, alert_ids: Collection[UUID]) -> dict[UUID, Alert]:
        """Return these alerts, their rows locked."""
        ...

    async def put(self, work: UnitOfWork, alerts: Sequence[Alert]) -> None: ...

    async def to_end(self, work: UnitOfWork, resolved_before: datetime, count_max: int) -> list[Alert]:
        """Return alerts resolved before then, whose key was not ended yet."""
        ...

    async def mark_ended(self, work: UnitOfWork, alerts: Sequence[Alert]) -> None:
        """Remember that the keys were ended, and at which versions."""
        ...


class JobBook(Protocol):
    """Keeps profile jobs. A lease makes sure that one run at a time works on a job, and none for ever."""

    async def request(self, work: UnitOfWork, wanted: Mapping[UUID, tuple[str, str | None]]) -> None:
        """Ask for datasets' files to be looked at now: dataset id → (url, media type)."""
        ...

    async def cancel(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> None: ...

    async def lease(
        self, work: UnitOfWork, now: datetime, *, until: datetime, count_max: int
    ) -> list[ProfileJob]:
        """Take due jobs that nobody holds, counting the attempt before it begins."""
        ...

    async def release_leases(self, work: UnitOfWork) -> None:
        """Give up every lease: for the start of a process that knows itself to be the only worker."""
        ...

    async def leased(self, work: UnitOfWork) -> Mapping[UUID, datetime]:
        """Return the jobs that are leased, and until when."""
        ...

    async def free(self, work: UnitOfWork, leases: Mapping[UUID, datetime]) -> int:
        """End these leases, as far as they still are what they were; return how many. Their jobs are due."""
        ...

    async def hold(self, work: UnitOfWork, job: ProfileJob) -> Hold:
        """Lock the job, and tell how the run that leased ``job`` stands to it."""
        ...

    async def finish(self, work: UnitOfWork, job: ProfileJob) -> None:
        """Write the job's new state and give the lease back."""
        ...

    async def uncount(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> None:
        """Take back that attempts began: their process lives, and could not end them."""
        ...

    async def release(self, work: UnitOfWork, dataset_id: UUID) -> bool:
        """Make a parked job due, as if nobody had tried it; false if there is none."""
        ...

    async def give_back(self, work: UnitOfWork, job: ProfileJob) -> None:
        """Give the lease back after the request changed under way; it is due at once."""
        ...


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


class HarvestBook(Protocol):
    """Keeps first harvests until they are summarised."""

    async def note_completed(self, work: UnitOfWork, harvests: Sequence[FirstHarvest]) -> None: ...

    async def ready(self, work: UnitOfWork, *, waited_since: datetime) -> list[FirstHarvest]:
        """Return those whose datasets are all measured, or that have waited since then."""
        ...

    async def dataset_ids(self, work: UnitOfWork, harvest_id: UUID) -> list[UUID]:
        """Return the measured datasets of a harvest that are not retired."""
        ...

    async def mark_summarised(self, work: UnitOfWork, harvest_id: UUID) -> None: ...


class Meter(Protocol):
    """Counts measurements and alerts for operators."""

    def measured(self, kind: str, outcome: str) -> None:
        """Count one. ``outcome``: told or same; for a file: profiled, unchanged, unreadable, link-broken,
        failed."""
        ...

    def alert(self, kind: str, change: str) -> None:
        """Count one change of an alert: opened, resolved, or what else changed about it."""
        ...


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


@dataclass(slots=True)
class Wakers:
    """Wakes recurring work early. The runner puts the functions in when it starts."""

    _functions: dict[str, Callable[[], None]] = field(default_factory=dict)

    def register(self, name: str) -> Callable[[Callable[[], None]], None]:
        """Return what :class:`shared.jobs.recurring_work.RecurringWork` takes as ``on_wake``."""

        def take(wake: Callable[[], None]) -> None:
            self._functions[name] = wake

        return take

    def wake(self, name: str) -> None:
        """Wake one piece of work; nothing happens where it does not run."""
        if name in self._functions:
            self._functions[name]()


@dataclass(frozen=True, slots=True)
class QualityPorts:
    """Everything the handlers and commands are given."""

    clock: Clock
    datasets: KnownDatasets
    principals: Principals
    standings: Standings
    measurements: MeasurementBook
    alerts: AlertBook
    jobs: JobBook
    holds: JobHolds
    harvests: HarvestBook
    source: DataSource
    profiler: Profiler
    meter: Meter
    limits: ProfileLimits = field(default_factory=ProfileLimits)
    rules: ProfilingRules = field(default_factory=ProfilingRules)
    calendar: BusinessCalendar = field(default_factory=BusinessCalendar)
    baseline_wait: timedelta = timedelta(minutes=15)
    wakers: Wakers = field(default_factory=Wakers)
