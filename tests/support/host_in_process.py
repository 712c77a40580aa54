"""The whole host within the test's own process, for tests that break its parts; HTTP through its stack."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from services.host.bootstrap import bootstrap_host
from services.host.running import Host
from services.host.settings import HostSettings
from shared.clock import Clock

__all__ = ["RunningHost", "feed_of", "run_host"]

IDLE_SECONDS_MAX = 120.0


@dataclass(frozen=True, slots=True)
class RunningHost:
    """A started host, and a client with the administrator's token."""

    host: Host
    client: httpx.AsyncClient

    async def idle(self) -> None:
        """Wait until all that was caused is done."""
        await self.host.wait_until_idle(timeout_seconds=IDLE_SECONDS_MAX)

    async def harvest(self, feed: Mapping[str, Any], source: str = "feed") -> None:
        """Harvest a feed to its end; what follows from it may still be under way."""
        answer = await self.client.post(
            "/api/v1/harvests", params={"source": source, "wait": "true"}, content=orjson.dumps(feed)
        )
        assert answer.json()["status"] == "completed", answer.text

    async def import_csv(self, kind: str, text: str) -> None:
        """Import agencies, people or stewardships; none may be refused."""
        answer = await self.client.post(f"/api/v1/directory/imports/{kind}", content=text)
        assert (answer.json()["refused"], answer.json()["published"]) == (0, True), answer.text

    async def dataset_ids(self) -> dict[str, str]:
        """Id of each dataset by title, as the administrator sees them."""
        found = await self.client.get("/api/v1/datasets", params={"limit": 100, "sort": "title"})
        return {one["title"]: one["id"] for one in found.json()["results"]}

    async def dead_letters(self) -> list[dict[str, Any]]:
        """All dead letters."""
        answer = await self.client.get("/api/v1/ops/dead-letters", params={"limit": 100})
        items: list[dict[str, Any]] = answer.json()["items"]
        assert answer.json()["next_cursor"] is None
        return items

    async def rows(self, service: str, statement: str) -> Sequence[tuple[Any, ...]]:
        """Read a service's database."""
        (runner,) = [runner for runner in self.host.runners if runner.service.name == service]
        async with runner.service.store.read() as connection:
            return [tuple(row) for row in await connection.exec_driver_sql(statement)]


@asynccontextmanager
async def run_host(data_dir: Path, *, clock: Clock | None = None) -> AsyncIterator[RunningHost]:
    """Start a host on a data directory; stop it at the end of the block."""
    host = bootstrap_host(HostSettings(data_dir=data_dir), clock=clock)
    await host.start()
    try:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(host.app, client=("127.0.0.1", 50_000)),
            base_url="http://127.0.0.1:8080",
            headers={"Authorization": f"Bearer {host.directory.read_admin_token()}"},
            timeout=120,
        ) as client:
            yield RunningHost(host, client)
    finally:
        await host.stop()


def feed_of(*identifiers: str, **fields: Any) -> dict[str, Any]:
    """A DCAT-US feed without files to fetch; the title of a dataset is its identifier."""
    return {
        "conformsTo": "https://project-open-data.cio.gov/v1.1/schema",
        "dataset": [
            {
                "identifier": identifier,
                "title": identifier,
                "description": f"What {identifier} holds.",
                "accessLevel": "public",
                "modified": "2026-02-20",
                **fields,
            }
            for identifier in identifiers
        ],
    }
