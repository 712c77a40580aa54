"""Export of a data directory to a folder, and import of that folder into a cluster that is still empty.

What the manifest counts is all that is carried. Left behind: secrets (give the cluster the content of
``signing-key`` as NUTMEG_SIGNING_KEY, and tokens go on working), the search index, which is built anew, mail
in the data directory, and events older than the latest of their key.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import orjson
from sqlalchemy import func, select

from services.catalog.bootstrap import Catalog, build_for_cluster
from services.catalog.search.domain.reconciling import IndexDrift
from services.host.bootstrap import bootstrap_host
from services.host.bootstrap_cluster import CLUSTER_SERVICES, SERVICE_SETTINGS
from services.host.data_directory import DataDirectory
from services.host.settings import HostSettings
from services.host.transfer.records import dump_records, groups_behind, load_records, start_groups_at_the_end
from services.host.transfer.tables import MOVED_LIMITS, dump_store, load_store
from shared.bounded_json import loads
from shared.clock import SystemClock
from shared.consuming.log_agreement import take_for_known
from shared.errors import NutmegError
from shared.events.topics import CLUSTER_TOPICS
from shared.log.port import EventLog
from shared.log.sqlite.event_log import SQLiteEventLog
from shared.process.context import ProcessContext, cluster_context, cluster_log
from shared.store.engine import Store

__all__ = ["Imported", "Manifest", "export_installation", "import_installation"]

FORMAT = 1
MANIFEST = "manifest.json"
LOG_FOLDER = "log"
IDLE_SECONDS_MAX = 600.0
QUIET_TRIES_MAX = 3


@dataclass(frozen=True, slots=True)
class Manifest:
    """How many rows of each table of each service, and how many records of each topic."""

    tables: dict[str, dict[str, int]]
    records: dict[str, int]

    @property
    def rows(self) -> int:
        return sum(count for tables in self.tables.values() for count in tables.values())


@dataclass(frozen=True, slots=True)
class Imported:
    """What came, and where the index differs from the rows after it was built: nowhere, if all is well."""

    manifest: Manifest
    drift: IndexDrift


async def export_installation(settings: HostSettings, folder: Path) -> Manifest:
    """Finish what is under way, stop, and write everything to ``folder``, which must not exist.

    Raises ``NutmegError`` if something does not come to rest; ``LogBusyError`` while a server runs.
    """
    if await asyncio.to_thread(folder.exists):
        raise NutmegError(f"{folder} exists already; name a folder that does not")
    for _ in range(QUIET_TRIES_MAX):
        stores = await _come_to_rest(settings)
        manifest = await _dump_if_quiet(settings, stores, folder)
        if manifest is not None:
            return manifest
    raise NutmegError("events were published or left unread while everything stopped; export again")


async def import_installation(folder: Path) -> Imported:
    """Fill a cluster's databases, log and index from ``folder``. No worker may run.

    Groups start at the end, so nothing is handled or told again. Raises ``NutmegError`` for a folder that is
    not whole, or a cluster that is not empty.
    """
    manifest = await asyncio.to_thread(_read_manifest, folder)
    ground = cluster_context(own_settings=SERVICE_SETTINGS)
    ground.settings.check_databases_of(CLUSTER_SERVICES.keys())
    catalog = build_for_cluster(ground)
    async with AsyncExitStack() as stack:
        log = cluster_log(ground.clock)
        stack.push_async_callback(log.close)
        stores = _cluster_stores(ground, catalog)
        for name, store in stores.items():
            await store.open()
            stack.push_async_callback(store.close)
            await load_store(store, folder / name, manifest.tables.get(name, {}))
        await log.ensure_topics(CLUSTER_TOPICS)
        await load_records(log, folder / LOG_FOLDER, manifest.records)
        await start_groups_at_the_end(log)
        for store in stores.values():
            await take_for_known(store, log)
        await catalog.service.open()
        stack.push_async_callback(catalog.service.close)
        await catalog.indexing.reindex()
        return Imported(manifest, await catalog.indexing.reconcile(repair=False))


async def _come_to_rest(settings: HostSettings) -> dict[str, Store]:
    """Run everything until nothing is left to do, stop it, and return the services' stores, closed."""
    host = bootstrap_host(settings)
    try:
        await host.start()
        await host.wait_until_idle(timeout_seconds=IDLE_SECONDS_MAX)
    finally:
        await host.stop()
    return {runner.service.name: runner.service.store for runner in host.runners}


async def _dump_if_quiet(settings: HostSettings, stores: dict[str, Store], folder: Path) -> Manifest | None:
    directory = DataDirectory(settings.data_dir)
    async with AsyncExitStack() as stack:
        lock = directory.lock()
        stack.callback(lock.release)
        log = SQLiteEventLog(directory.log, clock=SystemClock())
        await log.open()
        stack.push_async_callback(log.close)
        for store in stores.values():
            await store.open()
            stack.push_async_callback(store.close)
        if await _unpublished(stores) or await groups_behind(log):
            return None
        return await _dump(stores, log, folder)


async def _unpublished(stores: dict[str, Store]) -> int:
    count = 0
    for store in stores.values():
        outbox = store.tables.outbox
        async with store.read() as connection:
            waiting = select(func.count()).select_from(outbox).where(outbox.c.published_at.is_(None))
            count += (await connection.execute(waiting)).scalar_one()
    return count


async def _dump(stores: dict[str, Store], log: EventLog, folder: Path) -> Manifest:
    tables = {name: await dump_store(store, folder / name) for name, store in stores.items()}
    manifest = Manifest(tables, await dump_records(log, folder / LOG_FOLDER))
    document = {
        "format": FORMAT,
        "version": version("nutmeg"),
        "tables": manifest.tables,
        "records": manifest.records,
    }
    # Written last: a folder without it is not whole.
    await asyncio.to_thread(
        (folder / MANIFEST).write_bytes, orjson.dumps(document, option=orjson.OPT_INDENT_2)
    )
    return manifest


def _read_manifest(folder: Path) -> Manifest:
    try:
        document = loads((folder / MANIFEST).read_bytes(), MOVED_LIMITS)
    except FileNotFoundError as error:
        raise NutmegError(f"{folder} has no {MANIFEST}: it is no whole export") from error
    if document["format"] != FORMAT or document["version"] != version("nutmeg"):
        raise NutmegError(
            f"{folder} was written by version {document['version']}; "
            "import it with that version, then upgrade"
        )
    return Manifest(document["tables"], document["records"])


def _cluster_stores(ground: ProcessContext, catalog: Catalog) -> dict[str, Store]:
    stores = {
        name: build(ground).service.store for name, build in CLUSTER_SERVICES.items() if name != "catalog"
    }
    return {"catalog": catalog.service.store, **stores}
