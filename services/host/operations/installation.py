"""The port of operations: a whole installation, as an operator sees it.

Two implementations: :class:`services.host.running.Host`, every service in this process, and
:class:`services.host.operations.cluster.ClusterOperations`, a cluster seen from outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.host.operations.domain import ConsumerHealth, OutboxHealth, WaitingHealth, WorkHealth
from services.host.operations.observed_log import ObservedLog
from shared.clock import Clock
from shared.consuming.dead_letters import DeadLetters
from shared.jobs.parking import JobQueue
from shared.store.health import StorageHealth
from shared.telemetry.metrics import Metrics

__all__ = ["OperatedInstallation", "Readings"]


@dataclass(frozen=True, slots=True)
class Readings:
    """How consumers, outboxes, recurring work, the log and the databases do at one moment."""

    consumers: Sequence[ConsumerHealth]
    outboxes: Sequence[OutboxHealth]
    works: Sequence[WorkHealth]
    waiting: Sequence[WaitingHealth]
    storages: Sequence[StorageHealth]


class OperatedInstallation(Protocol):
    """A whole installation: in one process, or as a cluster seen from outside."""

    @property
    def clock(self) -> Clock: ...

    @property
    def metrics(self) -> Metrics: ...

    @property
    def log(self) -> ObservedLog: ...

    @property
    def dead_letters(self) -> DeadLetters: ...

    @property
    def started_at(self) -> datetime: ...

    @property
    def groups(self) -> list[str]:
        """Every consumer group."""
        ...

    @property
    def runs_consumers(self) -> bool:
        """Whether consumers run in this process, so that it can start one again."""
        ...

    @property
    def job_queues(self) -> Sequence[tuple[str, JobQueue]]:
        """Every queue of durable jobs, with the name of its service."""
        ...

    async def readings(self) -> Readings:
        """Look at everything. Raises ``TransientError`` if a store or the log is away."""
        ...

    async def wait_until_idle(self, *, timeout_seconds: float = 60.0) -> None:
        """Return once all that was caused is done. Raises ``TimeoutError``, ``NutmegError``."""
        ...

    def restart_consumer(self, group: str) -> None:
        """Start a consumer that stopped. Raises ``NotFoundError`` for a group that does not run here."""
        ...
