"""What an installation that was stopped has kept: events of its log, rows of its databases."""

import asyncio
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from shared.clock import SystemClock
from shared.events.envelope import Event, decode
from shared.log.port import TopicPartition
from shared.log.sqlite.event_log import SQLiteEventLog

__all__ = ["SERVICES", "events_of", "once_each", "rows_of", "unpublished"]

SERVICES = ("governance", "catalog", "usage", "quality", "notify")
RECORDS_PER_READ = 5_000


def rows_of(data_dir: Path, service: str, statement: str) -> list[tuple[Any, ...]]:
    """Read a service's database."""
    with closing(sqlite3.connect(data_dir / f"{service}.sqlite3")) as connection:
        return connection.execute(statement).fetchall()


def unpublished(data_dir: Path) -> dict[str, int]:
    """How many events each service's outbox still holds."""
    statement = "SELECT COUNT(*) FROM outbox WHERE published_at IS NULL"
    return {service: rows_of(data_dir, service, statement)[0][0] for service in SERVICES}


def events_of(data_dir: Path, topic: str) -> list[Event]:
    """All records of a topic, in order; the same event may stand there twice."""
    return asyncio.run(_read(data_dir, topic))


def once_each(events: Iterable[Event]) -> list[Event]:
    """Leave out what the log holds again because its relay was killed before it could note the first."""
    return list({event.id: event for event in events}.values())


async def _read(data_dir: Path, topic: str) -> list[Event]:
    log = SQLiteEventLog(data_dir / "log", clock=SystemClock())
    await log.open()
    try:
        found: list[Event] = []
        offset = 0
        place = TopicPartition(topic, 0)
        while records := await log.read(place, from_offset=offset, records_max=RECORDS_PER_READ):
            found += [decode(record.headers, record.value) for record in records]
            offset = records[-1].offset + 1
        return found
    finally:
        await log.close()
