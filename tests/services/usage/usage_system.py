"""Usage on the real embedded log and behind the real HTTP stack, with a catalogue and a directory played."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import httpx
from sqlalchemy import select

from services.usage.bootstrap import Usage, bootstrap
from services.usage.migrations.tables import ROLLUPS
from services.usage.settings import UsageSettings
from shared.clock import SimulatedClock
from shared.events.catalog import DatasetRegistered, DatasetRetired, DatasetState
from shared.events.envelope import Event, decode, encode, new_event
from shared.events.governance import GrantState, PersonChanged, PersonState
from shared.events.notify import AlertAcknowledged
from shared.events.registry import (
    ALERT_ACKNOWLEDGED,
    DATASET_REGISTERED,
    DATASET_RETIRED,
    EVENT_TYPES,
    PERSON_CHANGED,
    USAGE_ALERT_OPENED,
)
from shared.events.topics import TOPICS
from shared.http.app import build_app
from shared.http.settings import HTTPSettings
from shared.identity.principals import TokenAuthenticator
from shared.identity.signing_key import SigningKey
from shared.identity.tokens import Tokens
from shared.identity.viewer import TokenScope
from shared.log.port import OutgoingRecord, TopicPartition
from shared.log.sqlite.event_log import SQLiteEventLog
from shared.process.service_runner import ServiceRunner, wait_until_idle
from shared.store.engine import sqlite_url
from shared.telemetry.metrics import Metrics

NAMESPACE = UUID("b1a6b7c2-5d10-5c1c-9a55-0d1f6f1c7a01")
MORNING = datetime(2026, 3, 2, 8, tzinfo=UTC)
DEBOUNCE = timedelta(seconds=2)
KEY = SigningKey(b"k" * 32)
AGENCY = uuid5(NAMESPACE, "agency")
OTHER_AGENCY = uuid5(NAMESPACE, "other agency")
TAKER = uuid5(NAMESPACE, "taker")
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"

PEOPLE: Mapping[str, tuple[str, UUID | None]] = {
    "importer": ("service", None),
    "agency-importer": ("service", AGENCY),
    "steward": ("steward", AGENCY),
}


def dataset_id(name: str) -> UUID:
    return uuid5(NAMESPACE, name)


def visit(name: str, number: int, seconds: float = 0, kind: str = "view", **more: Any) -> dict[str, Any]:
    """A hit of visitor ``number``, so many seconds after eight in the morning."""
    return {
        "dataset_id": str(dataset_id(name)),
        "kind": kind,
        "occurred_at": (MORNING + timedelta(seconds=seconds)).isoformat(),
        "visitor": {"address": f"10.0.0.{number}", "user_agent": "Mozilla/5.0 Firefox/132.0"},
        **more,
    }


@dataclass
class UsageSystem:
    """The service as it runs, and hands to reach it by."""

    usage: Usage
    log: SQLiteEventLog
    runner: ServiceRunner
    metrics: Metrics
    clock: SimulatedClock
    _app: Any

    def client(self, who: str | None = None, *, address: str = "192.0.2.7") -> httpx.AsyncClient:
        """An HTTP client with the token of one of ``PEOPLE``, or without any, and a browser's agent."""
        headers = {"User-Agent": BROWSER}
        if who is not None:
            scopes = [TokenScope.HITS] if "importer" in who else []
            token = Tokens(KEY, self.clock).issue(uuid5(NAMESPACE, who), timedelta(hours=1), scopes=scopes)
            headers["Authorization"] = f"Bearer {token}"
        transport = httpx.ASGITransport(app=self._app, client=(address, 50_000))
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=headers)

    async def settle(self) -> None:
        """Wait until everything is counted and published; what has to rest first rests at once."""
        while True:
            if await self.is_counted():
                break
            await asyncio.sleep(0.01)
        self.clock.advance(DEBOUNCE)
        await wait_until_idle([self.runner], timeout_seconds=60)

    async def is_counted(self) -> bool:
        """Tell whether all that was taken in has gone through the log and is counted."""
        drained = [await loop.drained() for loop in self.runner.loops.values()]
        return all(drained) and await self.runner.relay.drained()

    async def register(self, *names: str, visibility: str = "public", agency: UUID | None = AGENCY) -> None:
        """Let the catalogue tell of datasets, and wait until usage knows them."""
        await self._publish(
            [
                new_event(
                    DATASET_REGISTERED,
                    DatasetRegistered(dataset=self._state(name, visibility, agency)),
                    subject=str(dataset_id(name)),
                    time=self.clock.now(),
                    subjectversion=1,
                )
                for name in names
            ]
        )

    async def retire(self, name: str) -> None:
        """Let the catalogue retire a dataset."""
        event = new_event(
            DATASET_RETIRED,
            DatasetRetired(dataset=self._state(name, "public", AGENCY), reason="left its source"),
            subject=str(dataset_id(name)),
            time=self.clock.now(),
            subjectversion=2,
        )
        await self._publish([event])

    async def acknowledge(self, alert_id: UUID, name: str) -> None:
        """Let notify say that somebody took charge of an alert."""
        taken = AlertAcknowledged(
            alert_id=alert_id,
            owner_topic=USAGE_ALERT_OPENED.topic.name,
            dataset_id=dataset_id(name),
            acknowledged_by=TAKER,
            acknowledged_at=self.clock.now(),
        )
        event = new_event(ALERT_ACKNOWLEDGED, taken, subject=str(alert_id), time=self.clock.now())
        await self._publish([event])

    async def events(self, topic: str) -> list[Event]:
        """Everything on a topic of the log."""
        records = await self.log.read(TopicPartition(topic, 0), from_offset=0, records_max=100_000)
        return [decode(record.headers, record.value) for record in records]

    async def rollups(self, granularity: str = "day") -> dict[tuple[UUID, datetime], Any]:
        """The counts in the store, by dataset and window."""
        async with self.usage.service.store.read() as connection:
            rows = await connection.execute(select(ROLLUPS).where(ROLLUPS.c.granularity == granularity))
            return {(row.dataset_id, row.window_start): row for row in rows}

    async def hire(self) -> None:
        """Let the directory tell of ``PEOPLE``."""
        await self._publish(
            [
                new_event(
                    PERSON_CHANGED,
                    PersonChanged(
                        person=PersonState(
                            person_id=uuid5(NAMESPACE, name),
                            display_name=name,
                            grants=[GrantState(role=role, agency_id=agency)],
                        )
                    ),
                    subject=str(uuid5(NAMESPACE, name)),
                    time=self.clock.now(),
                    subjectversion=1,
                )
                for name, (role, agency) in PEOPLE.items()
            ]
        )

    async def _publish(self, events: Sequence[Event]) -> None:
        records = []
        for event in events:
            headers, value = encode(event)
            topic = EVENT_TYPES[event.type].topic
            records.append(OutgoingRecord(topic.name, event.subject, event.subject, headers, value))
        await self.log.publish(records)
        await self.settle()

    def _state(self, name: str, visibility: str, agency: UUID | None) -> DatasetState:
        now = self.clock.now()
        return DatasetState(
            dataset_id=dataset_id(name),
            source_id="portal.example",
            identifier=f"https://data.example/id/{name}",
            title=name.capitalize(),
            agency_id=agency,
            agency_name="Department of Examples" if agency == AGENCY else None,
            visibility=visibility,
            landing_page=f"https://data.example/d/{name}",
            registered_at=now,
            metadata_changed_at=now,
        )


@asynccontextmanager
async def running(
    directory: Path, clock: SimulatedClock, *, database_url: str | None = None
) -> AsyncIterator[UsageSystem]:
    """Run usage in ``directory``; run it there again, and it goes on. Its database may be elsewhere."""
    metrics = Metrics()
    usage = bootstrap(
        UsageSettings(),
        database_url=database_url or sqlite_url(directory / "usage.db"),
        clock=clock,
        metrics=metrics,
    )
    log = SQLiteEventLog(directory / "log", clock=clock)
    await log.open()
    await log.ensure_topics(list(TOPICS.values()))
    runner = ServiceRunner(usage.service, log=log, clock=clock)
    store = usage.service.store
    app = build_app(
        title="Usage",
        routers=usage.service.routers,
        authenticator=TokenAuthenticator(Tokens(KEY, clock), store, usage.context.principals),
        signing_key=KEY,
        metrics=metrics,
        clock=clock,
        installation="Test",
        settings=HTTPSettings(rate_limit=""),
        readiness=_ready,
    )
    await runner.start()
    try:
        yield UsageSystem(usage, log, runner, metrics, clock, app)
    finally:
        await runner.stop()
        await log.close()


async def _ready() -> Sequence[str]:
    return ()
