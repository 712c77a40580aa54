"""The process that shows a cluster to its operators, built: every database, Kafka, one application.

It is the one process that opens them all, so it is the one to guard: it writes nothing but what an
operator asks for: dead letters to be handled again, parked jobs released, the search index mended.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI
from sqlalchemy import select

from services.catalog.bootstrap import build_for_cluster
from services.host.cluster import CLUSTER_SERVICES
from services.host.cluster_operations import ClusterLog, ClusterOperations
from services.host.entrypoints.api_docs import build_api_docs
from services.host.entrypoints.api_operations import build_operations_api
from services.host.entrypoints.operations_pages import build_operations_pages
from shared.errors import TransientError
from shared.http.app import build_app
from shared.identity.principals import Authenticator
from shared.process.context import ProcessContext, cluster_log
from shared.process.running import serve_until
from shared.store.engine import Store
from shared.telemetry.logging import configure_logging

__all__ = ["OperationsProcess", "bootstrap_operations", "serve_operations"]

NAME = "operations"


@dataclass(frozen=True, slots=True)
class OperationsProcess:
    """The cluster as it is seen, and the application that shows it."""

    operations: ClusterOperations
    app: FastAPI
    log: ClusterLog

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
    services = [catalog.service, *(each.service for each in built.values())]
    log = cluster_log(ground.clock)
    operations = ClusterOperations(services, log=log, clock=ground.clock, metrics=ground.metrics)
    routers = [
        build_api_docs(),
        build_operations_api(operations),
        build_operations_pages(operations, catalog.indexing),
    ]
    authenticator = authenticator or built["governance"].authenticator
    app = _app(ground, operations, authenticator, routers)
    # It describes the API of the whole; each service answers its own part of it.
    whole = _app(
        ground, operations, authenticator, [*(one for each in services for one in each.routers), *routers]
    )
    app.openapi = whole.openapi  # type: ignore[method-assign]  # FastAPI documents this as the way to extend it
    return OperationsProcess(operations, app, log)


async def serve_operations(ground: ProcessContext, ended: asyncio.Event) -> None:
    """Answer operators until ``ended`` is set."""
    configure_logging(NAME, level=ground.settings.log_level)
    process = bootstrap_operations(ground)
    try:
        await serve_until(ended, ground, process.app, NAME, process.operations.open)
    finally:
        await process.close()


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
