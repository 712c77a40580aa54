"""The catalogue as a running service: the real store, log, index and HTTP application, on a folder."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
from fastapi import FastAPI

from services.catalog.bootstrap import Catalog, bootstrap
from services.catalog.search.domain.index import CatalogIndex
from services.catalog.settings import CatalogSettings
from shared.clock import Clock
from shared.events.envelope import Event, decode, encode, new_event, tombstone
from shared.events.model import EventModel
from shared.events.registry import EventType
from shared.events.topics import TOPICS
from shared.http.app import build_app
from shared.http.downloads import Downloads
from shared.http.settings import HTTPSettings
from shared.identity.signing_key import SigningKey
from shared.identity.tokens import AuthenticationError
from shared.identity.viewer import Grant, Role, Viewer
from shared.log.port import OutgoingRecord, TopicPartition
from shared.log.sqlite.event_log import SQLiteEventLog
from shared.process.service_runner import ServiceRunner, wait_until_idle
from shared.store.engine import sqlite_url
from shared.telemetry.metrics import Metrics

AGENCY_A = UUID("6a4b1c4e-0000-4d5e-9a11-00000000000a")
AGENCY_B = UUID("6a4b1c4e-0000-4d5e-9a11-00000000000b")

VIEWERS: Mapping[str, Viewer] = {
    "operator": Viewer(UUID(int=1), frozenset({Grant(Role.OPERATOR)}), "operator"),
    "officer": Viewer(UUID(int=2), frozenset({Grant(Role.CHIEF_DATA_OFFICER)}), "officer"),
    "steward-a": Viewer(UUID(int=3), frozenset({Grant(Role.STEWARD, AGENCY_A)}), "steward-a"),
    "steward-b": Viewer(UUID(int=4), frozenset({Grant(Role.STEWARD, AGENCY_B)}), "steward-b"),
    "requester": Viewer(UUID(int=5), frozenset({Grant(Role.REQUESTER)}), "requester"),
}


class KnownTokens:
    """An authenticator whose tokens are the names above."""

    async def authenticate(self, token: str) -> Viewer:
        if token not in VIEWERS:
            raise AuthenticationError("unknown", "The token belongs to nobody.")
        return VIEWERS[token]


@dataclass(frozen=True, slots=True)
class RunningCatalog:
    """A started catalogue and ways to speak with it."""

    catalog: Catalog
    runner: ServiceRunner
    log: SQLiteEventLog
    client: httpx.AsyncClient
    app: FastAPI
    metrics: Metrics
    clock: Clock

    async def idle(self, timeout_seconds: float = 60.0) -> None:
        """Wait until all that was caused is done."""
        await wait_until_idle([self.runner], timeout_seconds=timeout_seconds)

    async def harvest(
        self, feed: Mapping[str, Any] | bytes, *, source: str | None = "feed", **params: Any
    ) -> dict[str, Any]:
        """Harvest a feed to its end; return the job. Without a source, one is found for it."""
        body = feed if isinstance(feed, bytes) else orjson.dumps(feed)
        answer = await self.client.post(
            "/api/v1/harvests",
            params={"source": source, "wait": "true", **params} if source else {"wait": "true", **params},
            content=body,
            headers=bearer("operator"),
        )
        assert answer.status_code == 200, answer.text
        await self.idle()
        return dict(answer.json())

    async def get(self, path: str, viewer: str | None = None, **params: Any) -> httpx.Response:
        """GET as a viewer; None is anybody."""
        # Empty parameters would take the place of those in the path.
        return await self.client.get(path, params=params or None, headers=bearer(viewer) if viewer else {})

    async def search(self, viewer: str | None = None, **params: Any) -> dict[str, Any]:
        """Search as a viewer."""
        answer = await self.get("/api/v1/datasets", viewer, **params)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def events(self, topic: str = "catalog.datasets") -> list[Event]:
        """All records of a topic of the log, in order."""
        records = await self.log.read(TopicPartition(topic, 0), from_offset=0, records_max=100_000)
        return [decode(record.headers, record.value) for record in records]

    async def tell(self, event_type: EventType, data: EventModel, subject: str, version: int = 1) -> Event:
        """Publish an event of another service, as its relay would."""
        event = new_event(event_type, data, subject=subject, time=self.clock.now(), subjectversion=version)
        await self._publish(event_type, event)
        return event

    async def tell_the_end(self, event_type: EventType, subject: str, version: int) -> None:
        """Publish the tombstone of a key."""
        event = tombstone(
            event_type,
            subject=subject,
            partition_key=subject,
            time=self.clock.now(),
            subjectversion=version,
        )
        await self._publish(event_type, event)

    async def _publish(self, event_type: EventType, event: Event) -> None:
        headers, value = encode(event)
        partition_key = event.partitionkey or event.subject
        await self.log.publish(
            [OutgoingRecord(event_type.topic.name, event.subject, partition_key, headers, value)]
        )
        await self.idle()


def bearer(viewer: str) -> dict[str, str]:
    """The header of a viewer's token."""
    return {"Authorization": f"Bearer {viewer}"}


async def always_ready() -> Sequence[str]:
    return ()


@asynccontextmanager
async def running_catalog(
    folder: Path,
    clock: Clock,
    *,
    settings: CatalogSettings | None = None,
    downloads: Downloads | None = None,
    open_index: Callable[[], Awaitable[CatalogIndex]] | None = None,
    database_url: str | None = None,
) -> AsyncIterator[RunningCatalog]:
    """Start a catalogue on a folder, which may hold one already; stop it at the end.

    Its database may be elsewhere.
    """
    folder.mkdir(parents=True, exist_ok=True)
    signing_key = SigningKey.load_or_create(folder / "signing-key")
    metrics = Metrics()
    log = SQLiteEventLog(folder / "log", clock=clock)
    await log.open()
    await log.ensure_topics(list(TOPICS.values()))
    catalog = bootstrap(
        settings or CatalogSettings(),
        data_dir=folder / "catalog",
        database_url=database_url or sqlite_url(folder / "catalog.db"),
        clock=clock,
        signing_key=signing_key,
        metrics=metrics,
        base_url="https://data.example.org",
        jurisdiction_words={"state"},
        downloads=downloads,
        open_index=open_index,
    )
    runner = ServiceRunner(catalog.service, log=log, clock=clock)
    app = build_app(
        title="Catalog",
        routers=catalog.service.routers,
        authenticator=KnownTokens(),
        signing_key=signing_key,
        metrics=metrics,
        clock=clock,
        installation="Test Nutmeg",
        settings=HTTPSettings(),
        readiness=always_ready,
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=120) as client:
        await runner.start()
        try:
            yield RunningCatalog(catalog, runner, log, client, app, metrics, clock)
        finally:
            await runner.stop()
            await log.close()


def feed_of(*datasets: Mapping[str, Any] | str) -> dict[str, Any]:
    """A DCAT-US catalogue of these datasets."""
    return {"conformsTo": "https://project-open-data.cio.gov/v1.1/schema", "dataset": list(datasets)}


def dataset(identifier: str | None = None, **fields: Any) -> dict[str, Any]:
    """A whole, valid DCAT-US dataset; ``fields`` replace some."""
    name = identifier or uuid4().hex
    whole = {
        "@type": "dcat:Dataset",
        "identifier": name,
        "title": f"Title of {name}",
        "description": f"What {name} holds.",
        "keyword": ["bridges"],
        "theme": ["Transport"],
        "modified": "2026-02-20",
        "publisher": {"@type": "org:Organization", "name": "Department of Roads"},
        "contactPoint": {
            "@type": "vcard:Contact",
            "fn": "Roads data team",
            "hasEmail": "mailto:roads@example.gov",
        },
        "accessLevel": "public",
        "license": "https://creativecommons.org/publicdomain/zero/1.0/",
        "distribution": [
            {
                "@type": "dcat:Distribution",
                "downloadURL": f"https://files.example.gov/{name}.csv",
                "mediaType": "text/csv",
            }
        ],
    }
    return whole | fields
