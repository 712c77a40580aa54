"""What leaves the embedded log: records past their retention, superseded ones, old tombstones.

The rules are Kafka's. Retention does not look at consumer groups: a group that stays away longer than a
topic's retention misses records, here as there, and its lag says so long before. Compaction keeps the
newest record of each key; younger records than ``compaction_lag`` are left alone (Kafka's
``min.compaction.lag.ms``), so that a reader who is a little behind sees every step.

A dead letter of a topic with personal data goes as soon as its key has been ended by a later tombstone, or
by one that is still the last word on the key: a group that is behind fails on the old state when the
tombstone is there already. An erased person does not live on among the failures. The dead letter of a
tombstone stays, since somebody still has to forget.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.events.topics import DEAD_LETTER_SUFFIX
from shared.log.sqlite.file import LogFile, microseconds
from shared.store.chunks import chunks

__all__ = ["COMPACTION_LAG", "prune"]

COMPACTION_LAG = timedelta(hours=24)
DELETED_PER_TRANSACTION_MAX = 2_000
"""Appends wait behind a delete: this keeps it to some milliseconds."""


@dataclass(frozen=True, slots=True)
class _Policy:
    topic: str
    partition_id: int
    compacted: bool
    retention_days: int | None
    delete_retention_days: int
    personal_data: bool


async def prune(file: LogFile, now: datetime, compaction_lag: timedelta) -> int:
    """Delete what is due and return how many records went. Offsets are never reused."""
    policies = await file.read(_policies)
    deleted = 0
    for policy in policies:
        for select in _selections(policy, now, compaction_lag):
            due = await file.read(select)
            for batch in chunks(due, DELETED_PER_TRANSACTION_MAX):
                await file.write(_deletion(batch))
            deleted += len(due)
    if deleted:
        # secure_delete blanks pages in the file; the old ones must leave the write-ahead log as well.
        await file.checkpoint()
    return deleted


def _policies(connection: sqlite3.Connection) -> list[_Policy]:
    rows = connection.execute(
        "SELECT t.name, p.id, t.compacted, t.retention_days, t.delete_retention_days, t.personal_data "
        "FROM topics t JOIN partitions p ON p.topic = t.name ORDER BY p.id"
    )
    return [
        _Policy(name, pid, bool(c), days, kept, bool(personal)) for name, pid, c, days, kept, personal in rows
    ]


def _selections(
    policy: _Policy, now: datetime, compaction_lag: timedelta
) -> list[Callable[[sqlite3.Connection], list[int]]]:
    selections = []
    if policy.retention_days is not None:
        selections.append(_older_than(policy, now - timedelta(days=policy.retention_days)))
    if policy.compacted:
        selections.append(_superseded(policy, now - compaction_lag))
        selections.append(_old_tombstones(policy, now - timedelta(days=policy.delete_retention_days)))
    if policy.personal_data and policy.topic.endswith(DEAD_LETTER_SUFFIX):
        selections.append(_erased(policy))
    return selections


def _offsets(connection: sqlite3.Connection, statement: str, *values: object) -> list[int]:
    return [offset for (offset,) in connection.execute(statement, values)]


def _older_than(policy: _Policy, horizon: datetime) -> Callable[[sqlite3.Connection], list[int]]:
    return lambda connection: _offsets(
        connection,
        "SELECT offset FROM records WHERE partition_id = ? AND published_at < ?",
        policy.partition_id,
        microseconds(horizon),
    )


def _superseded(policy: _Policy, horizon: datetime) -> Callable[[sqlite3.Connection], list[int]]:
    return lambda connection: _offsets(
        connection,
        "SELECT offset FROM records WHERE partition_id = ? AND published_at <= ? AND offset NOT IN "
        "(SELECT max(offset) FROM records WHERE partition_id = ? GROUP BY key)",
        policy.partition_id,
        microseconds(horizon),
        policy.partition_id,
    )


def _old_tombstones(policy: _Policy, horizon: datetime) -> Callable[[sqlite3.Connection], list[int]]:
    # Only where nothing of the key is left below it: else the key would rise again.
    return lambda connection: _offsets(
        connection,
        "SELECT max(offset) FROM records WHERE partition_id = ? GROUP BY key "
        "HAVING count(*) = 1 AND value IS NULL AND published_at < ?",
        policy.partition_id,
        microseconds(horizon),
    )


def _erased(policy: _Policy) -> Callable[[sqlite3.Connection], list[int]]:
    return lambda connection: _offsets(
        connection,
        "SELECT dead.offset FROM records dead WHERE dead.partition_id = ? AND dead.value IS NOT NULL "
        "AND EXISTS (SELECT 1 FROM records ended JOIN partitions p ON p.id = ended.partition_id "
        "WHERE p.topic = ? AND ended.key = dead.key AND ended.value IS NULL AND (ended.offset > dead.offset "
        "OR NOT EXISTS (SELECT 1 FROM records later WHERE later.partition_id = ended.partition_id "
        "AND later.key = ended.key AND later.offset > ended.offset)))",
        policy.partition_id,
        policy.topic.removesuffix(DEAD_LETTER_SUFFIX),
    )


def _deletion(offsets: list[int]) -> Callable[[sqlite3.Connection], None]:
    def delete(connection: sqlite3.Connection) -> None:
        connection.executemany("DELETE FROM records WHERE offset = ?", [(offset,) for offset in offsets])

    return delete
