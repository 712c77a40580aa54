"""What a new log needs of an old one: the latest record of each key, and the dead letters."""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import orjson

from services.host.transfer.tables import MOVED_LIMITS
from shared.bounded_json import read_lines
from shared.errors import NutmegError
from shared.events.envelope import header
from shared.events.topics import GROUPS, TOPICS, ConsumerGroup, Topic, dead_letter_topic
from shared.log.port import EventLog, LogRecord, OutgoingRecord, TopicPartition
from shared.store.chunks import chunks

__all__ = ["dump_records", "groups_behind", "load_records", "start_groups_at_the_end"]

RECORDS_PER_BATCH = 500
ASSIGNMENT_POLLS_MAX = 60
PARTITION_KEY = "ce_partitionkey"


async def groups_behind(log: EventLog) -> list[str]:
    """Return the groups that have not read everything."""
    behind = []
    for group in _handling():
        committed = await log.committed(group.name)
        for topic in group.topics:
            ends = await log.end_offsets(topic)
            if any(committed.get(place, 0) < end for place, end in ends.items()):
                behind.append(group.name)
                break
    return behind


async def dump_records(log: EventLog, folder: Path) -> dict[str, int]:
    """Write the latest record of every key of compacted topics, and all dead letters; return the counts."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    counts = {}
    for topic, is_compacted in _carried():
        records = [record async for record in _all(log, topic.name)]
        if is_compacted:
            latest = {record.key: record for record in records}
            records = [
                record for record in records if latest[record.key] is record and record.value is not None
            ]
        with (folder / f"{topic.name}.jsonl").open("wb") as file:
            for record in records:
                file.write(orjson.dumps(_document(record), option=orjson.OPT_APPEND_NEWLINE))
        counts[topic.name] = len(records)
    return counts


async def load_records(log: EventLog, folder: Path, counts: dict[str, int]) -> None:
    """Publish what was written, ids and versions unchanged. Raises ``NutmegError`` for a file cut short."""
    for topic, _ in _carried():
        read = 0
        for records in _read(folder / f"{topic.name}.jsonl", topic.name):
            await log.publish(records)
            read += len(records)
        if read != counts.get(topic.name, 0):
            raise NutmegError(
                f"{topic.name}.jsonl has {read} records, the manifest says {counts.get(topic.name, 0)}; "
                "export again"
            )


async def start_groups_at_the_end(log: EventLog) -> None:
    """Let every group begin after what is there: its service's tables hold it already.

    Streams read it all, to fill their own tables; what they find has been told under the same ids.
    """
    for group in _handling():
        await _start_at_the_end(log, group)


def _handling() -> list[ConsumerGroup]:
    return [group for group in GROUPS.values() if not group.is_stream]


async def _start_at_the_end(log: EventLog, group: ConsumerGroup) -> None:
    ends: dict[TopicPartition, int] = {}
    for topic in group.topics:
        ends.update(await log.end_offsets(topic))
    consumer = await log.consumer(group.name, group.topics, start="end")
    try:
        for _ in range(ASSIGNMENT_POLLS_MAX):
            await consumer.poll(timeout_seconds=0.5)
            if len(await consumer.lag()) == len(ends):
                await consumer.commit(ends)
                return
        raise NutmegError(f"group {group.name} has other members; stop every worker, then import again")
    finally:
        await consumer.close()


def _carried() -> Iterator[tuple[Topic, bool]]:
    for topic in TOPICS.values():
        if topic.compacted:
            yield topic, True
        yield dead_letter_topic(topic), False


async def _all(log: EventLog, topic: str) -> AsyncIterator[LogRecord]:
    for place, end in (await log.end_offsets(topic)).items():
        offset = 0
        while offset < end and (
            records := await log.read(place, from_offset=offset, records_max=RECORDS_PER_BATCH)
        ):
            for record in records:
                yield record
            offset = records[-1].offset + 1


def _document(record: LogRecord) -> dict[str, object]:
    return {
        "key": record.key,
        "partition_key": header(record.headers, PARTITION_KEY) or record.key,
        "headers": [[name, b64encode(value).decode()] for name, value in record.headers],
        "value": None if record.value is None else b64encode(record.value).decode(),
    }


def _read(path: Path, topic: str) -> Iterator[Sequence[OutgoingRecord]]:
    with path.open("rb") as file:
        lines = read_lines(file, MOVED_LIMITS)
        for batch in chunks(lines, RECORDS_PER_BATCH):
            yield [_record(topic, document) for document in batch]


def _record(topic: str, document: dict[str, object]) -> OutgoingRecord:
    headers, value = document["headers"], document["value"]
    if not isinstance(headers, list):
        raise NutmegError(f"{topic}.jsonl: a record has no list of headers; export again")
    return OutgoingRecord(
        topic,
        str(document["key"]),
        str(document["partition_key"]),
        [(name, b64decode(raw)) for name, raw in headers],
        None if value is None else b64decode(str(value)),
    )
