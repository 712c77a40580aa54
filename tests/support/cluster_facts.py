"""What a cluster has kept, read beside the product: rows of its databases, records and offsets of its log."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.clock import SystemClock
from shared.errors import TransientError
from shared.events.envelope import Event, decode
from shared.events.topics import DEAD_LETTER_SUFFIX, GROUPS, TOPICS
from shared.log.kafka.event_log import KafkaEventLog
from shared.log.kafka.settings import KafkaSettings
from tests.support.cluster import SERVICES, Cluster

__all__ = ["dead_letters", "events_of", "lag_of", "rows_of", "unpublished"]

RECORDS_PER_READ = 5_000
KAFKA = "NUTMEG_KAFKA_"


def rows_of(cluster: Cluster, service: str, statement: str) -> list[tuple[Any, ...]]:
    """Read a service's database."""

    async def read() -> list[tuple[Any, ...]]:
        engine = create_async_engine(cluster.environment["NUTMEG_DATABASE_URL"].format(service=service))
        try:
            async with engine.connect() as connection:
                return [tuple(row) for row in await connection.execute(text(statement))]
        finally:
            await engine.dispose()

    return asyncio.run(read())


def unpublished(cluster: Cluster) -> dict[str, int]:
    """How many events the outboxes still hold, by service; those that are empty are left out."""
    statement = "SELECT COUNT(*) FROM outbox WHERE published_at IS NULL"
    counts = {service: rows_of(cluster, service, statement)[0][0] for service in SERVICES}
    return {service: count for service, count in counts.items() if count}


def lag_of(cluster: Cluster) -> dict[str, int]:
    """How many records each group of a worker has not committed; those that are done are left out."""

    async def read() -> dict[str, int]:
        async with _log(cluster) as log:
            ends = {topic: await log.end_offsets(topic) for topic in TOPICS}
            lags = {}
            for group in (one for one in GROUPS.values() if not one.is_stream):
                committed = await log.committed(group.name)
                places = {place: end for topic in group.topics for place, end in ends[topic].items()}
                lags[group.name] = sum(end - committed.get(place, 0) for place, end in places.items())
        return {group: lag for group, lag in lags.items() if lag}

    return asyncio.run(read())


def dead_letters(cluster: Cluster) -> dict[str, int]:
    """How many dead letters lie on each topic for them; empty ones are left out."""

    async def read() -> dict[str, int]:
        async with _log(cluster) as log:
            ends = {name: await log.end_offsets(name + DEAD_LETTER_SUFFIX) for name in TOPICS}
        return {name: sum(places.values()) for name, places in ends.items() if sum(places.values())}

    return asyncio.run(read())


def events_of(cluster: Cluster, topic: str) -> Sequence[Event]:
    """All records of a topic, in order within each partition; the same event may stand there twice."""

    async def read() -> list[Event]:
        found: list[Event] = []
        async with _log(cluster) as log:
            for place, end in (await log.end_offsets(topic)).items():
                offset = 0
                while offset < end:
                    records = await log.read(place, from_offset=offset, records_max=RECORDS_PER_READ)
                    if not records:
                        break
                    found += [decode(record.headers, record.value) for record in records]
                    offset = records[-1].offset + 1
        return found

    return asyncio.run(read())


@asynccontextmanager
async def _log(cluster: Cluster) -> AsyncIterator[KafkaEventLog]:
    log = KafkaEventLog(
        KafkaSettings(
            bootstrap_servers=cluster.environment[f"{KAFKA}BOOTSTRAP_SERVERS"],
            prefix=cluster.environment[f"{KAFKA}PREFIX"],
            replica="facts",
        ),
        clock=SystemClock(),
    )
    try:
        yield log
    except TransientError as error:
        raise AssertionError(f"the log cannot be read: {error}") from error
    finally:
        await log.close()
