"""Is it well? Everything an operator asks, in one reading: of the page, the API and the command line."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from services.host.running import Host
from shared.bus.consumer import LoopState
from shared.bus.replays import ReplayState
from shared.bus.running import ServiceStatus

__all__ = [
    "ConsumerHealth",
    "DeadLetterCounts",
    "LabelledCount",
    "OperationsStatus",
    "OutboxHealth",
    "WorkHealth",
    "operations_status",
]

LAG_SECONDS_WARN = 30.0
OUTBOX_SECONDS_WARN = 10.0


class ConsumerHealth(BaseModel):
    """One consumer group. ``cause`` says why it does not run."""

    service: str
    group: str
    state: str
    cause: str | None
    lag_records: int
    lag_seconds: float
    handled: int


class OutboxHealth(BaseModel):
    """Events that a service has committed and the log has not got yet."""

    service: str
    records: int
    oldest_age_seconds: float
    cause: str | None


class WorkHealth(BaseModel):
    """A piece of recurring work since the start. ``pending`` is null while it cannot be counted."""

    service: str
    name: str
    runs: int
    failures: int
    done: int
    pending: int | None
    last_error: str | None


class DeadLetterCounts(BaseModel):
    """Dead letters by what became of them."""

    open: int
    requested: int
    failed: int
    replayed: int
    superseded: int


class LabelledCount(BaseModel):
    """One series of a metric."""

    labels: dict[str, str]
    value: float


class OperationsStatus(BaseModel):
    """``status`` is ok or attention; ``causes`` say in words what needs a person."""

    status: Literal["ok", "attention"]
    causes: list[str]
    version: str
    now: datetime
    started_at: datetime
    consumers: list[ConsumerHealth]
    outboxes: list[OutboxHealth]
    works: list[WorkHealth]
    dead_letters: DeadLetterCounts
    index: list[LabelledCount]
    index_drift: list[LabelledCount]
    deliveries: list[LabelledCount]
    event_loop_delay_seconds: float


async def operations_status(host: Host, version: str) -> OperationsStatus:
    """Return the reading of this moment. Raises ``TransientError`` if a store or the log is away."""
    for runner in host.runners:
        for measure in runner.service.extra_metrics:
            await measure()
    statuses = await host.statuses()
    counts = await _dead_letters(host)
    consumers = [
        ConsumerHealth(
            service=status.service,
            group=each.loop.group,
            state=str(each.loop.state),
            cause=each.loop.cause,
            lag_records=each.lag_records,
            lag_seconds=each.lag_seconds,
            handled=each.loop.handled_count,
        )
        for status in statuses
        for each in status.subscriptions
    ]
    outboxes = [
        OutboxHealth(
            service=status.service,
            records=status.outbox_records,
            oldest_age_seconds=status.outbox_oldest_age_seconds,
            cause=status.relay_cause,
        )
        for status in statuses
    ]
    works = _works(statuses)
    causes = [*_consumer_causes(consumers), *_other_causes(outboxes, works, counts)]
    return OperationsStatus(
        status="attention" if causes else "ok",
        causes=causes,
        version=version,
        now=host.clock.now(),
        started_at=host.started_at,
        consumers=consumers,
        outboxes=outboxes,
        works=works,
        dead_letters=counts,
        index=_series(host, "nutmeg_index_documents"),
        index_drift=_series(host, "nutmeg_index_drift_documents"),
        deliveries=_series(host, "nutmeg_deliveries_total"),
        event_loop_delay_seconds=host.metrics.value("nutmeg_event_loop_delay_seconds"),
    )


async def _dead_letters(host: Host) -> DeadLetterCounts:
    async def count(state: ReplayState) -> int:
        return (await host.dead_letters.list(state=state, limit=1)).total

    return DeadLetterCounts(
        open=await count(ReplayState.OPEN),
        requested=await count(ReplayState.REQUESTED),
        failed=await count(ReplayState.FAILED),
        replayed=await count(ReplayState.REPLAYED),
        superseded=await count(ReplayState.SUPERSEDED),
    )


def _works(statuses: Sequence[ServiceStatus]) -> list[WorkHealth]:
    return [
        WorkHealth(
            service=status.service,
            name=work.name,
            runs=work.runs,
            failures=work.failures,
            done=work.items_done,
            pending=work.pending,
            last_error=work.last_error,
        )
        for status in statuses
        for work in status.works
    ]


def _consumer_causes(consumers: Sequence[ConsumerHealth]) -> list[str]:
    causes = []
    for each in consumers:
        if each.state != LoopState.RUNNING:
            causes.append(f"Consumer {each.group} is {each.state}: {each.cause or 'just now'}.")
        elif each.lag_seconds > LAG_SECONDS_WARN:
            causes.append(
                f"Consumer {each.group} is {each.lag_seconds:.0f} s behind, {each.lag_records:,} records."
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


def _series(host: Host, name: str) -> list[LabelledCount]:
    return [
        LabelledCount(labels=dict(sample.labels), value=sample.value)
        for metric in host.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == name
    ]
