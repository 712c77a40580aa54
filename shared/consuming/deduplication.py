"""Which events of a batch are news to a group, asked and remembered inside the handler's own transaction.

Entity topics: strictly newer than the version applied last for the key. A tombstone without a version
is applied; it ends the key whatever came before. Other topics: an inbox of ``(source, id)``.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

from sqlalchemy import Select, Table, bindparam, insert, select

from shared.consuming.handling import Outcome
from shared.errors import InvalidEventError
from shared.events.envelope import Event
from shared.events.topics import Deduplication, Topic
from shared.store.in_list import in_list_parameter, list_values
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["IncomingEvent", "check_version", "find_duplicates", "record_processed"]

IncomingEvent = tuple[Topic, Event]


def check_version(topic: Topic, event: Event) -> None:
    """Raise ``InvalidEventError`` for entity state that cannot be put in order."""
    if (
        topic.deduplication is Deduplication.VERSION
        and event.data is not None
        and event.subjectversion is None
    ):
        raise InvalidEventError(f"{event.type} {event.id} on {topic.name} has no ce_subjectversion header")


async def find_duplicates(
    arrivals: Sequence[IncomingEvent], unit_of_work: UnitOfWork, group: str
) -> list[Outcome | None]:
    """Return for each arrival ``STALE`` or ``DUPLICATE``, or ``None`` if it is news.

    Several versions of a key, or several copies of an event, may stand in one batch.
    """
    applied = await _applied_versions(arrivals, unit_of_work, group)
    known = await _known_ids(arrivals, unit_of_work, group)
    verdicts: list[Outcome | None] = []
    for topic, event in arrivals:
        verdict: Outcome | None = None
        if topic.deduplication is Deduplication.VERSION:
            place = (topic.name, event.subject)
            if event.subjectversion is not None:
                if event.subjectversion <= applied.get(place, -1):
                    verdict = Outcome.STALE
                else:
                    applied[place] = event.subjectversion
        else:
            identity = (event.source, event.id)
            if identity in known:
                verdict = Outcome.DUPLICATE
            known.add(identity)
        verdicts.append(verdict)
    return verdicts


async def record_processed(arrivals: Sequence[IncomingEvent], unit_of_work: UnitOfWork, group: str) -> None:
    """Note that ``arrivals``, all of them news, are applied."""
    versions: dict[tuple[str, str], int] = {}
    facts = []
    now = unit_of_work.clock.now()
    for topic, event in arrivals:
        if topic.deduplication is Deduplication.INBOX:
            facts.append(
                {
                    "group_name": group,
                    "source": event.source,
                    "event_id": event.id,
                    "topic": topic.name,
                    "handled_at": now,
                }
            )
        elif event.subjectversion is not None:
            versions[topic.name, event.subject] = event.subjectversion
    if facts:
        await unit_of_work.connection.execute(insert(unit_of_work.tables.inbox), facts)
    await upsert(
        unit_of_work.connection,
        unit_of_work.tables.applied_versions,
        [
            {"group_name": group, "topic": topic, "key": key, "version": version}
            for (topic, key), version in versions.items()
        ],
    )


async def _applied_versions(
    arrivals: Sequence[IncomingEvent], unit_of_work: UnitOfWork, group: str
) -> dict[tuple[str, str], int]:
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for topic, event in arrivals:
        if topic.deduplication is Deduplication.VERSION:
            wanted[topic.name].add(event.subject)
    dialect = unit_of_work.connection.dialect.name
    found: dict[tuple[str, str], int] = {}
    for name, keys in wanted.items():
        rows = await unit_of_work.connection.execute(
            _versions(unit_of_work.tables.applied_versions, dialect),
            {"group": group, "topic": name, "keys": list_values(sorted(keys), dialect)},
        )
        for key, version in rows:
            found[name, key] = version
    return found


async def _known_ids(
    arrivals: Sequence[IncomingEvent], unit_of_work: UnitOfWork, group: str
) -> set[tuple[str, str]]:
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for topic, event in arrivals:
        if topic.deduplication is Deduplication.INBOX:
            wanted[event.source].add(event.id)
    dialect = unit_of_work.connection.dialect.name
    found: set[tuple[str, str]] = set()
    for source, ids in wanted.items():
        rows = await unit_of_work.connection.execute(
            _ids(unit_of_work.tables.inbox, dialect),
            {"group": group, "source": source, "ids": list_values(sorted(ids), dialect)},
        )
        found.update((source, event_id) for (event_id,) in rows)
    return found


@lru_cache(maxsize=64)
def _versions(table: Table, dialect: str) -> Select[str, int]:
    """Built once per service: building it took as long as asking."""
    return select(table.c.key, table.c.version).where(
        table.c.group_name == bindparam("group"),
        table.c.topic == bindparam("topic"),
        in_list_parameter(table.c.key, "keys", dialect),
    )


@lru_cache(maxsize=64)
def _ids(table: Table, dialect: str) -> Select[str]:
    return select(table.c.event_id).where(
        table.c.group_name == bindparam("group"),
        table.c.source == bindparam("source"),
        in_list_parameter(table.c.event_id, "ids", dialect),
    )
