"""How consumer groups stand, seen from outside: who is in them, and how far they have got."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.log.kafka.client import once_coordinated
from shared.log.kafka.settings import KafkaSettings
from shared.log.port import TopicPartition

__all__ = ["GroupProgress", "committed_offsets", "group_progress"]


@dataclass(frozen=True, slots=True)
class GroupProgress:
    """``members`` are consumers in the group, ``committed`` the next offset of each partition it has read."""

    members: int
    committed: Mapping[TopicPartition, int]


async def committed_offsets(admin: Any, settings: KafkaSettings, group: str) -> dict[TopicPartition, int]:
    """Return a group's next offsets by ``admin``, an administration client."""
    name = settings.prefixed(group)
    offsets = await once_coordinated(lambda: admin.list_consumer_group_offsets(name))
    return {
        TopicPartition(place.topic.removeprefix(settings.prefix), place.partition): kept.offset
        for place, kept in offsets.items()
        if kept.offset >= 0
    }


async def group_progress(admin: Any, settings: KafkaSettings, group: str) -> GroupProgress:
    """Return how a group stands by ``admin``, an administration client."""
    name = settings.prefixed(group)
    committed = await committed_offsets(admin, settings, group)
    answers = await once_coordinated(lambda: admin.describe_consumer_groups([name]))
    described = [each for answer in answers for each in answer.to_object()["groups"]]
    return GroupProgress(sum(len(each["members"]) for each in described), committed)
