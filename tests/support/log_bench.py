"""A log, a ledger, its relay and its loop on one table, for tests of the log."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from shared.clock import Clock
from shared.consuming.budget import DeadLetterBudget
from shared.consuming.consumer_loop import ConsumerLoop, LoopSettings
from shared.consuming.dead_letter_record import DeadLetter, read_dead_letter
from shared.consuming.dead_letters import DeadLetters
from shared.events.topics import TOPICS
from shared.log.measuring import NullDeliveryMetrics
from shared.log.port import LogRecord, OutgoingRecord
from shared.log.sqlite.event_log import SQLiteEventLog
from shared.outbox.relay import OutboxRelay, RelaySettings
from tests.support.faulty_log import FaultyLog
from tests.support.ledger_service import COUNTING, Ledger, open_ledger

__all__ = ["PATIENT", "QUICK", "Bench", "RecordingMetrics", "open_bench", "until"]

QUICK = LoopSettings(
    poll_timeout_seconds=0.05,
    retry_seconds=0.001,
    pause_seconds_min=0.01,
    pause_seconds_max=0.02,
    unwritable_seconds=0.02,
    replay_interval_seconds=0.05,
)
PATIENT = LoopSettings(poll_timeout_seconds=60.0, retry_seconds=0.001)


class RecordingMetrics(NullDeliveryMetrics):
    """Remembers what the bus counted."""

    def __init__(self) -> None:
        self.results: Counter[str] = Counter()
        self.dead: Counter[str] = Counter()
        self.resent_count = 0
        self.works: Counter[tuple[str, bool]] = Counter()

    def consumed(self, topic: str, group: str, result: str, count: int) -> None:
        self.results[str(result)] += count

    def dead_lettered(self, topic: str, group: str, reason: str) -> None:
        self.dead[reason] += 1

    def resent(self, service: str, count: int) -> None:
        self.resent_count += count

    def work_run(self, service: str, work: str, is_failed: bool) -> None:
        self.works[work, is_failed] += 1


@dataclass
class Bench:
    """Everything at hand; ``log`` is the faulty one, which fails only where a test tells it to."""

    real_log: SQLiteEventLog
    log: FaultyLog
    ledger: Ledger
    relay: OutboxRelay
    clock: Clock
    metrics: RecordingMetrics = field(default_factory=RecordingMetrics)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def loop(self, settings: LoopSettings = QUICK, budget: DeadLetterBudget | None = None) -> ConsumerLoop:
        """A loop of the ledger, not running yet."""
        return ConsumerLoop(
            log=self.log,
            subscription=self.ledger.subscription,
            store=self.ledger.store,
            clock=self.clock,
            metrics=self.metrics,
            budget=budget,
            settings=settings,
        )

    @asynccontextmanager
    async def running(self, loop: ConsumerLoop) -> AsyncIterator["asyncio.Task[None]"]:
        """Run a loop for the length of the block."""
        stop = asyncio.Event()
        task = asyncio.create_task(loop.run(stop))
        try:
            yield task
        finally:
            stop.set()
            await asyncio.wait_for(task, 30)

    async def consume(self, settings: LoopSettings = QUICK) -> None:
        """Publish what is committed, then run a loop until nothing is left."""
        await self.relay.publish_all()
        loop = self.loop(settings)
        async with self.running(loop) as task:
            await until(loop.drained, unless=task)

    async def publish(self, *records: OutgoingRecord) -> None:
        """Put records into the log past the outbox."""
        await self.real_log.publish(records)

    async def dead_letters(self, topic: str = "usage.hits") -> list[DeadLetter]:
        """What is in the dead-letter topic, in order."""
        return [read_dead_letter(record) for record in await self.records(topic + ".dlq")]

    async def records(self, topic: str) -> list[LogRecord]:
        """All records of a topic."""
        return [
            record
            for place in await self.real_log.end_offsets(topic)
            for record in await self.real_log.read(place, from_offset=0, records_max=100_000)
        ]

    def operator(self) -> DeadLetters:
        """What an operator works with."""
        return DeadLetters(log=self.real_log, stores={"ledger": self.ledger.store})

    async def lag_records(self) -> int:
        """How many records the ledger's group has not committed."""
        committed = await self.real_log.committed(COUNTING.name)
        records = [record for topic in COUNTING.topics for record in await self.records(topic)]
        return sum(record.offset >= committed.get(record.topic_partition, 0) for record in records)


@asynccontextmanager
async def open_bench(
    directory: Path, clock: Clock, *, partitions: int = 1, database_url: str | None = None
) -> AsyncIterator[Bench]:
    """Set the table in ``directory``; the ledger's database may be elsewhere."""
    real_log = SQLiteEventLog(directory / "log", clock=clock, partitions=partitions)
    await real_log.open()
    try:
        await real_log.ensure_topics([TOPICS[name] for name in COUNTING.topics])
        async with open_ledger(database_url or directory / "ledger.sqlite3", clock) as ledger:
            log = FaultyLog(real_log)
            settings = RelaySettings(poll_seconds=60, pause_seconds_min=0.01, pause_seconds_max=0.02)
            relay = OutboxRelay(store=ledger.store, log=log, clock=clock, settings=settings)
            bench = Bench(real_log, log, ledger, relay, clock)
            relay._metrics = bench.metrics
            yield bench
    finally:
        await real_log.close()


async def until(
    condition: Callable[[], bool | Awaitable[bool]],
    *,
    unless: "asyncio.Task[None] | None" = None,
    seconds: float = 30.0,
) -> None:
    """Wait for an awaited or plain condition; raise what ``unless`` raised if that ends first."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        answer = condition()
        if answer is True or (not isinstance(answer, bool) and await answer):
            return
        if unless is not None and unless.done():
            await unless
        assert asyncio.get_running_loop().time() < end, f"not within {seconds} s"
        await asyncio.sleep(0.005)
