"""A cluster's services, built in one process that serves none of them: for operators, and for one-off jobs.

It opens every database, so it is the one to guard: it writes nothing but what an operator asks for: dead
letters to be handled again, parked jobs released, the search index mended.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI
from sqlalchemy import select

from services.catalog.bootstrap import bootstrap_cluster as catalog
from services.catalog.bootstrap import build_for_cluster
from services.catalog.settings import CatalogSettings
from services.governance.bootstrap import bootstrap_cluster as governance
from services.governance.settings import GovernanceSettings
from services.host.api_docs.pages import build_api_docs
from services.host.operations.api import build_operations_api
from services.host.operations.cluster import ClusterOperations
from services.host.operations.pages import build_operations_pages
from services.notify.bootstrap import bootstrap_cluster as notify
from services.notify.settings import NotifySettings
from services.quality.bootstrap import bootstrap_cluster as quality
from services.quality.settings import QualitySettings
from services.usage.bootstrap import bootstrap_cluster as usage
from services.usage.settings import UsageSettings, UsageStreamSettings
from shared.errors import TransientError
from shared.events.topics import CLUSTER_TOPICS
from shared.http.app import build_app
from shared.identity.principals import Authenticator
from shared.log.port import EventLog
from shared.process.context import BuildService, ProcessContext, cluster_context, cluster_log
from shared.store.engine import Store

__all__ = [
    "CLUSTER_SERVICES",
    "SERVICE_SETTINGS",
    "OperationsProcess",
    "bootstrap_operations",
    "cluster_at_rest",
]

CLUSTER_SERVICES: Mapping[str, BuildService] = {
    "catalog": catalog,
    "governance": governance,
    "notify": notify,
    "quality": quality,
    "usage": usage,
}

SERVICE_SETTINGS = (
    CatalogSettings,
    GovernanceSettings,
    NotifySettings,
    QualitySettings,
    UsageSettings,
    UsageStreamSettings,
)
"""Every setting of every service: a command knows them all, so that none is left to others to judge."""


@dataclass(frozen=True, slots=True)
class OperationsProcess:
    """The cluster as it is seen, and the application that shows it."""

    operations: ClusterOperations
    app: FastAPI
    log: EventLog

    async def close(self) -> None:
        """Close everything. Idempotent."""
        await self.operations.close()
        with contextlib.suppress(TransientError):
            await self.log.close()


def bootstrap_operations(
    ground: ProcessContext, *, authenticator: Authenticator | None = None
) -> OperationsProcess:
    """Build it; ``authenticator`` by default knows whom governance knows.

    Raises ``NutmegError`` unless the settings name each service's database.
    """
    ground.settings.check_databases_of(CLUSTER_SERVICES.keys())
    catalog = build_for_cluster(ground)
    built = {name: build(ground) for name, build in CLUSTER_SERVICES.items() if name != "catalog"}
    services = [catalog.service, *(served.service for served in built.values())]
    log = cluster_log(ground.clock)
    operations = ClusterOperations(
        services,
        log=log,
        groups_progress=log.groups_progress,
        clock=ground.clock,
        metrics=ground.metrics,
    )
    routers = [
        build_api_docs(),
        build_operations_api(operations),
        build_operations_pages(operations, catalog.indexing),
    ]
    authenticator = authenticator or built["governance"].authenticator
    app = _app(ground, operations, authenticator, routers)
    # It describes the API of the whole; each service answers its own part of it.
    whole = _app(
        ground,
        operations,
        authenticator,
        [*(router for service in services for router in service.routers), *routers],
    )
    app.openapi = whole.openapi  # type: ignore[method-assign]  # FastAPI documents this as the way to extend it
    return OperationsProcess(operations, app, log)


@asynccontextmanager
async def cluster_at_rest() -> AsyncIterator[tuple[list[Store], EventLog]]:
    """Yield the services' stores, closed, and the log, open, by the environment. No worker may run."""
    ground = cluster_context(own_settings=SERVICE_SETTINGS)
    ground.settings.check_databases_of(CLUSTER_SERVICES.keys())
    stores = [build(ground).service.store for build in CLUSTER_SERVICES.values()]
    log = cluster_log(ground.clock)
    try:
        await log.ensure_topics(CLUSTER_TOPICS)
        yield stores, log
    finally:
        await log.close()


def _app(
    ground: ProcessContext,
    operations: ClusterOperations,
    authenticator: Authenticator,
    routers: Sequence[APIRouter],
) -> FastAPI:
    stores = {service.name: service.store for service in operations.services}

    async def readiness() -> Sequence[str]:
        return await _away(operations, [stores["governance"]])

    async def troubles() -> Sequence[str]:
        return await _away(operations, [store for name, store in stores.items() if name != "governance"])

    return build_app(
        title=f"{ground.settings.installation_name} API",
        routers=routers,
        authenticator=authenticator,
        signing_key=ground.signing_key,
        metrics=ground.metrics,
        clock=ground.clock,
        installation=ground.settings.installation_name,
        settings=ground.http,
        readiness=readiness,
        troubles=troubles,
        before_scrape=[operations.measure],
        trusted_proxies=ground.settings.trusted_proxies,
    )


async def _away(operations: ClusterOperations, stores: Sequence[Store]) -> list[str]:
    """Return, in words, which of these stores cannot be read. Who signs in is known by governance's alone."""
    causes = []
    for store in stores:
        if not operations.has_opened(store):
            causes.append(f"{store.service} is not open yet")
            continue
        try:
            async with store.read() as connection:
                await connection.execute(select(1))
        except TransientError as error:
            causes.append(str(error))
    return causes
