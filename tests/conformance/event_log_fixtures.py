"""The logs that the conformance suite runs over. A new implementation adds one entry to ``LOGS``."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from shared.clock import Clock, SimulatedClock
from shared.events.topics import Deduplication, Topic
from shared.log.kafka.event_log import KafkaEventLog
from shared.log.kafka.settings import KafkaSettings
from shared.log.port import EventLog, LogConsumer, LogRecord, OutgoingRecord
from shared.log.sqlite.event_log import SQLiteEventLog

__all__ = ["LOGS", "STATES", "TOPICS_USED", "LogFactory", "clock", "log", "open_log", "outgoing", "read_all"]

STATES = Topic(
    "ledger.accounts",
    "ledger",
    "state of accounts",
    Deduplication.VERSION,
    compacted=True,
    retention_days=None,
)
FACTS = Topic("ledger.notices", "ledger", "facts", Deduplication.INBOX, compacted=False, retention_days=7)
TOPICS_USED = (STATES, FACTS)

LogFactory = Callable[[], Awaitable[EventLog]]
"""Opens the same log anew: after a close, what was there is there."""


def _sqlite(partitions: int) -> Callable[[Path, Clock], LogFactory]:
    def factory(directory: Path, clock: Clock) -> LogFactory:
        async def open_it() -> EventLog:
            log = SQLiteEventLog(directory, clock=clock, partitions=partitions)
            await log.open()
            return log

        return open_it

    return factory


def _kafka(partitions: int, address: str, clock: Clock) -> LogFactory:
    settings = KafkaSettings(bootstrap_servers=address, prefix=f"{uuid4()}.", replication_factor=1)

    async def open_it() -> EventLog:
        return KafkaEventLog(settings, clock=clock, partitions=partitions)

    return open_it


LOGS: dict[str, Callable[[Path, Clock], LogFactory]] = {"sqlite-1": _sqlite(1), "sqlite-4": _sqlite(4)}
KAFKA_LOGS = {"kafka-1": 1, "kafka-4": 4}
PARAMETERS = [
    *sorted(LOGS),
    *(pytest.param(name, marks=pytest.mark.cluster) for name in sorted(KAFKA_LOGS)),
]


@pytest.fixture
def clock() -> SimulatedClock:
    """Starts now, since the time of a record is that of the log's own machine."""
    return SimulatedClock(datetime.now(UTC))


@pytest.fixture(params=PARAMETERS)
def open_log(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> LogFactory:
    """Opens the log under test; call it again after closing."""
    if request.param in KAFKA_LOGS:
        return _kafka(KAFKA_LOGS[request.param], request.getfixturevalue("real_kafka"), clock)
    return LOGS[request.param](tmp_path / "log", clock)


@pytest.fixture
async def log(open_log: LogFactory) -> AsyncIterator[EventLog]:
    """The log under test, with its topics."""
    opened = await open_log()
    await opened.ensure_topics(TOPICS_USED)
    yield opened
    await opened.close()


def outgoing(
    key: str,
    value: bytes | None = b"{}",
    *,
    topic: str = STATES.name,
    partition_key: str | None = None,
    headers: Sequence[tuple[str, bytes]] = (),
) -> OutgoingRecord:
    """A record to publish."""
    return OutgoingRecord(topic, key, partition_key or key, headers, value)


async def read_all(consumer: LogConsumer, count: int) -> list[LogRecord]:
    """Poll until ``count`` records came; fails if nothing more comes for five seconds."""
    records: list[LogRecord] = []
    while len(records) < count:
        polled = await consumer.poll(timeout_seconds=5)
        assert polled, f"{len(records)} of {count} records came, then none for 5 s"
        records.extend(polled)
    return records
