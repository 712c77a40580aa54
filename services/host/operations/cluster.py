"""A cluster as its operators see it: by its databases and by Kafka, from a process that handles nothing.

What only a worker knows of itself (how much it has handled, why its consumer is paused) is in its ``/readyz``
and ``/metrics``. What matters most is known from outside as well: whether anybody is in a group, how far it
is behind, what waits in an outbox, and which records were put aside. A replay is a row in the store of the
service whose group failed, so that group alone handles the record again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from services.host.operations.domain import ConsumerHealth, OutboxHealth, WorkHealth
from services.host.operations.installation import Readings
from services.host.operations.observed_log import ObservedLog
from services.host.operations.reader.status import measure_dead_letters, waiting_of
from shared.clock import Clock
from shared.consuming.consumer_state import LoopState
from shared.consuming.dead_letters import DeadLetters
from shared.consuming.replays import ReplayQueue
from shared.consuming.waiting_events import WaitingRecords
from shared.errors import ConflictError, NotFoundError, TransientError
from shared.events.topics import GROUPS, ConsumerGroup
from shared.jobs.parking import JobQueue
from shared.jobs.recurring_work import RecurringWork
from shared.log.port import EventLog, Lag, TopicPartition
from shared.outbox.relay import OutboxRelay
from shared.process.service import Service
from shared.store.engine import Store
from shared.store.health import store_health
from shared.telemetry.metrics import Metrics

if TYPE_CHECKING:
    # An installation without a cluster has no client for Kafka.
    from shared.log.kafka.groups import GroupProgress

__all__ = ["ClusterOperations", "GroupsProgress"]

LOOK_SECONDS = 1.0
BUSY_NAMED_MAX = 8
NOBODY_THERE = "nobody is in the group; the worker's /readyz and its log say why"

GroupsProgress = Callable[[Iterable[str]], Awaitable[Mapping[str, "GroupProgress"]]]
"""Tells who is in these groups, and where each has come to. Raises ``TransientError``."""


class ClusterOperations:
    """An installation that is a cluster, seen from outside. Call :meth:`open` first."""

    def __init__(
        self,
        services: Sequence[Service],
        *,
        log: EventLog,
        groups_progress: GroupsProgress,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.clock = clock
        self.metrics = metrics
        self.started_at: datetime = clock.now()
        self.services = tuple(services)
        stores = {service.name: service.store for service in services}
        self.log = ObservedLog(log, clock)
        self.dead_letters = DeadLetters(log=log, stores=stores)
        self._cluster = log
        self._groups_progress = groups_progress
        self._stores = stores
        self._relays = {
            name: OutboxRelay(store=store, log=log, clock=clock) for name, store in stores.items()
        }
        self._replays = {name: ReplayQueue(store, log) for name, store in stores.items()}
        self._groups = [group for group in GROUPS.values() if group.service in stores]
        self._opened: list[Store] = []
        (catalog,) = [service for service in services if service.name == "catalog"]
        self._open_index, self._close_index = catalog.open, catalog.close
        self._index_is_open = False

    async def open(self) -> None:
        """Open every store that is not open yet, and the index. Raises ``TransientError`` if one is away."""
        missing: TransientError | None = None
        for service in self.services:
            if self.has_opened(service.store):
                continue
            try:
                await service.store.open()
            except TransientError as error:
                missing = missing or error
            else:
                self._opened.append(service.store)
        if missing is not None:
            raise missing
        if not self._index_is_open:
            await self._open_index()
            self._index_is_open = True

    async def close(self) -> None:
        """Close everything. Idempotent."""
        if self._index_is_open:
            self._index_is_open = False
            await self._close_index()
        while self._opened:
            await self._opened.pop().close()

    def has_opened(self, store: Store) -> bool:
        """Tell whether a service's store is open."""
        return store in self._opened

    @property
    def groups(self) -> list[str]:
        """See :class:`~services.host.operations.installation.OperatedInstallation`."""
        return [group.name for group in self._groups]

    @property
    def job_queues(self) -> list[tuple[str, JobQueue]]:
        """See :class:`~services.host.operations.installation.OperatedInstallation`."""
        return [(service.name, queue) for service in self.services for queue in service.queues]

    @property
    def runs_consumers(self) -> bool:
        """Consumers run in the services' workers."""
        return False

    def restart_consumer(self, group: str) -> None:
        """Refuse: no consumer runs here. Raises ``ConflictError``, ``NotFoundError``."""
        if group not in self.groups:
            raise NotFoundError(
                f"No consumer group is called {group!r}.",
                what="group",
                field="group",
                fix="See nutmeg status.",
            )
        raise ConflictError(
            "This consumer runs in a process of its own.",
            fix=f"Restart the worker that reads as {group}; it begins where it stopped.",
            code="elsewhere",
        )

    async def readings(self) -> Readings:
        """See :class:`~services.host.operations.installation.OperatedInstallation`."""
        for service in self.services:
            for measure in service.extra_metrics:
                await measure()
        consumers, outboxes, works, storages = await asyncio.gather(
            self._consumers(),
            asyncio.gather(*(self._outbox(name) for name in self._relays)),
            asyncio.gather(*(_work(service, work) for service in self.services for work in service.works)),
            asyncio.gather(*(store_health(service.store, may_write=False) for service in self.services)),
        )
        waiting = [
            one
            for consumer in consumers
            if consumer.waiting_records
            for one in await waiting_of(self._stores[consumer.service], consumer.group)
        ]
        return Readings(consumers, outboxes, works, waiting, storages)

    async def measure(self) -> None:
        """Set the gauges that only a look from outside can tell; a scrape must not fail with a store."""
        with suppress(TransientError):
            await measure_dead_letters(self)

    async def wait_until_idle(self, *, timeout_seconds: float = 60.0) -> None:
        """Return once all was seen idle twice in a row. Raises ``TimeoutError``, ``NutmegError``."""
        until = self.clock.monotonic_seconds() + timeout_seconds
        was_quiet = False
        while True:
            busy = await self._busy()
            if not busy and was_quiet:
                return
            was_quiet = not busy
            if self.clock.monotonic_seconds() > until:
                words = "; ".join(busy[:BUSY_NAMED_MAX])
                raise TimeoutError(f"still busy after {timeout_seconds:.0f} s: {words}")
            await asyncio.sleep(LOOK_SECONDS)

    async def _busy(self) -> list[str]:
        readings = await self.readings()
        words = [
            f"{one.service}: {one.records} events to publish" for one in readings.outboxes if one.records
        ]
        words += [f"{one.group}: behind" for one in readings.consumers if one.lag_records]
        words += [f"{one.service}: {one.name} is due" for one in readings.works if one.pending]
        for group in self._groups:
            if await self._replays[group.service].any_waiting(group.name):
                words.append(f"{group.name}: has dead letters to handle again")
            if await self._waiting(group).any_pending(self.clock.now()):
                words.append(f"{group.name}: has waiting records to try again")
        return words

    def _waiting(self, group: ConsumerGroup) -> WaitingRecords:
        return WaitingRecords(self._stores[group.service], group.name)

    async def _consumers(self) -> list[ConsumerHealth]:
        progress = await self._groups_progress(self.groups)
        topics = {topic for group in self._groups for topic in group.topics}
        ends = {topic: await self._ends(topic) for topic in sorted(topics)}
        return [await self._consumer(group, progress[group.name], ends) for group in self._groups]

    async def _consumer(
        self,
        group: ConsumerGroup,
        progress: "GroupProgress",
        ends: Mapping[str, Mapping[TopicPartition, int]],
    ) -> ConsumerHealth:
        lags = [
            await self._lag(place, progress.committed.get(place, 0), end)
            for topic in group.topics
            for place, end in ends[topic].items()
        ]
        is_there = progress.members > 0
        waiting = await self._waiting(group).summary()
        return ConsumerHealth(
            service=group.service,
            group=group.name,
            state=str(LoopState.RUNNING if is_there else LoopState.STOPPED),
            cause=None if is_there else NOBODY_THERE,
            lag_records=sum(lag.records for lag in lags),
            lag_seconds=max((lag.seconds for lag in lags), default=0.0),
            handled=None,
            waiting_records=waiting.records,
            waiting_seconds=waiting.oldest_age_seconds(self.clock.now()),
        )

    async def _lag(self, place: TopicPartition, offset: int, end: int) -> Lag:
        """Measure one partition. Offsets have gaps, so whether anything is left has to be looked at."""
        if end <= offset:
            return Lag(0, 0.0)
        waiting = await self._cluster.read(place, from_offset=offset, records_max=1)
        if not waiting:
            return Lag(0, 0.0)
        age = (self.clock.now() - waiting[0].published_at).total_seconds()
        return Lag(end - waiting[0].offset, max(age, 0.0))

    async def _ends(self, topic: str) -> Mapping[TopicPartition, int]:
        try:
            return await self._cluster.end_offsets(topic)
        except KeyError:
            return {}  # the job that creates topics has not run yet

    async def _outbox(self, service: str) -> OutboxHealth:
        relay = self._relays[service]
        return OutboxHealth(
            service=service,
            records=await relay.depth(),
            oldest_age_seconds=await relay.oldest_age_seconds(),
            cause=None,
        )


async def _work(service: Service, work: RecurringWork) -> WorkHealth:
    try:
        pending: int | None = await work.pending()
    except TransientError:
        pending = None
    return WorkHealth(
        service=service.name,
        name=work.name,
        runs=None,
        failures=None,
        done=None,
        pending=pending,
        last_error=None,
    )
