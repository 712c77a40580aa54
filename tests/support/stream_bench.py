"""Usage as it counts in a cluster, over a real Kafka and PostgreSQL, with its stream processor as a process.

The worker's part runs in the test's own process: it is fed with events as its handlers get them, and
publishes rollups as ever. The stream processor is started, stopped and killed as an operator would.
"""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import httpx
from aiokafka.admin import AIOKafkaAdminClient
from sqlalchemy import func, select

from services.usage.anomalies.commands import detect_anomalies
from services.usage.bootstrap import Usage, bootstrap
from services.usage.counts.reader import rollups_unpublished
from services.usage.handlers import count_hits, remember_datasets
from services.usage.migrations.tables import ALERTS
from services.usage.settings import UsageSettings
from shared.clock import Clock, SimulatedClock, SystemClock
from shared.consuming.dead_letter_record import DeadLetter, read_dead_letter
from shared.events.catalog import DatasetRegistered, DatasetState
from shared.events.envelope import Event, decode, new_event
from shared.events.registry import DATASET_REGISTERED, HIT_RECORDED, ROLLUP_UPDATED, USAGE_ALERT_OPENED
from shared.events.topics import CLUSTER_TOPICS, GROUPS, STREAM_TABLES, TOPICS, dead_letter_topic
from shared.events.usage import Hit, HitRecorded
from shared.log.kafka.client import client_options
from shared.log.kafka.event_log import KafkaEventLog
from shared.log.kafka.settings import KafkaSettings
from shared.log.port import OutgoingRecord
from shared.process.service_runner import ServiceRunner
from shared.store.engine import sqlite_url
from shared.telemetry.metrics import Metrics
from tests.support.installation import free_port

__all__ = [
    "GROUP",
    "TABLE",
    "Alerts",
    "StreamBench",
    "Uses",
    "alerts_by_embedded",
    "dataset_id",
    "stream_bench",
]

NAMESPACE = UUID("7d0b6d4e-8f1d-5a53-9f8c-1d2f0f3c4b5a")
GROUP, TABLE = GROUPS["usage.signals"], STREAM_TABLES["usage.signals.windows"]
MODULE = "services.usage.entrypoints.stream"
SECONDS_MAX = 60.0

Uses = Mapping[str, Mapping[int, int]]
"""Dataset → how many days ago → uses of that day."""
Alerts = dict[UUID, dict[str, Any]]
"""What each open alert says, but for when it was told."""


def dataset_id(name: str) -> UUID:
    return uuid5(NAMESPACE, name)


async def feed(usage: Usage, uses: Uses, now: datetime) -> None:
    """Let usage know these datasets, and count a view each of so many visitors."""
    registered = [_registered(name, now - timedelta(days=100)) for name in uses]
    hits = [
        _hit(name, now - timedelta(days=days), number, now)
        for name, per_day in uses.items()
        for days, count in per_day.items()
        for number in range(count)
    ]
    async with usage.service.store.unit_of_work() as work:
        await remember_datasets(registered, work, usage.context)
        await count_hits(hits, work, usage.context)


async def alerts_of(usage: Usage) -> Alerts:
    """Return the open alerts in usage's store."""
    async with usage.service.store.read() as connection:
        rows = await connection.execute(select(ALERTS).where(ALERTS.c.state == "open"))
        told = {"opened_at", "changed_at"}
        return {
            row.alert_id: {name: value for name, value in row.document.items() if name not in told}
            for row in rows
        }


async def alerts_by_embedded(folder: Path, *portions: Uses) -> Alerts:
    """Return what the embedded evaluation over SQLite opens for these uses, fed one after another."""
    clock = SimulatedClock(datetime.now(UTC))
    folder.mkdir(parents=True)
    usage = _usage(sqlite_url(folder / "usage.db"), clock)
    await usage.service.store.open()
    try:
        for uses in portions:
            await feed(usage, uses, clock.now())
            async with usage.service.store.unit_of_work() as work:
                await usage.context.detection.monitor.begin(
                    work, {dataset_id(name): clock.now().date() for name in uses}, due_at=clock.now()
                )
                while await detect_anomalies(work, usage.context.detection):
                    pass
        return await alerts_of(usage)
    finally:
        await usage.service.store.close()


@dataclass
class StreamBench:
    """The worker's part of usage, running, and hands to reach the stream processor by."""

    folder: Path
    environment: dict[str, str]
    usage: Usage
    runner: ServiceRunner
    log: KafkaEventLog
    settings: KafkaSettings
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)

    async def feed(self, uses: Uses) -> None:
        """Have these uses counted, and their rollups published."""
        await feed(self.usage, uses, datetime.now(UTC))
        await self.until(self._is_published)

    async def start(self, *, module: str = MODULE, replica: str = "stream-0", **more: str) -> int:
        """Start a stream processor, wait until it is ready, and return its number."""
        number = self.spawn(module=module, replica=replica, **more)
        await self.until(lambda: self._is_ready(number))
        return number

    def spawn(self, *, module: str = MODULE, replica: str = "stream-0", **more: str) -> int:
        """Start a stream processor, and return its number."""
        port = free_port()
        own = {"NUTMEG_PORT": str(port), "NUTMEG_KAFKA_REPLICA": replica}
        with (self.folder / "stream.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module],
                env={**os.environ, **self.environment, **own, **more},
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        self.ports.append(port)
        return len(self.processes) - 1

    async def ended(self, number: int) -> int:
        """Wait until a process has ended by itself, and return its exit code."""
        return await asyncio.to_thread(self.processes[number].wait, SECONDS_MAX)

    def kill(self, number: int) -> None:
        """Kill a process as a crash would."""
        self.processes[number].kill()
        self.processes[number].wait()

    async def lose_the_changelog(self) -> None:
        """Delete the table's topic. No stream processor may run."""
        name = self.settings.prefixed(TABLE.name)
        client = AIOKafkaAdminClient(**client_options(self.settings))
        await client.start()
        try:
            await client.delete_topics([name])

            async def is_gone() -> bool:
                return name not in await client.list_topics()

            await self.until(is_gone)
        finally:
            await client.close()

    async def poison(self, times: int) -> None:
        """Put records on the topic of rollups that are none."""
        headers = [("ce_type", ROLLUP_UPDATED.name.encode()), ("ce_id", b"poison")]
        await self.log.publish(
            [
                OutgoingRecord(GROUP.topics[0], f"poison {number}", str(number), headers, b"{")
                for number in range(times)
            ]
        )

    async def dead_letters(self) -> list[DeadLetter]:
        """Return what the stream processor has put aside."""
        topic = dead_letter_topic(TOPICS[GROUP.topics[0]]).name
        return [
            read_dead_letter(record)
            for place, end in (await self.log.end_offsets(topic)).items()
            for record in await self.log.read(place, from_offset=0, records_max=max(end, 1))
        ]

    async def stop(self, number: int) -> int:
        """Ask a process to end, and return its exit code."""
        self.processes[number].send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.processes[number].wait, 60)

    async def alerts(self) -> Alerts:
        """Return the open alerts."""
        return await alerts_of(self.usage)

    async def alerts_are(self, expected: Alerts) -> None:
        """Wait until exactly these alerts are open and everything is read, and see that they stay so."""

        async def as_expected() -> bool:
            return await self.is_read() and await self.alerts() == expected

        try:
            await self.until(as_expected)
        except AssertionError as error:
            found = await self.alerts()
            differing = [
                alert_id
                for alert_id in {**expected, **found}
                if expected.get(alert_id) != found.get(alert_id)
            ]
            words = [f"expected {expected.get(one)}, found {found.get(one)}" for one in differing]
            raise AssertionError("\n".join([f"all read: {await self.is_read()}", *words])) from error
        await asyncio.sleep(2)  # looks at what is due come every second
        assert await self.alerts() == expected

    async def told(self) -> list[Event]:
        """Return every event on ``usage.alerts``."""
        events = []
        for place, end in (await self.log.end_offsets("usage.alerts")).items():
            for record in await self.log.read(place, from_offset=0, records_max=max(end, 1)):
                events.append(decode(record.headers, record.value))
        return events

    async def opened(self) -> list[str]:
        """Return the ids of the alerts that were told as opened, as often as they were."""
        return sorted(event.subject for event in await self.told() if event.type == USAGE_ALERT_OPENED.name)

    async def is_read(self) -> bool:
        """Tell whether the stream has committed all rollups, and everything is published."""
        committed = await self.log.committed(GROUP.name)
        ends = await self.log.end_offsets(GROUP.topics[0])
        is_read = all(committed.get(place, 0) >= end for place, end in ends.items())
        return is_read and await self._is_published()

    async def metrics(self, number: int) -> str:
        """What a process tells Prometheus."""
        async with httpx.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{self.ports[number]}/metrics")).text

    async def until(self, condition: Any) -> None:
        """Wait until ``condition`` holds. Raises ``AssertionError`` with the log if it takes too long."""
        ends_at = time.monotonic() + SECONDS_MAX
        while not await condition():
            assert time.monotonic() < ends_at, self.words()
            await asyncio.sleep(0.1)

    def words(self) -> str:
        """The end of what stream processors wrote."""
        return (self.folder / "stream.log").read_text(errors="replace")[-20_000:]

    async def _is_published(self) -> bool:
        store, outbox = self.usage.service.store, self.usage.service.store.tables.outbox
        if await rollups_unpublished(store):
            return False
        async with store.read() as connection:
            waiting = select(func.count()).select_from(outbox).where(outbox.c.published_at.is_(None))
            return (await connection.execute(waiting)).scalar_one() == 0

    async def _is_ready(self, number: int) -> bool:
        assert self.processes[number].poll() is None, self.words()
        try:
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"http://127.0.0.1:{self.ports[number]}/readyz")
        except httpx.TransportError:
            return False
        return answer.status_code == 200


@asynccontextmanager
async def stream_bench(
    folder: Path, *, kafka: str, database_url: str, security: Mapping[str, str] | None = None
) -> AsyncIterator[StreamBench]:
    """Run the worker's part over an empty database and topics of its own; all ends with the block.

    ``security`` are the settings, by name, with which clients reach Kafka, where that takes any.
    """
    clock = SystemClock()
    reaching = {
        "bootstrap_servers": kafka,
        "prefix": f"{uuid4()}.",
        "replication_factor": "1",
        **(security or {}),
    }
    settings = KafkaSettings.model_validate({**reaching, "replica": "worker-0"})
    log = KafkaEventLog(settings, clock=clock)
    usage = _usage(database_url, clock)
    # It is handed what its groups would read.
    runner = ServiceRunner(replace(usage.service, subscriptions=[]), log=log, clock=clock)
    environment = {
        "NUTMEG_DATABASE_URL": database_url,
        "NUTMEG_SIGNING_KEY": secrets.token_hex(32),
        "NUTMEG_DATA_DIR": str(folder / "data"),
        **{f"NUTMEG_KAFKA_{name.upper()}": value for name, value in reaching.items()},
    }
    await log.ensure_topics(CLUSTER_TOPICS)
    await runner.start()
    bench = StreamBench(folder, environment, usage, runner, log, settings)
    try:
        yield bench
    finally:
        for process in bench.processes:
            process.kill()
            process.wait()
        await runner.stop()
        await log.close()


def _usage(database_url: str, clock: Clock) -> Usage:
    return bootstrap(
        UsageSettings(), database_url=database_url, clock=clock, metrics=Metrics(), is_watching=False
    )


def _registered(name: str, since: datetime) -> Event:
    state = DatasetState(
        dataset_id=dataset_id(name),
        source_id="portal.example",
        identifier=name,
        title=name.capitalize(),
        visibility="public",
        registered_at=since,
        metadata_changed_at=since,
    )
    return new_event(
        DATASET_REGISTERED,
        DatasetRegistered(dataset=state),
        subject=str(state.dataset_id),
        time=since,
        subjectversion=1,
    )


def _hit(name: str, day: datetime, number: int, now: datetime) -> Event:
    # Today's all in one hour: an alert says how many there were when it was opened, and hours come singly.
    hour = number % 24 if day.date() < now.date() else 0
    moment = day.replace(hour=hour, minute=0, second=0, microsecond=number)
    hit = Hit(
        hit_id=uuid4(),
        dataset_id=dataset_id(name),
        kind="view",
        visitor_hash=secrets.token_hex(32),
        visitor_bucket=f"{number % 64:02}",
        occurred_at=moment,
    )
    return new_event(HIT_RECORDED, HitRecorded(hit=hit), subject=str(hit.hit_id), time=now)


def steady(count: int, *, days: Sequence[int] = range(1, 41)) -> dict[int, int]:
    """So many uses on each of these days."""
    return dict.fromkeys(days, count)
