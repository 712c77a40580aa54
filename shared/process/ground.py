"""What a service is built on in a cluster, and what its bootstrap gives back."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import TypeAlias

from shared.bus.ports import EventLog
from shared.clock import Clock, SystemClock
from shared.errors import NutmegError
from shared.http.fetching import GuardedFetcher
from shared.http.settings import HTTPSettings
from shared.identity.principals import Authenticator
from shared.identity.signing_key import SigningKey
from shared.process.settings import ClusterSettings
from shared.runtime import Service
from shared.telemetry.metrics import Metrics

__all__ = ["BuildService", "Ground", "ServedService", "SettingMissingError", "cluster_ground", "cluster_log"]

PROFILE = "cluster"


class SettingMissingError(NutmegError):
    """A setting that a process of a cluster cannot do without. The message names it."""


@dataclass(frozen=True, slots=True)
class Ground:
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


@dataclass(frozen=True, slots=True)
class ServedService:
    """A service, and who tells whose tokens its routes are asked with."""

    service: Service
    authenticator: Authenticator


BuildService: TypeAlias = Callable[[Ground], ServedService]
"""A service's ``bootstrap_cluster``."""


def cluster_ground(settings: ClusterSettings | None = None) -> Ground:
    """Read the environment. Raises ``SettingMissingError``, ``ValidationError``."""
    settings = settings or ClusterSettings()
    if not settings.database_url.get_secret_value():
        raise SettingMissingError(
            "NUTMEG_DATABASE_URL is not set; write postgresql+asyncpg://user:password@host/name"
        )
    if not settings.signing_key.get_secret_value():
        raise SettingMissingError("NUTMEG_SIGNING_KEY is not set; make one with: openssl rand -hex 32")
    metrics = Metrics()
    metrics.set("nutmeg_build_info", 1, version=version("nutmeg"), profile=PROFILE)
    return Ground(
        settings=settings,
        http=HTTPSettings(),
        clock=SystemClock(),
        signing_key=SigningKey(bytes.fromhex(settings.signing_key.get_secret_value())),
        metrics=metrics,
    )


def cluster_log(clock: Clock) -> EventLog:
    """Return the log of a cluster: Kafka, by its settings.

    Raises ``SettingMissingError`` where the client is not installed.
    """
    # Imported here: an installation without a cluster does not have the client.
    try:
        from shared.bus.kafka_log import KafkaEventLog
        from shared.bus.kafka_settings import KafkaSettings
    except ModuleNotFoundError as error:
        raise SettingMissingError("the Kafka client is not installed: install nutmeg[cluster]") from error
    return KafkaEventLog(KafkaSettings(), clock=clock)
