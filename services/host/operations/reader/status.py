"""Is it well? Everything an operator asks, in one reading: of the page, the API and the command line."""

from collections.abc import Sequence

from services.host.operations.domain import (
    WAITING_SHOWN_MAX,
    ConsumerHealth,
    DeadLetterCounts,
    LabelledCount,
    LossReading,
    OperationsStatus,
    OutboxHealth,
    ParkedJobHealth,
    StorageReading,
    WaitingHealth,
    WorkHealth,
)
from services.host.operations.installation import OperatedInstallation
from shared.consuming.consumer_state import LoopState
from shared.consuming.replays import ReplayState
from shared.consuming.waiting_events import WaitingRecords
from shared.http.local_clients import UNANNOUNCED_PROXY
from shared.store.engine import Store
from shared.store.health import StorageHealth
from shared.telemetry.metrics import Metrics

__all__ = ["measure_dead_letters", "operations_status", "set_storage_gauges", "waiting_of"]

LAG_SECONDS_WARN = 30.0
PARKED_JOBS_SHOWN = 100
OUTBOX_SECONDS_WARN = 10.0
WAITING_SECONDS_WARN = 900.0


async def operations_status(
    installation: OperatedInstallation, version: str, *, notices: Sequence[str] = ()
) -> OperationsStatus:
    """Return the reading of this moment. Raises ``TransientError`` if a store or the log is away."""
    readings = await installation.readings()
    counts = await _dead_letters(installation)
    parked, parked_count = await _parked_jobs(installation)
    causes = [
        *_consumer_causes(readings.consumers),
        *_other_causes(readings.outboxes, readings.works, counts),
    ]
    if parked_count:
        jobs = "1 job is" if parked_count == 1 else f"{parked_count:,} jobs are"
        causes.append(f"{jobs} parked: processes died on it, and it waits for a decision.")
    causes = [*(cause for storage in readings.storages for cause in storage.causes), *causes]
    set_storage_gauges(installation.metrics, readings.storages)
    if installation.metrics.value("nutmeg_http_unannounced_proxy"):
        causes.append(UNANNOUNCED_PROXY)
    return OperationsStatus(
        status="attention" if causes else "ok",
        causes=causes,
        notices=list(notices),
        version=version,
        now=installation.clock.now(),
        started_at=installation.started_at,
        consumers=list(readings.consumers),
        outboxes=list(readings.outboxes),
        works=list(readings.works),
        waiting=list(readings.waiting),
        storages=[_storage(storage) for storage in readings.storages],
        dead_letters=counts,
        parked_jobs=parked,
        parked_job_count=parked_count,
        index=_series(installation, "nutmeg_index_documents"),
        index_drift=_series(installation, "nutmeg_index_drift_documents"),
        deliveries=_series(installation, "nutmeg_deliveries_total"),
        event_loop_delay_seconds=installation.metrics.value("nutmeg_event_loop_delay_seconds"),
    )


async def waiting_of(store: Store, group: str) -> list[WaitingHealth]:
    """Return the records of a group that have waited longest. Raises ``TransientError``."""
    return [
        WaitingHealth(
            group=group,
            topic=waiting.record.topic,
            key=waiting.record.key,
            waits_for=waiting.waits_for,
            since=waiting.first_at,
            next_try=waiting.next_try_at,
            deadline=waiting.deadline_at,
            attempts=waiting.attempts,
        )
        for waiting in await WaitingRecords(store, group).oldest(WAITING_SHOWN_MAX)
    ]


async def measure_dead_letters(installation: OperatedInstallation) -> None:
    """Set the gauge of dead letters that wait for a person. Raises ``TransientError``."""
    for (topic, group), number in (await installation.dead_letters.undecided()).items():
        installation.metrics.set("nutmeg_dead_letters_waiting", number, topic=topic, group=group)


async def _parked_jobs(installation: OperatedInstallation) -> tuple[list[ParkedJobHealth], int]:
    shown, count = [], 0
    for service, queue in installation.job_queues:
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


async def _dead_letters(installation: OperatedInstallation) -> DeadLetterCounts:
    async def count(state: ReplayState) -> int:
        return (await installation.dead_letters.list(state=state, limit=1)).total

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
    for consumer in consumers:
        if consumer.state != LoopState.RUNNING:
            causes.append(f"Consumer {consumer.group} is {consumer.state}: {consumer.cause or 'just now'}.")
        elif consumer.lag_seconds > LAG_SECONDS_WARN:
            causes.append(
                f"Consumer {consumer.group} is {consumer.lag_seconds:.0f} s behind, "
                f"{consumer.lag_records:,} records."
            )
        if consumer.waiting_seconds > WAITING_SECONDS_WARN:
            noun = "record waits" if consumer.waiting_records == 1 else "records wait"
            causes.append(
                f"{consumer.waiting_records:,} {noun} in {consumer.group} for data that is not here, "
                f"the oldest for {consumer.waiting_seconds / 60:.0f} minutes."
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


def _series(installation: OperatedInstallation, name: str) -> list[LabelledCount]:
    return [
        LabelledCount(labels=dict(sample.labels), value=sample.value)
        for metric in installation.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == name
    ]
