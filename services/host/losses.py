"""Accepting a loss, in a data directory or in a cluster. See :mod:`shared.outbox.loss_acceptance`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from services.host.bootstrap import bootstrap_host
from services.host.data_directory import DataDirectory
from services.host.settings import HostSettings
from shared.consuming.log_agreement import LOG
from shared.events.topics import CLUSTER_TOPICS, TOPICS
from shared.log.port import EventLog
from shared.log.sqlite.event_log import SQLiteEventLog
from shared.outbox.loss_acceptance import AcceptedLoss, accept_loss
from shared.store.engine import Store

__all__ = ["accept_in_cluster", "accept_in_directory"]


async def accept_in_directory(
    settings: HostSettings, what: str, *, by: str, reason: str
) -> list[AcceptedLoss]:
    """Accept what the database of a service lost, or the log. Raises ``LogBusyError`` while a server runs."""
    async with _directory(settings) as (stores, log):
        return await _accept(_chosen(stores, what), log, by=by, reason=reason)


async def accept_in_cluster(what: str, *, by: str, reason: str) -> list[AcceptedLoss]:
    """Accept it in a cluster, by the settings of the environment. No worker of the service may run."""
    # Imported here: an installation without a cluster has no client for Kafka.
    from services.host.cluster import CLUSTER_SERVICES, SERVICE_SETTINGS
    from shared.process.context import cluster_context, cluster_log

    ground = cluster_context(own_settings=SERVICE_SETTINGS)
    ground.settings.check_databases_of(CLUSTER_SERVICES.keys())
    stores = [build(ground).service.store for build in CLUSTER_SERVICES.values()]
    async with AsyncExitStack() as stack:
        log = cluster_log(ground.clock)
        stack.push_async_callback(log.close)
        await log.ensure_topics(CLUSTER_TOPICS)
        return await _accept(_chosen(stores, what), log, by=by, reason=reason)


@asynccontextmanager
async def _directory(settings: HostSettings) -> AsyncIterator[tuple[list[Store], EventLog]]:
    directory = DataDirectory(settings.data_dir)
    async with AsyncExitStack() as stack:
        lock = await asyncio.to_thread(directory.lock)
        stack.callback(lock.release)
        host = bootstrap_host(settings, lock=lock)
        log = SQLiteEventLog(directory.log, clock=host.clock)
        await log.open()
        stack.push_async_callback(log.close)
        await log.ensure_topics(list(TOPICS.values()))
        yield [runner.service.store for runner in host.runners], log


def _chosen(stores: Sequence[Store], what: str) -> list[Store]:
    return [store for store in stores if what in (LOG, store.service)]


async def _accept(stores: Sequence[Store], log: EventLog, *, by: str, reason: str) -> list[AcceptedLoss]:
    accepted = []
    for store in stores:
        await store.open()
        try:
            one = await accept_loss(store, log, by=by, reason=reason)
        finally:
            await store.close()
        if one is not None:
            accepted.append(one)
    return accepted
