"""Being one member of a Kafka consumer group: joining, rebalances, and being replaced.

Membership is static (``group.instance.id``): a member that is killed and comes back under its name within
the session gets its partitions back at once, without a rebalance. Two processes under one name would take
the group from each other for ever, so the one that was replaced finds out, and ends.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka import TopicPartition as Place
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from shared.errors import ReplicaFencedError, TransientError
from shared.log.kafka.client import administering, client_options, once_coordinated, reaching
from shared.log.kafka.settings import KafkaSettings
from shared.log.port import StartAt, TopicPartition

__all__ = ["Membership"]

logger = structlog.get_logger(__name__)

HEARTBEATS_PER_SESSION = 3
FETCH_BYTES_MAX = 8 * 1024 * 1024
UUID_CHARACTERS = 36
RETRY_SECONDS = 0.5
STOP_SECONDS_MAX = 5.0


class Membership(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka has no types
    """One aiokafka consumer in a group. ``owned`` are the partitions that it may handle just now.

    ``handling`` is held while records are handled; a rebalance waits for it. ``on_lost`` is called under it
    whenever partitions are taken away, before others may get them; ``on_moved`` with a partition whose
    reading begins elsewhere than what was fetched of it meanwhile.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        group: str,
        topics: Sequence[str],
        *,
        start: StartAt,
        handling: asyncio.Lock,
        on_lost: Callable[[], None],
        on_moved: Callable[[TopicPartition], None],
        committed: Callable[[], Awaitable[Mapping[TopicPartition, int]]],
    ) -> None:
        self.owned: frozenset[TopicPartition] = frozenset()
        self.fenced: ReplicaFencedError | None = None
        self._settings = settings
        self._group = group
        self._topics = [settings.prefixed(topic) for topic in topics]
        self._start = start
        self._handling = handling
        self._on_lost = on_lost
        self._on_moved = on_moved
        self._committed = committed
        self._settled = asyncio.Event()
        self._has_joined = False
        self._is_closing = False
        self._instance = f"{settings.prefixed(group)}-{settings.replica_name}"
        self.client: Any = AIOKafkaConsumer(
            **client_options(settings),
            group_id=settings.prefixed(group),
            group_instance_id=self._instance,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=int(settings.session_timeout_seconds * 1000),
            heartbeat_interval_ms=int(settings.session_timeout_seconds * 1000 / HEARTBEATS_PER_SESSION),
            rebalance_timeout_ms=int(settings.rebalance_timeout_seconds * 1000),
            max_poll_interval_ms=int(settings.poll_interval_seconds_max * 1000),
            fetch_max_bytes=FETCH_BYTES_MAX,
        )

    async def join(self) -> None:
        """Join the group and wait for the partitions. Raises ``TransientError`` and leaves if none come."""
        seconds = self._settings.rebalance_timeout_seconds + self._settings.session_timeout_seconds
        try:
            async with reaching(f"let {self._instance} into its group", seconds_max=seconds):
                await self.client.start()
                self.client.subscribe(self._topics, listener=self)
                await self._settled.wait()
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        """Stop. The group keeps this member's place for the length of the session. Idempotent."""
        self._is_closing = True
        self.owned = frozenset()
        task = self._coordination
        if task is not None:
            # What it waits for (a rebalance, a broker) may take long, and nothing of it is wanted any more.
            task.cancel()
            await asyncio.wait({task}, timeout=STOP_SECONDS_MAX)
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(STOP_SECONDS_MAX):
                await self.client.stop()

    @property
    def is_dead(self) -> bool:
        """Whether aiokafka has given up coordinating; it would never come back by itself."""
        task = self._coordination
        return task is not None and task.done() and self.fenced is None

    @property
    def is_cut_off(self) -> bool:
        """Whether the broker that coordinates the group cannot be reached just now."""
        return self._coordinator is not None and self._coordinator.coordinator_id is None

    def place(self, position: TopicPartition) -> Place:
        """Return what a partition is called on the cluster."""
        return Place(self._settings.prefixed(position.topic), position.partition)

    def position(self, place: Place) -> TopicPartition:
        """Return what we call a partition of the cluster."""
        return TopicPartition(place.topic.removeprefix(self._settings.prefix), place.partition)

    async def on_partitions_revoked(self, revoked: object) -> None:  # noqa: ARG002 - aiokafka's signature
        """Give everything up, once the batch at hand is done."""
        self._settled.clear()
        async with self._handling:
            self.owned = frozenset()
            self._on_lost()
        if self._has_joined and not self._coordinator.member_id:
            await self._look_whether_fenced()

    async def on_partitions_assigned(self, assigned: set[Place]) -> None:
        """Take over what is ours now."""
        self._has_joined = True
        if self._start == "end" and not await self._settle_start(assigned):
            return
        self.owned = frozenset(self.position(place) for place in assigned)
        self._settled.set()

    async def look_whether_fenced(self) -> None:
        """Raise ``ReplicaFencedError`` if another process has this member's name."""
        if self.fenced is None:
            for member in await self._members():
                is_ours = member == self._coordinator.member_id
                if member[: -UUID_CHARACTERS - 1] == self._instance and not is_ours:
                    self.fenced = ReplicaFencedError(
                        f"{self._instance} joined group {self._group} from elsewhere too, so this process "
                        "has to end; give every process its own NUTMEG_KAFKA_REPLICA"
                    )
        if self.fenced is not None:
            raise self.fenced

    async def _look_whether_fenced(self) -> None:
        try:
            await self.look_whether_fenced()
        except ReplicaFencedError as error:
            logger.critical("replaced in its group", group=self._group, cause=str(error))
            self._settled.set()
            # To join again would throw the other one out: this task, which would do so, ends here.
            task = asyncio.current_task()
            if task is not None:
                task.cancel()
            await asyncio.sleep(0)
        except TransientError as error:
            logger.warning("cannot tell who is in the group", group=self._group, cause=str(error))

    async def _members(self) -> list[str]:
        """Return the ids of the group's members. The broker makes them of the instance's name and a UUID."""
        name = self._settings.prefixed(self._group)
        async with administering(self._settings, f"tell the members of {name}") as admin:
            answers = await once_coordinated(lambda: admin.describe_consumer_groups([name]))
        return [
            member["member_id"]
            for answer in answers
            for group in answer.to_object()["groups"]
            for member in group["members"]
        ]

    async def _settle_start(self, assigned: set[Place]) -> bool:
        """Write down the end of each partition without an offset, so that a crash cannot move the start.

        Returns False if the group has gone on without us, so that these partitions are not ours.
        """
        while not self._is_closing:
            try:
                known = await self._committed()
                fresh = [place for place in assigned if self.position(place) not in known]
                if fresh:
                    async with reaching("keep the start of a group"):
                        ends = await self.client.end_offsets(fresh)
                        await self.client.commit(ends)
                    for place, end in ends.items():
                        self.client.seek(place, end)
                        self._on_moved(self.position(place))
            except TransientError as error:
                if isinstance(error.__cause__, CommitFailedError | IllegalStateError):
                    return False
                # Nothing may be read before: the history would be told as if it were news.
                logger.warning("start of group is not kept yet", group=self._group, cause=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return True
        return False

    @property
    def _coordinator(self) -> Any:
        return self.client._coordinator  # noqa: SLF001 - aiokafka shows its membership nowhere else

    @property
    def _coordination(self) -> "asyncio.Task[None] | None":
        return getattr(self._coordinator, "_coordination_task", None)
