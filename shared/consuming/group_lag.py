"""What a group has not read of some topics, for work that must know all that they said so far."""

from collections.abc import Collection

from shared.log.port import EventLog, TopicPartition

__all__ = ["group_lag"]


async def group_lag(log: EventLog, group: str, topics: Collection[str]) -> int:
    """Return how many records of ``topics`` the group has yet to handle; 0 if it knows all that was there.

    It is a bound: offsets have gaps. Raises ``TransientError`` while the log is away.
    """
    ends: dict[TopicPartition, int] = {}
    for topic in topics:
        ends |= await log.end_offsets(topic)
    committed = await log.committed(group)  # after the ends, so that what is said meanwhile holds nobody up
    unread = 0
    for place, end in ends.items():
        offset = committed.get(place, 0)
        # Nobody commits what was compacted away: it is nothing to wait for.
        if offset < end and (oldest := await log.read(place, from_offset=offset, records_max=1)):
            unread += max(end - oldest[0].offset, 0)
    return unread
