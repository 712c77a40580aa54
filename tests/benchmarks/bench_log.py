"""How fast the log appends, reads and delivers. Run: ``python -m tests.benchmarks.bench_log``.

Prints one JSON line per figure: name, value, unit, and the conditions it holds under.
"""

import asyncio
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from shared.clock import SystemClock
from shared.consuming.consumer_loop import ConsumerLoop
from shared.consuming.handling import Outcome, Subscription
from shared.events.envelope import Event, decode, encode, new_event
from shared.events.model import EventModel
from shared.events.registry import HIT_RECORDED, ROLLUP_UPDATED, EventType
from shared.events.topics import TOPICS
from shared.events.usage import Hit, HitRecorded, Rollup, RollupUpdated
from shared.gc_tuning import freeze_survivors
from shared.log.port import OutgoingRecord
from shared.log.sqlite.event_log import SQLiteEventLog
from shared.process.service_runner import ServiceRunner
from shared.store.unit_of_work import UnitOfWork
from tests.support.ledger_service import COUNTING, dataset_id, open_ledger

CLOCK = SystemClock()
BATCH = 500
EVENTS = 40_000
KEYS = 2_000
LATENCY_SAMPLES = 400


def report(name: str, value: float, unit: str, **conditions: object) -> None:
    """Print one figure."""
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    print(
        json.dumps({"name": name, "value": round(value, 4), "unit": unit, **conditions, "machine": machine})
    )


def outgoing(event_type: EventType, event: Event) -> OutgoingRecord:
    """The record that the relay would publish."""
    headers, value = encode(event)
    return OutgoingRecord(
        event_type.topic.name, event.subject, event.partitionkey or event.subject, headers, value
    )


def rollup(number: int) -> OutgoingRecord:
    """A state of one of ``KEYS`` keys, each time newer."""
    data: EventModel = RollupUpdated(
        rollup=Rollup(
            dataset_id=dataset_id(str(number % KEYS)),
            granularity="hour",
            window_start=CLOCK.now(),
            views=number,
        )
    )
    subject = f"{number % KEYS}/hour"
    version = number // KEYS + 1
    event = new_event(ROLLUP_UPDATED, data, subject=subject, time=CLOCK.now(), subjectversion=version)
    return outgoing(ROLLUP_UPDATED, event)


def hit(number: int) -> OutgoingRecord:
    """One hit."""
    data = HitRecorded(
        hit=Hit(
            hit_id=uuid4(),
            dataset_id=dataset_id(str(number % KEYS)),
            kind="view",
            visitor_hash="0" * 64,
            visitor_bucket=f"{number % 64:02}",
            occurred_at=CLOCK.now(),
        )
    )
    return outgoing(HIT_RECORDED, new_event(HIT_RECORDED, data, subject=str(number), time=CLOCK.now()))


@asynccontextmanager
async def open_log(directory: Path) -> AsyncIterator[SQLiteEventLog]:
    """A fresh log with the ledger's topics."""
    log = SQLiteEventLog(directory / str(uuid4()), clock=CLOCK)
    await log.open()
    try:
        await log.ensure_topics([TOPICS[name] for name in COUNTING.topics])
        yield log
    finally:
        await log.close()


async def publish_all(log: SQLiteEventLog, make: Callable[[int], OutgoingRecord]) -> float:
    """Publish ``EVENTS`` in batches; return the seconds. No record is held on to."""
    seconds = 0.0
    for first in range(0, EVENTS, BATCH):
        records = [make(number) for number in range(first, first + BATCH)]
        started = time.perf_counter()
        await log.publish(records)
        seconds += time.perf_counter() - started
    return seconds


async def measure_append(directory: Path) -> None:
    """Batches one after another, and single records by many publishers."""
    async with open_log(directory) as log:
        seconds = await publish_all(log, hit)
        report("log_append_batches", EVENTS / seconds, "records/s", batch=BATCH)
    async with open_log(directory) as log:
        for publishers in (1, 50):
            mine = [hit(number) for number in range(100 * publishers)]

            async def publish(own: Sequence[OutgoingRecord], into: SQLiteEventLog = log) -> None:
                for record in own:
                    await into.publish([record])

            started = time.perf_counter()
            await asyncio.gather(*(publish(mine[n::publishers]) for n in range(publishers)))
            seconds = time.perf_counter() - started
            report("log_append_singles", len(mine) / seconds, "records/s", publishers=publishers)


async def measure_poll(directory: Path) -> None:
    """Reading and committing without decoding, then decoding alone."""
    async with open_log(directory) as log:
        await publish_all(log, hit)
        consumer = await log.consumer("bench", [HIT_RECORDED.topic.name])
        read = 0
        started = time.perf_counter()
        while read < EVENTS:
            polled = await consumer.poll(records_max=BATCH)
            read += len(polled)
            await consumer.commit({polled[-1].topic_partition: polled[-1].offset + 1})
        seconds = time.perf_counter() - started
        report("log_poll_and_commit", read / seconds, "records/s", batch=BATCH)
    records = [hit(number) for number in range(BATCH)]
    started = time.perf_counter()
    for _ in range(EVENTS // BATCH):
        for record in records:
            decode(record.headers, record.value)
    seconds = time.perf_counter() - started
    report("decode", EVENTS / seconds, "events/s", topic=records[0].topic)


async def no_operation(batch: Sequence[Event], _unit_of_work: UnitOfWork) -> list[Outcome]:
    """Handle nothing."""
    return [Outcome.APPLIED] * len(batch)


async def measure_loop(directory: Path, event_type: EventType, make: Callable[[int], OutgoingRecord]) -> None:
    """Through the whole loop: decoded, freshness asked and remembered, offsets committed."""
    async with open_log(directory) as log, open_ledger(directory / f"{uuid4()}.sqlite3") as ledger:
        await publish_all(log, make)
        subscription = Subscription(COUNTING, dict.fromkeys(ledger.subscription.handlers, no_operation))
        loop = ConsumerLoop(log=log, subscription=subscription, store=ledger.store, clock=CLOCK)
        stop = asyncio.Event()
        started = time.perf_counter()
        task = asyncio.create_task(loop.run(stop))
        while loop.status().handled_count < EVENTS:  # noqa: ASYNC110 - the loop must not know that it is watched
            await asyncio.sleep(0.002)
        seconds = time.perf_counter() - started
        stop.set()
        await task
        freshness = event_type.topic.deduplication
        report("consume_decoded", EVENTS / seconds, "events/s", freshness=freshness, handler="none")


async def measure_latency(directory: Path) -> None:
    """From publish to the handler's call, on an idle log."""
    arrived: asyncio.Queue[float] = asyncio.Queue()

    async def note(batch: Sequence[Event], _unit_of_work: UnitOfWork) -> None:
        for _ in batch:
            arrived.put_nowait(time.perf_counter())

    async with open_log(directory) as log, open_ledger(directory / f"{uuid4()}.sqlite3") as ledger:
        subscription = Subscription(COUNTING, dict.fromkeys(ledger.subscription.handlers, note))
        loop = ConsumerLoop(log=log, subscription=subscription, store=ledger.store, clock=CLOCK)
        stop = asyncio.Event()
        task = asyncio.create_task(loop.run(stop))
        seconds = []
        for number in range(LATENCY_SAMPLES):
            started = time.perf_counter()
            await log.publish([hit(number)])
            seconds.append(await arrived.get() - started)
            await asyncio.sleep(0.005)
        stop.set()
        await task
    report_percentiles("publish_to_handler", seconds)


async def measure_thread(directory: Path) -> None:
    """From the commit of an outbox row to the handler's call."""
    arrived: asyncio.Queue[float] = asyncio.Queue()
    async with open_log(directory) as log, open_ledger(directory / f"{uuid4()}.sqlite3") as ledger:
        await ledger.store.close()
        ledger.ports.before = lambda _event: arrived.put_nowait(time.perf_counter())
        runner = ServiceRunner(ledger.service, log=log, clock=CLOCK)
        await runner.start()
        seconds = []
        for number in range(LATENCY_SAMPLES):
            started = time.perf_counter()
            await ledger.emit_hits([str(number)])
            seconds.append(await arrived.get() - started)
            await asyncio.sleep(0.005)
        await runner.stop()
    report_percentiles("emit_to_handler", seconds)


def report_percentiles(name: str, seconds: Sequence[float]) -> None:
    """Print median and 95th percentile."""
    cuts = statistics.quantiles(seconds, n=20)
    report(name, cuts[9] * 1000, "ms", percentile=50, samples=len(seconds))
    report(name, cuts[18] * 1000, "ms", percentile=95, samples=len(seconds))


async def main() -> None:
    """Measure everything in a temporary directory, with the collector set as a running server sets it."""
    freeze_survivors()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        await measure_append(directory)
        await measure_poll(directory)
        await measure_loop(directory, ROLLUP_UPDATED, rollup)
        await measure_loop(directory, HIT_RECORDED, hit)
        await measure_latency(directory)
        await measure_thread(directory)


if __name__ == "__main__":
    asyncio.run(main())
    sys.exit(0)
