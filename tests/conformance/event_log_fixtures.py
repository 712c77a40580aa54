"""The logs that the conformance suite runs over. A new implementation adds one entry to ``LOGS``."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from shared.bus.ports import EventLog, LogConsumer, LogRecord, OutgoingRecord
from shared.bus.sqlite_log import SQLiteEventLog
from shared.clock import Clock
from shared.events.topics import Freshness, Topic

__all__ = ["LOGS", "STATES", "TOPICS_USED", "LogFactory", "log", "open_log", "outgoing", "read_all"]

STATES = Topic(
    "ledger.accounts", "ledger", "state of accounts", Freshness.VERSION, compacted=True, retention_days=None
)
FACTS = Topic("ledger.notices", "ledger", "facts", Freshness.INBOX, compacted=False, retention_days=7)
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


LOGS: dict[str, Callable[[Path, Clock], LogFactory]] = {"sqlite-1": _sqlite(1), "sqlite-4": _sqlite(4)}


@pytest.fixture(params=sorted(LOGS))
def open_log(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> LogFactory:
    """Opens the log under test; call it again after closing."""
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
