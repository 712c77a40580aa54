"""An emitting ledger with its relay, and a counting ledger with its loop, over a real Kafka broker."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared.clock import SystemClock
from shared.consuming.consumer_loop import ConsumerLoop, LoopSettings
from shared.consuming.dead_letter_record import DeadLetter, read_dead_letter
from shared.events.topics import TOPICS
from shared.log.kafka.client import client_options
from shared.log.kafka.event_log import KafkaEventLog
from shared.log.kafka.settings import KafkaSettings
from shared.outbox.relay import OutboxRelay, RelaySettings
from tests.support.ledger_service import COUNTING, Ledger, dataset_id, open_ledger
from tests.support.log_bench import until

__all__ = ["BRISK", "KafkaBench", "emitting", "expected_hits", "kafka_settings", "open_kafka_bench"]

CLOCK = SystemClock()
PARTITIONS = 4
BRISK = LoopSettings(poll_timeout_seconds=0.5, retry_seconds=0.001, pause_seconds_max=1.0)


def kafka_settings(address: str, *, replica: str = "one", prefix: str | None = None) -> KafkaSettings:
    """Settings for a log of a test's own."""
    return KafkaSettings(
        bootstrap_servers=address,
        prefix=f"{uuid4()}." if prefix is None else prefix,
        replica=replica,
        replication_factor=1,
    )


def expected_hits(names: Sequence[str]) -> dict[str, int]:
    """What the counting ledger has once each named hit was counted once."""
    return {str(dataset_id(name)): 1 for name in names}


@dataclass
class KafkaBench:
    """``emitting`` and ``counting`` have a store each, so that the counts owe nothing to the outbox."""

    settings: KafkaSettings
    log: KafkaEventLog
    emitting: Ledger
    counting: Ledger
    relay: OutboxRelay
    emitted: list[str] = field(default_factory=list)

    async def emit(self, count: int) -> None:
        """Emit so many hits, each of a dataset and a partition key of its own."""
        first = len(self.emitted)
        names = [f"hit {number}" for number in range(first, first + count)]
        async with self.emitting.store.unit_of_work() as unit_of_work:
            for number, name in enumerate(names, start=first):
                self.emitting.emit_hit(unit_of_work, name, f"{number:08}")
        self.emitted += names

    async def keep_emitting(
        self, stop: asyncio.Event, *, hits: int = 10, pause_seconds: float = 0.05
    ) -> None:
        """Emit until told to stop."""
        while not stop.is_set():
            await self.emit(hits)
            await asyncio.sleep(pause_seconds)

    def loop(self, log: KafkaEventLog | None = None) -> ConsumerLoop:
        """A loop of the counting ledger, not running yet."""
        return ConsumerLoop(
            log=log or self.log,
            subscription=self.counting.subscription,
            store=self.counting.store,
            clock=CLOCK,
            settings=BRISK,
        )

    @asynccontextmanager
    async def relaying(self) -> AsyncIterator["asyncio.Task[None]"]:
        """Run the relay for the length of the block."""
        stop = asyncio.Event()
        task = asyncio.create_task(self.relay.run(stop))
        try:
            yield task
        finally:
            stop.set()
            await asyncio.wait_for(task, 60)

    @asynccontextmanager
    async def consuming(self, loop: ConsumerLoop) -> AsyncIterator["asyncio.Task[None]"]:
        """Run a loop for the length of the block."""
        stop = asyncio.Event()
        task = asyncio.create_task(loop.run(stop))
        try:
            yield task
        finally:
            stop.set()
            await asyncio.wait({task}, timeout=60)

    async def lag_records(self) -> int:
        """How many records the group has not committed."""
        committed = await self.log.committed(COUNTING.name)
        lag = 0
        for topic in COUNTING.topics:
            for place, end in (await self.log.end_offsets(topic)).items():
                lag += end - committed.get(place, 0)
        return lag

    async def dead_letters(self) -> list[DeadLetter]:
        """The dead letters of hits."""
        topic = "usage.hits.dlq"
        return [
            read_dead_letter(record)
            for place in await self.log.end_offsets(topic)
            for record in await self.log.read(place, from_offset=0, records_max=100_000)
        ]

    async def configure(self, topic: str, **settings: str) -> None:
        """Change settings of a topic on the cluster, behind the log's back; names with ``_`` for ``.``."""
        values = {name.replace("_", "."): value for name, value in settings.items()}
        async with self._admin() as admin:
            name = self.settings.prefixed(topic)
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, values)])

    async def delete(self, topic: str) -> None:
        """Delete a topic, behind the log's back."""
        async with self._admin() as admin:
            await admin.delete_topics([self.settings.prefixed(topic)])

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(**client_options(self.settings))
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()


@asynccontextmanager
async def open_kafka_bench(directory: Path, settings: KafkaSettings) -> AsyncIterator[KafkaBench]:
    """Set the table in ``directory``, on topics of its own."""
    log = KafkaEventLog(settings, clock=CLOCK, partitions=PARTITIONS)
    try:
        await log.ensure_topics([TOPICS[name] for name in COUNTING.topics])
        async with (
            open_ledger(directory / "emitting.sqlite3", CLOCK) as emitting,
            open_ledger(directory / "counting.sqlite3", CLOCK) as counting,
        ):
            relay = OutboxRelay(
                store=emitting.store, log=log, clock=CLOCK, settings=RelaySettings(pause_seconds_max=1.0)
            )
            yield KafkaBench(settings, log, emitting, counting, relay)
    finally:
        await log.close()


@asynccontextmanager
async def emitting(bench: KafkaBench) -> AsyncIterator[None]:
    """Emit and relay for the length of the block, then until all is published."""
    stop = asyncio.Event()
    async with bench.relaying() as relay:
        task = asyncio.create_task(bench.keep_emitting(stop))
        try:
            yield
        finally:
            stop.set()
            await task
        await until(bench.relay.drained, unless=relay, seconds=60)
