"""How fast the log on Kafka publishes and delivers. Run: ``python -m tests.benchmarks.bench_kafka``.

Starts a broker of its own. The rates of delivery are told as ratios to a bare aiokafka loop of ``getmany``
and ``commit`` in the same run, since a rate alone says more about the machine.
"""

import asyncio
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from aiokafka import AIOKafkaConsumer

from shared.consuming.consumer_loop import ConsumerLoop
from shared.consuming.handling import Subscription
from shared.events.registry import HIT_RECORDED
from shared.events.topics import TOPICS
from shared.log.kafka.client import client_options
from shared.log.kafka.event_log import KafkaEventLog
from shared.log.kafka.settings import KafkaSettings
from tests.benchmarks.bench_log import (
    BATCH,
    CLOCK,
    EVENTS,
    LATENCY_SAMPLES,
    hit,
    no_operation,
    report,
    report_percentiles,
)
from tests.servers.jars import cache_directory
from tests.servers.kafka import Kafka
from tests.support.kafka_bench import kafka_settings, open_kafka_bench
from tests.support.kafka_workers import ended, worker
from tests.support.ledger_service import COUNTING, open_ledger
from tests.support.log_bench import until

ROUNDS = 5
PARTITIONS = 4
TOPIC = HIT_RECORDED.topic.name


async def bare(settings: KafkaSettings) -> float:
    """Read and commit everything with nothing but the client, as it is used here; return the seconds."""
    consumer = AIOKafkaConsumer(
        settings.prefixed(TOPIC),
        **client_options(settings),
        group_id=f"bare-{uuid4()}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=BATCH,
    )
    await consumer.start()
    read = 0
    started = time.perf_counter()
    while read < EVENTS:
        polled = await consumer.getmany(timeout_ms=1000)
        await consumer.commit({place: records[-1].offset + 1 for place, records in polled.items()})
        read += sum(len(records) for records in polled.values())
    seconds = time.perf_counter() - started
    await consumer.stop()
    return seconds


async def ours(settings: KafkaSettings) -> float:
    """The same through the port: poll, hold the partitions, commit."""
    log = KafkaEventLog(settings, clock=CLOCK)
    consumer = await log.consumer(f"ours-{uuid4()}", [TOPIC])
    read = 0
    started = time.perf_counter()
    while read < EVENTS:
        polled = await consumer.poll(records_max=BATCH)
        async with consumer.handling(polled) as owned:
            await consumer.commit({record.topic_partition: record.offset + 1 for record in owned})
        read += len(polled)
    seconds = time.perf_counter() - started
    await log.close()
    return seconds


async def decoded(settings: KafkaSettings) -> float:
    """Through the whole loop: decoded, freshness asked and remembered, offsets committed."""
    log = KafkaEventLog(settings, clock=CLOCK)
    with tempfile.TemporaryDirectory() as name:
        async with open_ledger(Path(name) / "ledger.sqlite3") as ledger:
            group = replace(COUNTING, name=f"decoded-{uuid4()}")
            subscription = Subscription(group, dict.fromkeys(ledger.subscription.handlers, no_operation))
            loop = ConsumerLoop(log=log, subscription=subscription, store=ledger.store, clock=CLOCK)
            stop = asyncio.Event()
            task = asyncio.create_task(loop.run(stop))
            await until(lambda: loop.status().handled_count > 0, unless=task)
            before, started = loop.status().handled_count, time.perf_counter()
            await until(lambda: loop.status().handled_count >= EVENTS, unless=task, seconds=600)
            seconds = (time.perf_counter() - started) * EVENTS / (EVENTS - before)
            stop.set()
            await task
    await log.close()
    return seconds


async def measure_publishing(settings: KafkaSettings) -> None:
    """Batches one after another, as a relay sends them."""
    log = KafkaEventLog(settings, clock=CLOCK, partitions=PARTITIONS)
    await log.ensure_topics([TOPICS[name] for name in COUNTING.topics])
    seconds = 0.0
    for first in range(0, EVENTS, BATCH):
        records = [hit(number) for number in range(first, first + BATCH)]
        started = time.perf_counter()
        await log.publish(records)
        seconds += time.perf_counter() - started
    await log.close()
    report("kafka_publish_batches", EVENTS / seconds, "records/s", batch=BATCH)


async def measure_delivery(settings: KafkaSettings) -> None:
    """The three ways in turn, so that what else the machine does falls on all alike."""
    ways = {"bare": bare, "port": ours, "decoded": decoded}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            seconds[name].append(await way(settings))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        report("kafka_consume", EVENTS / median, "records/s", way=name, rounds=ROUNDS)
    report("kafka_port_to_bare", medians["bare"] / medians["port"], "ratio", aim=0.7)
    report("kafka_decoded_to_bare", medians["bare"] / medians["decoded"], "ratio")


async def measure_latency(settings: KafkaSettings) -> None:
    """From publish to the poll that brings the record, on an idle log."""
    log = KafkaEventLog(settings, clock=CLOCK)
    consumer = await log.consumer(f"latency-{uuid4()}", [TOPIC], start="end")
    seconds = []
    for number in range(LATENCY_SAMPLES):
        started = time.perf_counter()
        await log.publish([hit(number)])
        while not await consumer.poll(timeout_seconds=5):
            continue
        seconds.append(time.perf_counter() - started)
    await log.close()
    report_percentiles("kafka_publish_to_poll", seconds)


async def measure_recovery(address: str) -> None:
    """From ``kill -9`` of a worker until its partitions are worked on again, and all is read."""
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "counting.sqlite3"
        async with open_kafka_bench(Path(name), kafka_settings(address)) as bench:

            async def all_read() -> bool:
                await asyncio.sleep(0.05)
                return await bench.lag_records() == 0

            async def since_the_kill() -> float:
                started = time.perf_counter()
                await bench.emit(200)
                await bench.relay.publish_all()
                await until(all_read, seconds=60)
                return time.perf_counter() - started

            async with worker(bench, store, "one") as one:
                await ended(one, signal.SIGKILL)
                started = time.perf_counter()
                async with worker(bench, store, "one"):
                    seconds = time.perf_counter() - started + await since_the_kill()
                    report("kafka_recovery", seconds, "s", by="same replica", aim=5)
                    async with worker(bench, store, "two") as two:
                        await ended(two, signal.SIGKILL)
                        report("kafka_recovery", await since_the_kill(), "s", by="another replica", aim=15)


async def main(address: str) -> None:
    """Measure everything on topics of this run's own."""
    settings = kafka_settings(address)
    await measure_publishing(settings)
    await measure_delivery(settings)
    await measure_latency(settings)
    await measure_recovery(address)


if __name__ == "__main__":
    kafka = Kafka(cache_directory())
    try:
        kafka.start()
        asyncio.run(main(kafka.address))
    finally:
        kafka.close()
    sys.exit(0)
