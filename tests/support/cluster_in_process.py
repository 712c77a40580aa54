"""The cluster's services within the test's own process, on one clock that the test may set."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from fastapi import FastAPI

from services.catalog.bootstrap import bootstrap_cluster as catalog
from services.governance.bootstrap import Governance
from services.governance.bootstrap import bootstrap as governance
from services.governance.settings import GovernanceSettings
from services.host.first_operator import issue_admin_token
from services.notify.bootstrap import bootstrap_cluster as notify
from services.quality.bootstrap import bootstrap_cluster as quality
from services.usage.bootstrap import bootstrap_cluster as usage
from shared.clock import Clock
from shared.consuming.dead_letters import DeadLetters
from shared.http.app import build_app
from shared.http.settings import HTTPSettings
from shared.identity.signing_key import SigningKey
from shared.log.kafka.event_log import KafkaEventLog
from shared.log.kafka.settings import KafkaSettings
from shared.outbox.relay import RelaySettings
from shared.process.context import BuildService, ProcessContext, ServedService
from shared.process.service_runner import ServiceRunner, wait_until_idle
from shared.process.settings import ClusterSettings
from shared.telemetry.metrics import Metrics
from tests.support.cluster import ROUTES
from tests.support.databases import Databases

__all__ = ["ADMIN", "ClusterInProcess", "run_cluster_in_process"]

SERVICES: Mapping[str, BuildService] = {
    "catalog": catalog,
    "notify": notify,
    "quality": quality,
    "usage": usage,
}
KEY = SigningKey(bytes(range(32)))
ADMIN = "admin@example.gov"
PARTITIONS = 2
IDLE_SECONDS_MAX = 120.0


@dataclass
class ClusterInProcess:
    """Running services. ``client`` finds the service that answers."""

    clock: Clock
    log: KafkaEventLog
    governance: Governance
    runners: Mapping[str, ServiceRunner]
    client: httpx.AsyncClient

    async def idle(self) -> None:
        """Wait until all that was caused is done."""
        await wait_until_idle(list(self.runners.values()), timeout_seconds=IDLE_SECONDS_MAX)

    async def sign_in(self) -> None:
        """Act as the operator from now on, with a new token."""
        token = await issue_admin_token(self.governance, ADMIN)
        self.client.headers["Authorization"] = f"Bearer {token}"

    async def rows(self, service: str, statement: str) -> Sequence[tuple[Any, ...]]:
        """Read a service's database."""
        async with self.runners[service].service.store.read() as connection:
            return [tuple(row) for row in await connection.exec_driver_sql(statement)]

    async def dead_letters(self) -> int:
        """How many dead letters there are."""
        stores = {name: runner.service.store for name, runner in self.runners.items()}
        return (await DeadLetters(log=self.log, stores=stores).list()).total


class _Ingress(httpx.AsyncBaseTransport):
    """Hands each request to the app that answers its path."""

    def __init__(self, apps: Mapping[str, FastAPI]) -> None:
        self._apps = {
            name: httpx.ASGITransport(app, client=("127.0.0.1", 50_000)) for name, app in apps.items()
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        service = next(name for prefix, name in ROUTES if request.url.path.startswith(prefix))
        return await self._apps[service].handle_async_request(request)


@asynccontextmanager
async def run_cluster_in_process(
    folder: Path, databases: Databases, kafka: str, clock: Clock, **settings: Any
) -> AsyncIterator[ClusterInProcess]:
    """Start every service over new databases and topics; the search index is in ``folder``."""
    log = KafkaEventLog(
        KafkaSettings(bootstrap_servers=kafka, prefix=f"{uuid4()}.", replica="one", replication_factor=1),
        clock=clock,
        partitions=PARTITIONS,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(log.close)
        built: dict[str, ServedService] = {}
        ground = await _ground(folder, databases, "governance", clock, settings)
        ruling = governance(
            GovernanceSettings(),
            database_url=ground.settings.database_url_of("governance"),
            clock=clock,
            signing_key=KEY,
        )
        built["governance"] = ServedService(ruling.service, ruling.authenticator)
        for name, build in SERVICES.items():
            built[name] = build(await _ground(folder, databases, name, clock, settings))
        runners = {}
        for name, served in built.items():
            relay = RelaySettings(poll_seconds=0.1, pause_seconds_max=1.0)
            runners[name] = ServiceRunner(served.service, log=log, clock=clock, relay_settings=relay)
            stack.push_async_callback(runners[name].stop)
            await runners[name].start()
        apps = {name: _app(served, clock) for name, served in built.items()}
        client = httpx.AsyncClient(base_url="http://127.0.0.1", timeout=120, transport=_Ingress(apps))
        await stack.enter_async_context(client)
        cluster = ClusterInProcess(clock, log, ruling, runners, client)
        await cluster.sign_in()
        yield cluster


async def _ground(
    folder: Path, databases: Databases, service: str, clock: Clock, settings: Mapping[str, Any]
) -> ProcessContext:
    return ProcessContext(
        settings=ClusterSettings(
            data_dir=folder,
            database_url=await databases.url(service),
            signing_key=bytes(range(32)).hex(),
            **settings,
        ),
        http=HTTPSettings(),
        clock=clock,
        signing_key=KEY,
        metrics=Metrics(),
    )


def _app(served: ServedService, clock: Clock) -> FastAPI:
    async def readiness() -> Sequence[str]:
        return ()

    return build_app(
        title=served.service.name,
        routers=served.service.routers,
        authenticator=served.authenticator,
        signing_key=KEY,
        metrics=Metrics(),
        clock=clock,
        installation="Nutmeg",
        settings=HTTPSettings(),
        readiness=readiness,
    )
