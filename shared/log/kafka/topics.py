"""Topics on Kafka, made from the registry. What differs from it afterwards is reported, never changed.

The time of a record is the broker's (``LogAppendTime``): a producer whose clock is hours off is neither
refused nor does it make retention delete too early.
"""

from collections.abc import Iterable, Mapping, Sequence

import structlog
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared.errors import TransientError
from shared.events.topics import (
    DAY_SECONDS,
    DEAD_LETTER_BYTES_EXTRA,
    DEAD_LETTER_SUFFIX,
    RECORD_BYTES_MAX,
    Topic,
)
from shared.log.kafka.client import administering
from shared.log.kafka.settings import KafkaSettings

__all__ = ["KafkaTopics", "topic_settings"]

logger = structlog.get_logger(__name__)

ENVELOPE_BYTES_EXTRA = 124 * 1024
"""Room for key, headers and framing: a record may have 1 MiB in all, as by Kafka's own default."""

EXISTS = 36
DAY_MILLISECONDS = DAY_SECONDS * 1000


def topic_settings(topic: Topic, replication_factor: int) -> dict[str, str]:
    """Return the settings of a topic, by Kafka's names."""
    bytes_max = RECORD_BYTES_MAX + ENVELOPE_BYTES_EXTRA
    if topic.name.endswith(DEAD_LETTER_SUFFIX):
        bytes_max += DEAD_LETTER_BYTES_EXTRA
    policies = ["compact"] * topic.compacted + ["delete"] * (topic.retention_days is not None)
    retention = -1 if topic.retention_days is None else topic.retention_days * DAY_MILLISECONDS
    settings = {
        "cleanup.policy": ",".join(policies),
        "retention.ms": str(retention),
        "max.message.bytes": str(bytes_max),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(max(1, replication_factor - 1)),
    }
    if topic.compacted:
        settings["delete.retention.ms"] = str(topic.delete_retention_days * DAY_MILLISECONDS)
    if topic.max_compaction_lag_days is not None:
        settings["max.compaction.lag.ms"] = str(topic.max_compaction_lag_days * DAY_MILLISECONDS)
    return settings


class KafkaTopics:
    """Knows, makes and compares topics. ``partitions`` replaces the registry's count for new ones."""

    def __init__(self, settings: KafkaSettings, *, partitions: int | None = None) -> None:
        self._settings = settings
        self._partitions = partitions
        self._known: dict[str, int] = {}

    async def partitions_of(self, topic: str) -> int:
        """Return the partition count. Raises ``KeyError`` for an unknown topic, ``TransientError``."""
        if topic not in self._known:
            await self._look()
        if topic not in self._known:
            raise KeyError(f"no topic is called {topic} on this cluster; create it: nutmeg topics create")
        return self._known[topic]

    def forget(self, topics: Iterable[str]) -> None:
        """Look these up again when they are next asked for."""
        for topic in topics:
            self._known.pop(topic, None)

    async def ensure(self, topics: Sequence[Topic]) -> None:
        """Create what is missing, and log what differs. Raises ``TransientError``."""
        await self._look()
        missing = [topic for topic in topics if topic.name not in self._known]
        if missing:
            await self._create(missing)
        for difference in await self.drift(topics):
            logger.warning("a topic differs from what it should be", difference=difference)

    async def drift(self, topics: Sequence[Topic]) -> list[str]:
        """Return, in words, where the cluster differs from the registry. Raises ``TransientError``."""
        await self._look()
        differences = [f"{topic.name} is missing" for topic in topics if topic.name not in self._known]
        present = [topic for topic in topics if topic.name in self._known]
        for topic in present:
            wanted, found = self._partitions or topic.partitions, self._known[topic.name]
            if wanted != found:
                differences.append(f"{topic.name} has {found} partitions, not {wanted}")
        if present:
            found_settings = await self._settings_of(present)
            for topic in present:
                found_of_topic = found_settings.get(topic.name, {})
                for name, value in topic_settings(topic, self._settings.replication_factor).items():
                    if found_of_topic.get(name) != value:
                        differences.append(f"{topic.name}: {name} is {found_of_topic.get(name)}, not {value}")
        return differences

    async def _look(self) -> None:
        prefix = self._settings.prefix
        async with administering(self._settings, "tell its topics") as admin:
            self._known = {
                each["topic"].removeprefix(prefix): len(each["partitions"])
                for each in await admin.describe_topics()
                if each["error_code"] == 0 and each["topic"].startswith(prefix) and each["partitions"]
            }

    async def _create(self, topics: Sequence[Topic]) -> None:
        factor = self._settings.replication_factor
        wanted = [
            NewTopic(
                self._settings.prefixed(topic.name),
                self._partitions or topic.partitions,
                factor,
                topic_configs=topic_settings(topic, factor),
            )
            for topic in topics
        ]
        async with administering(self._settings, "create topics") as admin:
            answer = await admin.create_topics(wanted)
        # The client does not raise what the broker answers.
        for name, code, words in answer.topic_errors:
            if code not in {0, EXISTS}:
                raise TransientError(f"Kafka did not create topic {name}: {words or 'no reason'} ({code})")
        await self._wait_for(topics)

    async def _wait_for(self, topics: Sequence[Topic]) -> None:
        """Return once each new topic has a leader for every partition, so that it can be written to."""
        names = {self._settings.prefixed(topic.name) for topic in topics}
        async with administering(self._settings, "show its new topics") as admin:
            while names:
                for each in await admin.describe_topics():
                    partitions = each["partitions"]
                    if partitions and all(partition["error_code"] == 0 for partition in partitions):
                        names.discard(each["topic"])
        await self._look()

    async def _settings_of(self, topics: Sequence[Topic]) -> Mapping[str, Mapping[str, str]]:
        resources = [
            ConfigResource(ConfigResourceType.TOPIC, self._settings.prefixed(topic.name)) for topic in topics
        ]
        async with administering(self._settings, "tell the settings of its topics") as admin:
            (answer,) = await admin.describe_configs(resources)
        return {
            name.removeprefix(self._settings.prefix): {entry[0]: entry[1] for entry in entries}
            for _code, _words, _kind, name, entries in answer.resources
        }
