"""Quality on the real embedded log and behind the real HTTP stack, with catalog, directory and portal.

The portal is a small real server on loopback that serves the files a test gives it.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import httpx
from sqlalchemy import select

from services.quality.bootstrap import Quality, bootstrap
from services.quality.migrations.tables import PROFILE_JOBS
from services.quality.profiling.domain.files import DataSource, Profiler
from services.quality.settings import QualitySettings
from shared.clock import SimulatedClock
from shared.events.alerts import AlertState
from shared.events.catalog import (
    Column,
    DatasetChanged,
    DatasetRegistered,
    DatasetRetired,
    DatasetState,
    Distribution,
    HarvestCompleted,
)
from shared.events.envelope import Event, decode, encode, new_event
from shared.events.governance import GrantState, PersonChanged, PersonState
from shared.events.model import EventModel
from shared.events.notify import AlertAcknowledged
from shared.events.quality import Measurement, MeasurementRecorded
from shared.events.registry import (
    ALERT_ACKNOWLEDGED,
    DATASET_CHANGED,
    DATASET_REGISTERED,
    DATASET_RETIRED,
    HARVEST_COMPLETED,
    PERSON_CHANGED,
    EventType,
)
from shared.events.topics import TOPICS
from shared.http.app import build_app
from shared.http.settings import HTTPSettings
from shared.identity.signing_key import SigningKey
from shared.identity.tokens import Tokens
from shared.log.port import OutgoingRecord, TopicPartition
from shared.log.sqlite.event_log import SQLiteEventLog
from shared.process.service_runner import ServiceRunner, wait_until_idle
from shared.store.engine import sqlite_url
from shared.telemetry.metrics import Metrics

NAMESPACE = UUID("7b0f2f0e-51a2-4f0b-8e9e-4f0e4d8e7c02")
KEY = SigningKey(b"k" * 32)
AGENCY = uuid5(NAMESPACE, "agency")
OTHER_AGENCY = uuid5(NAMESPACE, "other agency")
HARVEST = uuid5(NAMESPACE, "harvest")
STEWARD = uuid5(NAMESPACE, "steward")

PEOPLE: Mapping[str, tuple[str, UUID | None]] = {
    "operator": ("operator", None),
    "steward": ("steward", AGENCY),
    "other-steward": ("steward", OTHER_AGENCY),
    "requester": ("requester", None),
}
PATIENCE_SECONDS = 60


def dataset_id(name: str) -> UUID:
    return uuid5(NAMESPACE, name)


def csv_of(rows: int, *, header: str = "town,count") -> bytes:
    """A table of so many rows."""
    lines = [header, *(f"Town {number},{number * 3}" for number in range(rows))]
    return ("\n".join(lines) + "\n").encode()


@dataclass
class Portal:
    """Serves ``files`` by path; one in ``broken`` answers with that status. ``asked``: (path, status)."""

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """While it is there and not set, answers wait."""

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            path = lines[0].split(" ")[1]
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
            if self.gate is not None:
                await self.gate.wait()
            body = self.files.get(path)
            etag = f'"{hashlib.sha256(body or b"").hexdigest()[:16]}"'
            status = self.broken.get(path, 404 if body is None else 200)
            if status == 200 and headers.get("if-none-match") == etag:
                status = 304
            self.asked.append((path, status))
            content = body if status == 200 and body is not None else b""
            writer.write(
                f"HTTP/1.1 {status} x\r\nContent-Length: {len(content)}\r\nETag: {etag}\r\n"
                f"Content-Type: text/csv\r\nConnection: close\r\n\r\n".encode()
            )
            writer.write(content)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


@dataclass
class QualitySystem:
    """The service as it runs, and hands to reach it by."""

    quality: Quality
    log: SQLiteEventLog
    runner: ServiceRunner
    portal: Portal
    clock: SimulatedClock
    app: Any
    metrics: Metrics
    versions: dict[str, int] = field(default_factory=dict)
    states: dict[str, DatasetState] = field(default_factory=dict)

    def client(self, who: str | None = None) -> httpx.AsyncClient:
        """An HTTP client with the token of one of ``PEOPLE``, or without any."""
        headers = {}
        if who is not None:
            token = Tokens(KEY, self.clock).issue(uuid5(NAMESPACE, who), timedelta(hours=1))
            headers["Authorization"] = f"Bearer {token}"
        transport = httpx.ASGITransport(app=self.app)
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=headers)

    async def settle(self) -> None:
        """Wait until everything that was caused is done and told."""
        await wait_until_idle([self.runner], timeout_seconds=PATIENCE_SECONDS)

    async def pass_time(self, by: timedelta) -> None:
        """Move the clock, and let the service see what is due."""
        self.clock.advance(by)
        for work in self.runner.works:
            work.wake()
        await self.settle()

    def state(self, name: str, **fields: Any) -> DatasetState:
        """A well-described dataset, updated today and promised monthly."""
        now = self.clock.now()
        return DatasetState(
            **{
                "source_id": "portal.example",
                "identifier": f"https://data.example/id/{name}",
                "title": name.capitalize(),
                "description": "One row per town and year, counted by the department from its own registers, "
                "with a note where a town reports late.",
                "keywords": ["towns", "counts", "years"],
                "themes": ["Government"],
                "agency_id": AGENCY,
                "agency_name": "Department of Examples",
                "steward_id": STEWARD,
                "contact_email": "data@example.gov",
                "license": "https://creativecommons.org/publicdomain/zero/1.0/",
                "landing_page": f"https://data.example/d/{name}",
                "accrual_periodicity": "R/P1M",
                "data_updated_at": now,
                "columns": [Column(name="town", type="text"), Column(name="count", type="number")],
                "registered_at": now,
                "metadata_changed_at": now,
                **fields,
                "dataset_id": dataset_id(name),
            }
        )

    async def register(
        self, *names: str, first_harvest: bool = False, has_file: bool = False, **fields: Any
    ) -> None:
        """Let the catalog tell of new datasets; with ``has_file`` they offer ``/<name>.csv``."""
        events = []
        for name in names:
            if has_file:
                fields["distributions"] = [self.distribution(name)]
            self.states[name] = self.state(name, **fields)
            data = DatasetRegistered(
                dataset=self.states[name],
                harvest_id=HARVEST if first_harvest else None,
                first_harvest=first_harvest,
            )
            events.append(self.event(DATASET_REGISTERED, data, str(dataset_id(name))))
        await self.publish(events)
        await self.settle()

    def distribution(self, name: str) -> Distribution:
        return Distribution(download_url=self.portal.url(f"/{name}.csv"), media_type="text/csv", format="CSV")

    async def change(self, name: str, **fields: Any) -> Event:
        """Let the catalog tell of a changed dataset; return the event."""
        self.states[name] = self.states[name].model_copy(update=fields)
        data = DatasetChanged(dataset=self.states[name], changed_fields=sorted(fields))
        event = self.event(DATASET_CHANGED, data, str(dataset_id(name)))
        await self.publish([event])
        await self.settle()
        return event

    async def update_file(self, name: str, content: bytes) -> Event:
        """Publish another file, and let the catalog say that the data was updated."""
        self.portal.files[f"/{name}.csv"] = content
        self.clock.advance(timedelta(minutes=1))
        return await self.change(name, data_updated_at=self.clock.now())

    async def retire(self, name: str) -> None:
        """Let the catalog retire a dataset."""
        data = DatasetRetired(dataset=self.states[name], reason="left its source")
        await self.publish([self.event(DATASET_RETIRED, data, str(dataset_id(name)))])
        await self.settle()

    async def complete_harvest(self, created: int, harvest_id: UUID = HARVEST) -> None:
        """Let the catalog say that the first harvest is over."""
        now = self.clock.now()
        data = HarvestCompleted(
            harvest_id=harvest_id,
            source_id="portal.example",
            first_harvest=True,
            created=created,
            changed=0,
            unchanged=0,
            retired=0,
            rejected=0,
            started_at=now,
            completed_at=now,
        )
        await self.publish([self.event(HARVEST_COMPLETED, data, str(harvest_id))])
        await self.settle()

    async def acknowledge(self, alert_id: UUID, name: str) -> None:
        """Let notify say that the steward took charge."""
        data = AlertAcknowledged(
            alert_id=alert_id,
            owner_topic=TOPICS["quality.alerts"].name,
            dataset_id=dataset_id(name),
            acknowledged_by=STEWARD,
            acknowledged_at=self.clock.now(),
        )
        await self.publish([self.event(ALERT_ACKNOWLEDGED, data, str(alert_id))])
        await self.settle()

    async def hire(self) -> None:
        """Let the directory tell of ``PEOPLE``."""
        await self.publish(
            [
                self.event(
                    PERSON_CHANGED,
                    PersonChanged(
                        person=PersonState(
                            person_id=uuid5(NAMESPACE, name),
                            display_name=name,
                            grants=[GrantState(role=role, agency_id=agency)],
                        )
                    ),
                    str(uuid5(NAMESPACE, name)),
                )
                for name, (role, agency) in PEOPLE.items()
            ]
        )
        await self.settle()

    def event(self, event_type: EventType, data: EventModel, subject: str) -> Event:
        """An event of the next version of its subject."""
        self.versions[subject] = self.versions.get(subject, 0) + 1
        return new_event(
            event_type, data, subject=subject, time=self.clock.now(), subjectversion=self.versions[subject]
        )

    async def publish(self, events: Sequence[Event]) -> None:
        """Put events into the log, past everybody's outbox."""
        types = (
            DATASET_REGISTERED,
            DATASET_CHANGED,
            DATASET_RETIRED,
            HARVEST_COMPLETED,
            PERSON_CHANGED,
            ALERT_ACKNOWLEDGED,
        )
        topics = {event_type.name: event_type.topic.name for event_type in types}
        records = []
        for event in events:
            headers, value = encode(event)
            partition_key = event.partitionkey or event.subject
            records.append(OutgoingRecord(topics[event.type], event.subject, partition_key, headers, value))
        await self.log.publish(records)

    async def events(self, topic: str) -> list[Event]:
        """Everything on a topic of the log."""
        records = await self.log.read(TopicPartition(topic, 0), from_offset=0, records_max=100_000)
        return [decode(record.headers, record.value) for record in records]

    async def alerts(self) -> list[tuple[str, str, AlertState]]:
        """What was told of alerts, in order: (opened, changed or resolved; kind; state)."""
        told = []
        for event in await self.events(TOPICS["quality.alerts"].name):
            if event.data is not None:
                alert: AlertState = event.data.alert  # type: ignore[attr-defined]
                told.append((event.type.split(".")[3], alert.kind, alert))
        return told

    async def alert_words(self) -> list[str]:
        """What was told of alerts, in short: ``opened row-count-dropped``."""
        return [f"{word} {kind}" for word, kind, _ in await self.alerts()]

    async def measurements(self, name: str, kind: str) -> list[Measurement]:
        """What was told of one kind of measurement on a dataset, in order."""
        return [
            event.data.measurement
            for event in await self.events(TOPICS["quality.measurements"].name)
            if isinstance(event.data, MeasurementRecorded) and event.subject == f"{dataset_id(name)}/{kind}"
        ]

    async def job(self, name: str) -> Any:
        """The row of a dataset's profile job."""
        async with self.quality.service.store.read() as connection:
            rows = await connection.execute(
                select(PROFILE_JOBS).where(PROFILE_JOBS.c.dataset_id == dataset_id(name))
            )
            return rows.one_or_none()


@asynccontextmanager
async def running(
    directory: Path,
    clock: SimulatedClock,
    portal: Portal,
    *,
    source: DataSource | None = None,
    profiler: Profiler | None = None,
    database_url: str | None = None,
    **settings: Any,
) -> AsyncIterator[QualitySystem]:
    """Run quality in ``directory``; run it there again, and it goes on. Its database may be elsewhere."""
    metrics = Metrics()
    quality = bootstrap(
        QualitySettings(**settings),
        database_url=database_url or sqlite_url(directory / "quality.db"),
        clock=clock,
        signing_key=KEY,
        metrics=metrics,
        allowed_networks=[ip_network("127.0.0.0/8")],
        allowed_ports=[portal.port],
        source=source,
        profiler=profiler,
    )
    log = SQLiteEventLog(directory / "log", clock=clock)
    await log.open()
    await log.ensure_topics(list(TOPICS.values()))
    runner = ServiceRunner(quality.service, log=log, clock=clock)
    app = build_app(
        title="Quality",
        routers=quality.service.routers,
        authenticator=quality.authenticator,
        signing_key=KEY,
        metrics=metrics,
        clock=clock,
        installation="Test",
        settings=HTTPSettings(rate_limit=""),
        readiness=_ready,
    )
    await runner.start()
    try:
        yield QualitySystem(quality, log, runner, portal, clock, app, metrics)
    finally:
        await runner.stop()
        await log.close()


@asynccontextmanager
async def serving() -> AsyncIterator[Portal]:
    """Run a portal on a free port of loopback."""
    portal = Portal()
    server = await asyncio.start_server(portal.serve, "127.0.0.1", 0)
    portal.port = server.sockets[0].getsockname()[1]
    async with server:
        yield portal


async def _ready() -> Sequence[str]:
    return []
