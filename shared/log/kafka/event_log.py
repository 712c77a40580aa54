"""The event log of a cluster: Apache Kafka, through aiokafka.

What an outage costs
--------------------
Publishing waits for it to end, up to the request timeout; then it raises ``TransientError``, and the relay
sends the same rows again from the outbox. Some may have arrived the first time: consumers know versions
and ids. A record is acknowledged once every in-sync replica has it, so what one broker loses by ``kill -9``
is still on the others; on a single broker it is still in the kernel's page cache.

The log's history is the cluster's: :meth:`KafkaEventLog.epochs` returns the cluster's id. A cluster that
was made anew has another one, and a topic that was made anew ends below the relay's marks, so both are
noticed when a relay starts, and the last 24 h are sent again.
"""

from collections.abc import Iterable, Mapping, Sequence

from shared.clock import Clock
from shared.errors import TransientError
from shared.events.envelope import partition_for
from shared.events.topics import DEAD_LETTER_SUFFIX, STREAM_TABLES, Topic, dead_letter_topic
from shared.log.kafka.client import administering, limit_client_logs
from shared.log.kafka.consumer import KafkaLogConsumer
from shared.log.kafka.groups import GroupProgress, committed_offsets, group_progress
from shared.log.kafka.publisher import KafkaPublisher
from shared.log.kafka.reader import KafkaReader
from shared.log.kafka.settings import KafkaSettings
from shared.log.kafka.topics import KafkaTopics
from shared.log.port import LogPosition, LogRecord, OutgoingRecord, StartAt, TopicPartition

__all__ = ["KafkaEventLog"]


class KafkaEventLog:
    """An :class:`~shared.log.port.EventLog` on a cluster. Connects when it is first used.

    ``partitions`` counts for topics that are still to be created, in place of the registry's; a topic keeps
    the count it has.
    """

    def __init__(self, settings: KafkaSettings, *, clock: Clock, partitions: int | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._topics = KafkaTopics(settings, partitions=partitions)
        self._publisher = KafkaPublisher(settings)
        self._reader = KafkaReader(settings)
        self._consumers: list[KafkaLogConsumer] = []
        self._cluster: str | None = None
        limit_client_logs()

    async def ensure_topics(self, topics: Sequence[Topic]) -> None:
        """Create what is missing, dead-letter topics included; log what differs."""
        await self._topics.ensure(_with_dead_letters(topics))

    async def drift(self, topics: Sequence[Topic]) -> list[str]:
        """Return, in words, where topics on the cluster differ from the registry, dead letters included."""
        return await self._topics.drift(_with_dead_letters(topics))

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[LogPosition]:
        """See :class:`~shared.log.port.EventLog`."""
        if not records:
            return []
        placed = []
        for record in records:
            partitions = await self._topics.partitions_of(record.topic)
            placed.append((record, partition_for(record.partition_key, partitions)))
        try:
            return await self._publisher.publish(placed)
        except TransientError:
            self._topics.forget({record.topic for record in records})
            raise

    async def consumer(
        self, group: str, topics: Sequence[str], *, start: StartAt = "beginning"
    ) -> KafkaLogConsumer:
        """See :class:`~shared.log.port.EventLog`. Raises ``KeyError`` for an unknown topic."""
        for topic in topics:
            await self._topics.partitions_of(topic)
        consumer = KafkaLogConsumer(self._settings, group, topics, start=start, clock=self._clock, log=self)
        await consumer.join()
        self._consumers.append(consumer)
        return consumer

    async def read(self, position: TopicPartition, *, from_offset: int, records_max: int) -> list[LogRecord]:
        """See :class:`~shared.log.port.EventLog`."""
        partitions = await self._topics.partitions_of(position.topic)
        if not 0 <= position.partition < partitions:
            raise KeyError(f"topic {position.topic} has {partitions} partitions, not {position.partition}")
        return await self._reader.read(position, from_offset=from_offset, records_max=records_max)

    async def end_offsets(self, topic: str) -> Mapping[TopicPartition, int]:
        """See :class:`~shared.log.port.EventLog`."""
        return await self._reader.ends(topic, await self._topics.partitions_of(topic))

    async def committed(self, group: str) -> Mapping[TopicPartition, int]:
        """See :class:`~shared.log.port.EventLog`."""
        async with administering(
            self._settings, f"tell the offsets of {self._settings.prefixed(group)}"
        ) as admin:
            return await committed_offsets(admin, self._settings, group)

    async def groups_progress(self, groups: Iterable[str]) -> Mapping[str, GroupProgress]:
        """Return how groups stand, members and offsets, seen from outside. Raises ``TransientError``."""
        async with administering(self._settings, "tell how groups stand") as admin:
            return {group: await group_progress(admin, self._settings, group) for group in groups}

    async def epochs(self) -> Sequence[str]:
        """See :class:`~shared.log.port.EventLog`. The cluster's id is the only one."""
        if self._cluster is None:
            async with administering(self._settings, "tell its cluster's id") as admin:
                self._cluster = str((await admin.describe_cluster())["cluster_id"])
        return (self._cluster,)

    async def begin_epoch(self, reason: str) -> str:  # noqa: ARG002 - the cluster's name is not ours to give
        """See :class:`~shared.log.port.EventLog`."""
        return (await self.epochs())[0]

    async def close(self) -> None:
        """Release everything. Idempotent."""
        while self._consumers:
            await self._consumers.pop().close()
        await self._publisher.close()
        await self._reader.close()


def _with_dead_letters(topics: Sequence[Topic]) -> list[Topic]:
    """Return them with their dead letters. Dead letters have none, nor do the tables of streams."""
    return [
        *topics,
        *(
            dead_letter_topic(each)
            for each in topics
            if each.name not in STREAM_TABLES and not each.name.endswith(DEAD_LETTER_SUFFIX)
        ),
    ]
