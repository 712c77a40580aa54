"""A cluster as it is seen from outside: who is in a group, how far it is behind, and what still waits."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.host.operations.cluster import ClusterOperations
from services.host.operations.reader.paths import path_of
from services.host.operations.reader.status import operations_status
from shared.clock import SimulatedClock
from shared.errors import ConflictError
from shared.events.topics import GROUPS, TOPICS, ConsumerGroup
from shared.jobs.recurring_work import RecurringWork
from shared.log.kafka.groups import GroupProgress
from shared.log.sqlite.event_log import SQLiteEventLog
from shared.outbox.relay import OutboxRelay
from shared.telemetry.metrics import Metrics
from tests.support.ledger_service import COUNTING, Ledger, ledger_store


class SeenLog(SQLiteEventLog):
    """A log of one process that tells how groups do, as a cluster's does."""

    members = 1

    async def groups_progress(self, groups: Iterable[str]) -> Mapping[str, GroupProgress]:
        return {group: GroupProgress(self.members, await self.committed(group)) for group in groups}


@pytest.fixture
async def log(tmp_path: Path, clock: SimulatedClock) -> AsyncIterator[SeenLog]:
    opened = SeenLog(tmp_path / "log", clock=clock)
    await opened.open()
    await opened.ensure_topics([TOPICS["usage.hits"]])
    yield opened
    await opened.close()


@pytest.fixture
def ledger(tmp_path: Path, clock: SimulatedClock) -> Ledger:
    return Ledger(ledger_store(tmp_path / "ledger.sqlite3", clock))


@pytest.fixture
async def seen(
    ledger: Ledger, log: SeenLog, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ClusterOperations]:
    """An installation of one service, whose group is the only one."""
    group = ConsumerGroup(COUNTING.name, "catalog", COUNTING.topics, "count")
    monkeypatch.setattr("services.host.operations.cluster.GROUPS", {group.name: group})
    monkeypatch.setitem(GROUPS, group.name, group)

    async def pending() -> int:
        return 3

    async def run_once() -> int:
        return 0

    work = RecurringWork("ledger.tidy", 1.0, run_once, pending)
    service = replace(ledger.service, name="catalog", works=(work,))
    operations = ClusterOperations(
        [service], log=log, groups_progress=log.groups_progress, clock=clock, metrics=Metrics()
    )
    await operations.open()
    yield operations
    await operations.close()


async def test_lag_outbox_and_due_work_are_told_without_handling_anything(
    seen: ClusterOperations, ledger: Ledger, log: SeenLog, clock: SimulatedClock
) -> None:
    await ledger.emit_hits(["a"] * 4)
    before = await seen.readings()
    assert [(one.service, one.records) for one in before.outboxes] == [("catalog", 4)]
    await OutboxRelay(store=ledger.store, log=log, clock=clock).publish_all()
    clock.advance(timedelta(seconds=90))
    after = await seen.readings()
    assert [one.records for one in after.outboxes] == [0]
    (consumer,) = after.consumers
    assert (consumer.state, consumer.lag_records, int(consumer.lag_seconds)) == ("running", 4, 90)
    assert consumer.handled is None
    assert [(one.name, one.pending, one.runs) for one in after.works] == [("ledger.tidy", 3, None)]
    status = await operations_status(seen, "1")
    assert status.causes == [f"Consumer {COUNTING.name} is 90 s behind, 4 records."]


async def test_a_group_that_nobody_is_in_has_stopped_and_its_worker_is_named_as_the_cure(
    seen: ClusterOperations, log: SeenLog
) -> None:
    log.members = 0
    status = await operations_status(seen, "1")
    assert status.status == "attention"
    assert "nobody is in the group" in status.causes[0]
    assert not seen.runs_consumers
    with pytest.raises(ConflictError, match="Restart the worker"):
        seen.restart_consumer(COUNTING.name)


async def test_what_is_still_busy_is_named_when_the_time_is_over(
    seen: ClusterOperations, ledger: Ledger
) -> None:
    await ledger.emit_hits(["a"])
    with pytest.raises(TimeoutError, match=r"catalog: 1 events to publish; catalog: ledger\.tidy is due"):
        await seen.wait_until_idle(timeout_seconds=0)


async def test_the_path_of_an_event_is_read_from_the_log(
    seen: ClusterOperations, ledger: Ledger, log: SeenLog, clock: SimulatedClock
) -> None:
    await ledger.emit_hits(["a"])
    await OutboxRelay(store=ledger.store, log=log, clock=clock).publish_all()
    (place,) = await log.end_offsets("usage.hits")
    (record,) = await log.read(place, from_offset=0, records_max=1)
    (event_id,) = [value.decode() for name, value in record.headers if name == "ce_id"]
    path = await path_of(seen.log, event_id, seen.groups)
    assert path is not None
    assert [(one.group, one.state) for one in path.events[0].handlings] == [(COUNTING.name, "waiting")]
