"""Is it well? Everything an operator asks, in one reading: of the page, the API and the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from pydantic import BaseModel, Field

from services.host.observed_log import ObservedLog
from shared.clock import Clock
from shared.consuming.consumer_state import LoopState
from shared.consuming.dead_letters import DeadLetters
from shared.consuming.replays import ReplayState
from shared.consuming.waiting_events import WaitingRecords
from shared.errors import NotFoundError
from shared.http.local_clients import UNANNOUNCED_PROXY
from shared.jobs.parking import JobQueue
from shared.store.engine import Store
from shared.store.health import StorageHealth
from shared.telemetry.metrics import Metrics

__all__ = [
    "ConsumerHealth",
    "DeadLetterCounts",
    "LabelledCount",
    "LossReading",
    "Operated",
    "OperationsStatus",
    "OutboxHealth",
    "ParkedJobHealth",
    "Readings",
    "StorageReading",
    "WaitingHealth",
    "WorkHealth",
    "measure_dead_letters",
    "operations_status",
    "release_parked_job",
    "set_storage_gauges",
    "waiting_of",
]

LAG_SECONDS_WARN = 30.0
PARKED_JOBS_SHOWN = 100
OUTBOX_SECONDS_WARN = 10.0
WAITING_SECONDS_WARN = 900.0
WAITING_SHOWN_MAX = 20


class ConsumerHealth(BaseModel):
    """One consumer group. ``cause`` says why it does not run; ``handled`` is null where others count it."""

    service: str
    group: str
    state: str
    cause: str | None
    lag_records: int
    lag_seconds: float
    handled: int | None
    waiting_records: int = 0
    waiting_seconds: float = 0.0
    """How many records are set aside until data that they need is here, and since when the oldest is."""


class WaitingHealth(BaseModel):
    """One record that is set aside. ``deadline`` is null while it waits behind another of its key."""

    group: str
    topic: str
    key: str
    waits_for: str
    since: datetime
    next_try: datetime
    deadline: datetime | None
    attempts: int


class OutboxHealth(BaseModel):
    """Events that a service has committed and the log has not got yet."""

    service: str
    records: int
    oldest_age_seconds: float
    cause: str | None


class WorkHealth(BaseModel):
    """A piece of recurring work since the start.

    ``pending`` is null while it cannot be counted; the others are where only its own process knows.
    """

    service: str
    name: str
    runs: int | None
    failures: int | None
    done: int | None
    pending: int | None
    last_error: str | None


class ParkedJobHealth(BaseModel):
    """A job that no process takes up by itself, because two in a row died on it."""

    service: str
    queue: str
    job_id: UUID
    subject: str
    reason: str
    parked_at: datetime


class LossReading(BaseModel):
    """What an operator decided to go on without: events by topic, or words for what the log has lost."""

    at: datetime
    by: str
    reason: str
    events: dict[str, int]
    of_the_log: list[str]
    read_again: list[str]
    sent_again: int


class StorageReading(BaseModel):
    """The event log or a service's database. ``intact`` is null for what is no file of this installation."""

    name: str
    writable: bool
    intact: bool | None
    checked_at: datetime | None
    causes: list[str]
    accepted_losses: list[LossReading]


class DeadLetterCounts(BaseModel):
    """Dead letters by what became of them."""

    open: int
    requested: int
    failed: int
    replayed: int
    superseded: int
    discarded: int


class LabelledCount(BaseModel):
    """One series of a metric."""

    labels: dict[str, str]
    value: float


class OperationsStatus(BaseModel):
    """``status`` is ok or attention.

    ``causes`` say in words what needs a person, ``notices`` what an operator may want to set.
    """

    status: Literal["ok", "attention"]
    causes: list[str]
    notices: list[str] = []
    version: str
    now: datetime
    started_at: datetime
    consumers: list[ConsumerHealth]
    outboxes: list[OutboxHealth]
    works: list[WorkHealth]
    waiting: list[WaitingHealth]
    """The records that have waited longest, at most :data:`WAITING_SHOWN_MAX` of each group."""
    storages: list[StorageReading]
    dead_letters: DeadLetterCounts
    parked_jobs: list[ParkedJobHealth] = Field(description="The latest hundred of each queue.")
    parked_job_count: int
    index: list[LabelledCount]
    index_drift: list[LabelledCount]
    deliveries: list[LabelledCount]
    event_loop_delay_seconds: float


@dataclass(frozen=True, slots=True)
class Readings:
    """How consumers, outboxes, recurring work, the log and the databases do at one moment."""

    consumers: Sequence[ConsumerHealth]
    outboxes: Sequence[OutboxHealth]
    works: Sequence[WorkHealth]
    waiting: Sequence[WaitingHealth]
    storages: Sequence[StorageHealth]


class Operated(Protocol):
    """A whole installation, as an operator sees it: in one process, or as a cluster seen from outside."""

    @property
    def clock(self) -> Clock: ...

    @property
    def metrics(self) -> Metrics: ...

    @property
    def log(self) -> ObservedLog: ...

    @property
    def dead_letters(self) -> DeadLetters: ...

    @property
    def started_at(self) -> datetime: ...

    @property
    def groups(self) -> list[str]:
        """Every consumer group."""
        ...

    @property
    def runs_consumers(self) -> bool:
        """Whether consumers run in this process, so that it can start one again."""
        ...

    @property
    def job_queues(self) -> Sequence[tuple[str, JobQueue]]:
        """Every queue of durable jobs, with the name of its service."""
        ...

    async def readings(self) -> Readings:
        """Look at everything. Raises ``TransientError`` if a store or the log is away."""
        ...

    async def wait_until_idle(self, *, timeout_seconds: float = 60.0) -> None:
        """Return once all that was caused is done. Raises ``TimeoutError``, ``NutmegError``."""
        ...

    def restart_consumer(self, group: str) -> None:
        """Start a consumer that stopped. Raises ``NotFoundError`` for a group that does not run here."""
        ...


async def operations_status(
    operated: Operated, version: str, *, notices: Sequence[str] = ()
) -> OperationsStatus:
    """Return the reading of this moment. Raises ``TransientError`` if a store or the log is away."""
    found = await operated.readings()
    counts = await _dead_letters(operated)
    parked, parked_count = await _parked_jobs(operated)
    causes = [*_consumer_causes(found.consumers), *_other_causes(found.outboxes, found.works, counts)]
    if parked_count:
        jobs = "1 job is" if parked_count == 1 else f"{parked_count:,} jobs are"
        causes.append(f"{jobs} parked: processes died on it, and it waits for a decision.")
    causes = [*(cause for storage in found.storages for cause in storage.causes), *causes]
    set_storage_gauges(operated.metrics, found.storages)
    if operated.metrics.value("nutmeg_http_unannounced_proxy"):
        causes.append(UNANNOUNCED_PROXY)
    return OperationsStatus(
        status="attention" if causes else "ok",
        causes=causes,
        notices=list(notices),
        version=version,
        now=operated.clock.now(),
        started_at=operated.started_at,
        consumers=list(found.consumers),
        outboxes=list(found.outboxes),
        works=list(found.works),
        waiting=list(found.waiting),
        storages=[_storage(storage) for storage in found.storages],
        dead_letters=counts,
        parked_jobs=parked,
        parked_job_count=parked_count,
        index=_series(operated, "nutmeg_index_documents"),
        index_drift=_series(operated, "nutmeg_index_drift_documents"),
        deliveries=_series(operated, "nutmeg_deliveries_total"),
        event_loop_delay_seconds=operated.metrics.value("nutmeg_event_loop_delay_seconds"),
    )


async def waiting_of(store: Store, group: str) -> list[WaitingHealth]:
    """Return the records of a group that have waited longest. Raises ``TransientError``."""
    return [
        WaitingHealth(
            group=group,
            topic=one.record.topic,
            key=one.record.key,
            waits_for=one.waits_for,
            since=one.first_at,
            next_try=one.next_try_at,
            deadline=one.deadline_at,
            attempts=one.attempts,
        )
        for one in await WaitingRecords(store, group).oldest(WAITING_SHOWN_MAX)
    ]


async def measure_dead_letters(operated: Operated) -> None:
    """Set the gauge of dead letters that wait for a person. Raises ``TransientError``."""
    for (topic, group), number in (await operated.dead_letters.undecided()).items():
        operated.metrics.set("nutmeg_dead_letters_waiting", number, topic=topic, group=group)


async def release_parked_job(operated: Operated, queue_name: str, job_id: UUID) -> None:
    """Make a parked job due again. Raises ``NotFoundError``."""
    for _, queue in operated.job_queues:
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


async def _parked_jobs(operated: Operated) -> tuple[list[ParkedJobHealth], int]:
    shown, count = [], 0
    for service, queue in operated.job_queues:
        shown += [
            ParkedJobHealth(
                service=service,
                queue=queue.name,
                job_id=job.job_id,
                subject=job.subject,
                reason=job.reason,
                parked_at=job.parked_at,
            )
            for job in await queue.parked(PARKED_JOBS_SHOWN)
        ]
        count += await queue.parked_count()
    return shown, count


def set_storage_gauges(metrics: Metrics, storages: Sequence[StorageHealth]) -> None:
    """Tell a scrape which files and databases can be written, and which are whole."""
    for storage in storages:
        metrics.set("nutmeg_storage_writable", float(storage.write_trouble is None), storage=storage.name)
        metrics.set("nutmeg_storage_intact", float(not storage.damage), storage=storage.name)


def _storage(storage: StorageHealth) -> StorageReading:
    return StorageReading(
        name=storage.name,
        writable=storage.write_trouble is None,
        intact=None if storage.checked_at is None else storage.damage is None,
        checked_at=storage.checked_at,
        causes=list(storage.causes),
        accepted_losses=[LossReading.model_validate(loss) for loss in storage.accepted_losses],
    )


async def _dead_letters(operated: Operated) -> DeadLetterCounts:
    async def count(state: ReplayState) -> int:
        return (await operated.dead_letters.list(state=state, limit=1)).total

    return DeadLetterCounts(
        open=await count(ReplayState.OPEN),
        requested=await count(ReplayState.REQUESTED),
        failed=await count(ReplayState.FAILED),
        replayed=await count(ReplayState.REPLAYED),
        superseded=await count(ReplayState.SUPERSEDED),
        discarded=await count(ReplayState.DISCARDED),
    )


def _consumer_causes(consumers: Sequence[ConsumerHealth]) -> list[str]:
    causes = []
    for each in consumers:
        if each.state != LoopState.RUNNING:
            causes.append(f"Consumer {each.group} is {each.state}: {each.cause or 'just now'}.")
        elif each.lag_seconds > LAG_SECONDS_WARN:
            causes.append(
                f"Consumer {each.group} is {each.lag_seconds:.0f} s behind, {each.lag_records:,} records."
            )
        if each.waiting_seconds > WAITING_SECONDS_WARN:
            noun = "record waits" if each.waiting_records == 1 else "records wait"
            causes.append(
                f"{each.waiting_records:,} {noun} in {each.group} for data that is not here, "
                f"the oldest for {each.waiting_seconds / 60:.0f} minutes."
            )
    return causes


def _other_causes(
    outboxes: Sequence[OutboxHealth], works: Sequence[WorkHealth], counts: DeadLetterCounts
) -> list[str]:
    causes = []
    for outbox in outboxes:
        if outbox.cause is not None:
            causes.append(f"The relay of {outbox.service} waits: {outbox.cause}.")
        elif outbox.oldest_age_seconds > OUTBOX_SECONDS_WARN:
            causes.append(f"The outbox of {outbox.service} is {outbox.oldest_age_seconds:.0f} s old.")
    causes += [f"{work.name} fails: {work.last_error}." for work in works if work.last_error is not None]
    if waiting := counts.open + counts.failed:
        causes.append(
            "1 dead letter waits for a decision."
            if waiting == 1
            else f"{waiting:,} dead letters wait for a decision."
        )
    return causes


def _series(operated: Operated, name: str) -> list[LabelledCount]:
    return [
        LabelledCount(labels=dict(sample.labels), value=sample.value)
        for metric in operated.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == name
    ]
