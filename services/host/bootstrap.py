"""The host, built: all services over one log, one application, one data directory."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from ipaddress import ip_network

from fastapi import APIRouter

from services.catalog.bootstrap import Catalog
from services.catalog.bootstrap import bootstrap as bootstrap_catalog
from services.catalog.settings import CatalogSettings
from services.governance.bootstrap import Governance
from services.governance.bootstrap import bootstrap as bootstrap_governance
from services.governance.settings import GovernanceSettings
from services.host.api_docs.pages import build_api_docs
from services.host.data_directory import DataDirectory
from services.host.demo.api import build_demo_api
from services.host.demo.pages import build_demo_pages
from services.host.demo.scenario import Demo
from services.host.demo.state import DemoClock, DemoStateFile
from services.host.first_operator import ensure_admin_token
from services.host.operations.api import build_operations_api
from services.host.operations.observed_log import ObservedLog
from services.host.operations.pages import build_operations_pages
from services.host.running import Host
from services.host.settings import HostSettings
from services.notify.bootstrap import bootstrap as bootstrap_notify
from services.notify.settings import NotifySettings
from services.quality.bootstrap import bootstrap as bootstrap_quality
from services.quality.settings import QualitySettings
from services.usage.bootstrap import bootstrap as bootstrap_usage
from services.usage.settings import UsageSettings
from shared.clock import Clock, SystemClock
from shared.events.topics import TOPICS
from shared.http.app import build_app
from shared.http.fetching import GuardedFetcher
from shared.http.networks import Network
from shared.http.settings import HTTPSettings
from shared.identity.signing_key import SigningKey
from shared.log.port import EventLog
from shared.log.sqlite.event_log import SQLiteEventLog
from shared.log.sqlite.file_lock import FileLock
from shared.process.environment import check_environment
from shared.process.service import Service
from shared.process.service_runner import ServiceRunner
from shared.store.engine import Store, sqlite_url
from shared.telemetry.delivery_metrics import PrometheusDeliveryMetrics
from shared.telemetry.metrics import Metrics

__all__ = ["bootstrap_host", "directory_at_rest"]

PROFILE = "embedded"
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
DEMO_GROUP_WAIT_SECONDS = 1.0
SETTINGS = (
    HostSettings,
    HTTPSettings,
    CatalogSettings,
    GovernanceSettings,
    NotifySettings,
    QualitySettings,
    UsageSettings,
)


@dataclass(frozen=True, slots=True)
class _Ground:
    """What every service is built on. ``demo`` is there where the data directory is a demo's."""

    settings: HostSettings
    http: HTTPSettings
    directory: DataDirectory
    clock: Clock
    signing_key: SigningKey
    metrics: Metrics
    port: int
    demo: DemoStateFile | None

    def database_url(self, service: str) -> str:
        return sqlite_url(self.directory.database(service))

    @property
    def reachable(self) -> tuple[tuple[Network, ...], frozenset[int]]:
        """Networks and ports that may be fetched from. A demo also reaches its own files, on this machine."""
        networks, ports = self.settings.allowed_networks, self.settings.allowed_ports
        if self.demo is not None:
            return (*networks, *LOOPBACK), ports | {self.port}
        return networks, ports

    def fetcher(self, size_bytes_max: int) -> GuardedFetcher:
        """Return what fetches feeds and dictionaries."""
        networks, ports = self.reachable
        return GuardedFetcher(allowed_networks=networks, allowed_ports=ports, size_bytes_max=size_bytes_max)


def bootstrap_host(
    settings: HostSettings,
    *,
    port: int | None = None,
    clock: Clock | None = None,
    http: HTTPSettings | None = None,
    lock: FileLock | None = None,
    is_passing: bool = False,
) -> Host:
    """Take the data directory and build everything over it; :meth:`Host.start` sets it going.

    ``port`` is the one that is listened on, where it is not the settings'. ``lock`` is the directory's, if
    the caller has taken it already. A process that ``is_passing`` ends once what it caused is done: second
    tries of what failed are left to the next.
    Raises ``LogBusyError`` if another process works in the directory, and ``NutmegError`` for a variable of
    the environment that is no setting.
    """
    check_environment(os.environ, SETTINGS)
    directory = DataDirectory(settings.data_dir)
    lock = lock or directory.lock()
    try:
        ground = _ground(settings, directory, port or settings.port, clock, http)
        governance = _governance(ground)
        catalog = _catalog(ground)
        services = [
            governance.service,
            catalog.service,
            _usage(ground),
            _quality(ground, is_passing),
            _notify(ground),
        ]
        file_log = SQLiteEventLog(directory.log, clock=ground.clock)
        log = ObservedLog(file_log, ground.clock)
        bus_metrics = PrometheusDeliveryMetrics(ground.metrics)
        host = Host(
            settings=settings,
            directory=directory,
            lock=lock,
            clock=ground.clock,
            file_log=file_log,
            log=log,
            runners=[
                ServiceRunner(service, log=log, clock=ground.clock, metrics=bus_metrics)
                for service in services
            ],
            metrics=ground.metrics,
        )
        _attach_app(host, ground, governance, catalog)
    except BaseException:
        lock.release()
        raise
    return host


@asynccontextmanager
async def directory_at_rest(settings: HostSettings) -> AsyncIterator[tuple[list[Store], EventLog]]:
    """Hold a data directory in which no server runs; yield the services' stores, closed, and the log, open.

    Raises ``LogBusyError`` while a server runs.
    """
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


def _ground(
    settings: HostSettings,
    directory: DataDirectory,
    port: int,
    clock: Clock | None,
    http: HTTPSettings | None,
) -> _Ground:
    demo = DemoStateFile.find(directory.demo_state)
    http = http or HTTPSettings()
    if "base_url" not in http.model_fields_set:
        http = http.model_copy(update={"base_url": settings.local_url(port)})
    metrics = Metrics()
    metrics.set("nutmeg_build_info", 1, version=version("nutmeg"), profile=PROFILE)
    return _Ground(
        settings=settings,
        http=http,
        directory=directory,
        clock=clock or (SystemClock() if demo is None else DemoClock(demo)),
        signing_key=SigningKey.load_or_create(directory.signing_key),
        metrics=metrics,
        port=port,
        demo=demo,
    )


def _governance(ground: _Ground) -> Governance:
    settings = GovernanceSettings()
    if ground.demo is not None:
        # Moving the clock by some days must not sign everybody out at once.
        settings = GovernanceSettings(session_hours=72, sign_in_code_hours=168)
    return bootstrap_governance(
        settings,
        database_url=ground.database_url("governance"),
        clock=ground.clock,
        signing_key=ground.signing_key,
    )


def _catalog(ground: _Ground) -> Catalog:
    return bootstrap_catalog(
        CatalogSettings(),
        data_dir=ground.directory.path,
        database_url=ground.database_url("catalog"),
        clock=ground.clock,
        signing_key=ground.signing_key,
        metrics=ground.metrics,
        base_url=ground.http.base_url,
        jurisdiction_words=GovernanceSettings().jurisdiction_words,
        fetcher_for=ground.fetcher,
    )


def _usage(ground: _Ground) -> Service:
    return bootstrap_usage(
        UsageSettings(),
        database_url=ground.database_url("usage"),
        clock=ground.clock,
        metrics=ground.metrics,
    ).service


def _quality(ground: _Ground, is_passing: bool) -> Service:
    settings = QualitySettings()
    if ground.demo is not None:
        # The demo's files lie on this machine, so one failed try says enough, and nobody has to wait.
        settings = settings.model_copy(update={"link_failures_min": 1, "retry_seconds": 1.0})
    networks, ports = ground.reachable
    return bootstrap_quality(
        settings,
        database_url=ground.database_url("quality"),
        clock=ground.clock,
        signing_key=ground.signing_key,
        metrics=ground.metrics,
        allowed_networks=(*settings.allowed_networks, *networks),
        allowed_ports=settings.allowed_ports | ports,
        retries_until=ground.clock.now() if is_passing else None,
    ).service


def _notify(ground: _Ground) -> Service:
    settings = NotifySettings()
    if ground.demo is not None and "group_wait_seconds" not in settings.model_fields_set:
        settings = settings.model_copy(update={"group_wait_seconds": DEMO_GROUP_WAIT_SECONDS})
    return bootstrap_notify(
        settings,
        database_url=ground.database_url("notify"),
        clock=ground.clock,
        metrics=ground.metrics,
        base_url=ground.http.base_url,
        installation_name=ground.settings.installation_name,
        maildir=ground.directory.mail,
    ).service


def _attach_app(host: Host, ground: _Ground, governance: Governance, catalog: Catalog) -> None:
    services = [runner.service for runner in host.runners]
    routers: list[APIRouter] = [router for service in services for router in service.routers]
    routers += [build_api_docs(), build_operations_api(host), build_operations_pages(host, catalog.indexing)]
    demo: Demo | None = None
    if ground.demo is not None and isinstance(ground.clock, DemoClock):
        demo = Demo(host, ground.demo, ground.clock)
        host.before_stop.append(demo.close)
        routers += [build_demo_api(demo), build_demo_pages(demo)]
    app = build_app(
        title=f"{ground.settings.installation_name} API",
        routers=routers,
        authenticator=governance.authenticator,
        signing_key=ground.signing_key,
        metrics=ground.metrics,
        clock=ground.clock,
        installation=ground.settings.installation_name,
        settings=ground.http,
        readiness=host.readiness,
        troubles=host.troubles,
        before_scrape=[host.measure, *(hook for service in services for hook in service.extra_metrics)],
        trusted_proxies=ground.settings.trusted_proxies,
    )
    app.state.footer_facts = host.footer_facts
    app.state.is_demo = demo is not None
    app.state.demo = demo
    if demo is not None:
        app.state.dataset_acts = lambda dataset, _viewer: demo.acts_on(dataset.identifier)
    host.attach(app)
    host.after_start.append(lambda: ensure_admin_token(governance, host.directory, ground.settings))
