"""What a service is built on in a cluster, and what its bootstrap gives back."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol, TypeAlias

from pydantic_settings import BaseSettings

from shared.clock import Clock, SystemClock
from shared.errors import NutmegError
from shared.http.fetching import GuardedFetcher
from shared.http.settings import HTTPSettings
from shared.identity.principals import Authenticator
from shared.identity.signing_key import SigningKey
from shared.log.kafka.settings import KafkaSettings
from shared.log.port import EventLog
from shared.process.environment import check_environment, prefixes_of_services
from shared.process.service import Service
from shared.process.settings import ClusterSettings
from shared.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from shared.log.kafka.event_log import KafkaEventLog

__all__ = [
    "BuildService",
    "ProcessContext",
    "ServedService",
    "SettingMissingError",
    "WorkRunner",
    "cluster_context",
    "cluster_log",
]

PROFILE = "cluster"


class SettingMissingError(NutmegError):
    """A setting that a process of a cluster cannot do without. The message names it."""


@dataclass(frozen=True, slots=True)
class ProcessContext:
    """Settings and the objects that every service needs, for one process."""

    settings: ClusterSettings
    http: HTTPSettings
    clock: Clock
    signing_key: SigningKey
    metrics: Metrics

    def fetcher(self, size_bytes_max: int) -> GuardedFetcher:
        """Return what fetches feeds and dictionaries."""
        return GuardedFetcher(
            allowed_networks=self.settings.allowed_networks,
            allowed_ports=self.settings.allowed_ports,
            size_bytes_max=size_bytes_max,
        )


class WorkRunner(Protocol):
    """Does a service's work in the background: its loops, or its stream processor."""

    fenced: asyncio.Event
    """Set once this process has to end, most often because another one has taken its replica's name."""

    @property
    def end_cause(self) -> str:
        """Why it has to end, in words."""
        ...

    async def start(self) -> None:
        """Set everything going. Raises ``TransientError`` while something that is needed is away."""
        ...

    async def stop(self, *, grace_seconds: float = 30.0) -> None:
        """Finish what was begun, and close. Idempotent."""
        ...

    def not_working(self) -> list[str]:
        """Return, in words, what does not work; empty if all does."""
        ...

    async def status(self) -> object:
        """Set the gauges that only a question can tell. Raises ``TransientError``."""
        ...


@dataclass(frozen=True, slots=True)
class ServedService:
    """A service, and who tells whose tokens its routes are asked with."""

    service: Service
    authenticator: Authenticator
    build_runner: Callable[[EventLog], WorkRunner] | None = None
    """What does its work, if not the usual :class:`~shared.process.service_runner.ServiceRunner`."""


BuildService: TypeAlias = Callable[[ProcessContext], ServedService]
"""A service's ``bootstrap_cluster``."""


def cluster_context(
    settings: ClusterSettings | None = None, *, own_settings: Sequence[type[BaseSettings]] = ()
) -> ProcessContext:
    """Read the environment.

    Raises ``SettingMissingError``, ``ValidationError``, and ``NutmegError`` for a variable that looks like
    a setting of all processes, or of those in ``own_settings``, and is none.
    """
    own_prefixes = {str(one.model_config.get("env_prefix", "")) for one in own_settings}
    check_environment(
        os.environ,
        [ClusterSettings, HTTPSettings, KafkaSettings, *own_settings],
        prefixes_of_others=prefixes_of_services() - own_prefixes,
    )
    settings = settings or ClusterSettings()
    if not (settings.database_url.get_secret_value() or settings.database_urls):
        raise SettingMissingError(
            "NUTMEG_DATABASE_URL is not set; write postgresql+asyncpg://user:password@host/name"
        )
    if not settings.signing_key.get_secret_value():
        raise SettingMissingError("NUTMEG_SIGNING_KEY is not set; make one with: openssl rand -hex 32")
    metrics = Metrics()
    metrics.set("nutmeg_build_info", 1, version=version("nutmeg"), profile=PROFILE)
    return ProcessContext(
        settings=settings,
        http=HTTPSettings(),
        clock=SystemClock(),
        signing_key=SigningKey(bytes.fromhex(settings.signing_key.get_secret_value())),
        metrics=metrics,
    )


def cluster_log(clock: Clock) -> "KafkaEventLog":
    """Return the log of a cluster: Kafka, by its settings.

    Raises ``SettingMissingError`` where the client is not installed.
    """
    # Imported here: an installation without a cluster does not have the client.
    try:
        from shared.log.kafka.event_log import KafkaEventLog
    except ModuleNotFoundError as error:
        raise SettingMissingError("the Kafka client is not installed: install nutmeg[cluster]") from error
    return KafkaEventLog(KafkaSettings(), clock=clock)
