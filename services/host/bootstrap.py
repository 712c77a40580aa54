"""The host, built: all services over one log, one application, one data directory."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter

from services.governance.bootstrap import Governance
from services.governance.bootstrap import bootstrap as bootstrap_governance
from services.governance.settings import GovernanceSettings
from services.host.data_directory import DataDirectory
from services.host.entrypoints.api_docs import build_api_docs
from services.host.entrypoints.api_operations import build_operations_api
from services.host.entrypoints.operations_pages import build_operations_pages
from services.host.first_start import ensure_admin_token
from services.host.observed_log import ObservedLog
from services.host.running import Host
from services.host.settings import HostSettings
from shared.bus.running import ServiceRunner
from shared.bus.sqlite_log import SQLiteEventLog
from shared.clock import Clock, SystemClock
from shared.http.app import build_app
from shared.http.settings import HTTPSettings
from shared.identity.signing_key import SigningKey
from shared.runtime import Service
from shared.store.engine import sqlite_url
from shared.telemetry.bus_metrics import PrometheusBusMetrics
from shared.telemetry.metrics import Metrics

__all__ = ["bootstrap_host"]

PROFILE = "embedded"


@dataclass(frozen=True, slots=True)
class _Ground:
    """What every service is built on."""

    settings: HostSettings
    http: HTTPSettings
    directory: DataDirectory
    clock: Clock
    signing_key: SigningKey
    metrics: Metrics

    def database_url(self, service: str) -> str:
        return sqlite_url(self.directory.database(service))


def bootstrap_host(
    settings: HostSettings,
    *,
    port: int | None = None,
    clock: Clock | None = None,
    http: HTTPSettings | None = None,
) -> Host:
    """Take the data directory and build everything over it; :meth:`Host.start` sets it going.

    ``port`` is the one that is listened on, where it is not the settings'.
    Raises ``LogBusyError`` if another process works in the directory.
    """
    directory = DataDirectory(settings.data_dir)
    lock = directory.lock()
    try:
        ground = _ground(settings, directory, port or settings.port, clock or SystemClock(), http)
        governance = _governance(ground)
        services = _services(ground, governance)
        file_log = SQLiteEventLog(directory.log, clock=ground.clock)
        log = ObservedLog(file_log, ground.clock)
        bus_metrics = PrometheusBusMetrics(ground.metrics)
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
        _attach_app(host, ground, governance, services)
    except BaseException:
        lock.release()
        raise
    return host


def _ground(
    settings: HostSettings,
    directory: DataDirectory,
    port: int,
    clock: Clock,
    http: HTTPSettings | None,
) -> _Ground:
    http = http or HTTPSettings()
    if "base_url" not in http.model_fields_set:
        http = http.model_copy(update={"base_url": settings.local_url(port)})
    metrics = Metrics()
    return _Ground(
        settings=settings,
        http=http,
        directory=directory,
        clock=clock,
        signing_key=SigningKey.load_or_create(directory.signing_key),
        metrics=metrics,
    )


def _governance(ground: _Ground) -> Governance:
    return bootstrap_governance(
        GovernanceSettings(),
        database_url=ground.database_url("governance"),
        clock=ground.clock,
        signing_key=ground.signing_key,
    )


def _services(ground: _Ground, governance: Governance) -> list[Service]:
    """Return the services in the order they start: who tells first, who listens last."""
    return [governance.service]


def _attach_app(host: Host, ground: _Ground, governance: Governance, services: Sequence[Service]) -> None:
    routers: list[APIRouter] = [router for service in services for router in service.routers]
    app = build_app(
        title=f"{ground.settings.installation_name} API",
        routers=[*routers, build_api_docs(), build_operations_api(host), build_operations_pages(host)],
        authenticator=governance.authenticator,
        signing_key=ground.signing_key,
        metrics=ground.metrics,
        clock=ground.clock,
        installation=ground.settings.installation_name,
        settings=ground.http,
        readiness=host.readiness,
        before_scrape=[hook for service in services for hook in service.extra_metrics],
    )
    app.state.footer_facts = host.footer_facts
    host.attach(app)
    host.after_start.append(lambda: ensure_admin_token(governance, host.directory, ground.settings))
