"""The way of one event through the services: what was published, who handled it, and when.

All events that follow from one another share a correlation id. Times come from the host's memory
(:class:`~services.host.operations.observed_log.ObservedLog`). What happened before this start is read from
the log: when it was published is known there, and by the groups' offsets whether it was handled, not when.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from services.host.operations.installation import OperatedInstallation
from services.host.operations.observed_log import ObservedLog, PublishedRecord, describe_record
from shared.errors import InvalidInputError, NotFoundError
from shared.events.registry import EVENT_TYPES
from shared.events.topics import DEAD_LETTER_SUFFIX, GROUPS, TOPICS
from shared.log.port import TopicPartition
from shared.web.elements import Hop

__all__ = [
    "EventPath",
    "Handling",
    "PathEvent",
    "correlation_id_in",
    "event_path",
    "hops_of",
    "path_of",
    "path_of_records",
]

SCANNED_OFFSETS_MAX = 50_000
READ_RECORDS = 500
HandlingState = Literal["done", "waiting", "failed"]
_STATE_WORDS: Mapping[str, str] = {
    "done": "handled",
    "waiting": "has to handle",
    "failed": "could not handle",
}


@dataclass(frozen=True, slots=True)
class Handling:
    """What one group made of one event. ``at``: ``None`` while it waits, or if it was before this start."""

    group: str
    state: HandlingState
    at: datetime | None


@dataclass(frozen=True, slots=True)
class PathEvent:
    """One event on the path, with every group that reads its topic."""

    record: PublishedRecord
    handlings: tuple[Handling, ...]


@dataclass(frozen=True, slots=True)
class EventPath:
    """Events of one correlation, in the order they were published."""

    events: tuple[PathEvent, ...]

    @property
    def is_finished(self) -> bool:
        """Every group is through with every event so far; another may still follow from recurring work."""
        return all(handling.state != "waiting" for event in self.events for handling in event.handlings)


async def event_path(installation: OperatedInstallation, correlation_id: UUID) -> EventPath:
    """Return an event's path. Raises ``NotFoundError`` if the log has nothing of it."""
    path = await path_of(installation.log, str(correlation_id), installation.groups)
    if path is None:
        raise NotFoundError(
            "The log holds no event with this correlation id. It may be past its retention.",
            what="event",
            field="correlation_id",
            fix="Use the correlationid of an event, as the changes feed and the log lines give it.",
        )
    return path


async def path_of(log: ObservedLog, correlation_id: str, groups: Collection[str]) -> EventPath | None:
    """Return the path of a correlation, ``None`` if the log has nothing of it (any more).

    ``groups`` are those that run here. Reads at most the last 50,000 offsets of each topic.
    """
    records = [record for record in log.records if record.correlation_id == correlation_id]
    if not any(record.event_id == correlation_id for record in records):
        records = await _read_from_log(log, correlation_id)
    return await path_of_records(log, records, groups) if records else None


async def path_of_records(
    log: ObservedLog, records: Sequence[PublishedRecord], groups: Collection[str]
) -> EventPath:
    """Return the path that these records make."""
    ordered = sorted(records, key=lambda record: (record.published_at, record.offset))
    failed = {(record.failed_group, record.event_id) for record in ordered if record.failed_group}
    committed = {group: await log.committed(group) for group in groups}
    return EventPath(
        tuple(
            PathEvent(record, tuple(_handlings(log, record, committed, failed)))
            for record in ordered
            if not record.place.topic.endswith(DEAD_LETTER_SUFFIX)
        )
    )


def hops_of(path: EventPath) -> tuple[list[Hop], float | None]:
    """Return the path as boxes, in order of time, and the milliseconds from first to last."""
    timed: list[tuple[datetime, Hop]] = []
    untimed: list[Hop] = []
    for event in path.events:
        record = event.record
        timed.append((record.published_at, Hop(_words_of(record), f"published on {record.place.topic}")))
        for handling in event.handlings:
            detail = f"{_STATE_WORDS[handling.state]} {_words_of(record)}"
            hop = Hop(handling.group, detail, handling.state)
            if handling.at is None:
                untimed.append(hop)
            else:
                timed.append((handling.at, hop))
    timed.sort(key=lambda pair: pair[0])
    if not timed:
        return untimed, None
    first = min(event.record.event_time for event in path.events)
    before = first
    hops = []
    for at, hop in timed:
        hops.append(Hop(hop.name, hop.detail, hop.state, _milliseconds(before, at)))
        before = max(before, at)
    return [*hops, *untimed], _milliseconds(first, before)


def _handlings(
    log: ObservedLog,
    record: PublishedRecord,
    committed: Mapping[str, Mapping[TopicPartition, int]],
    failed: Collection[tuple[str | None, str]],
) -> Iterable[Handling]:
    for name, offsets in committed.items():
        if name not in GROUPS or record.place.topic not in GROUPS[name].topics:
            continue
        at = log.handled_at(name, record.place, record.offset)
        is_through = at is not None or offsets.get(record.place, 0) > record.offset
        if (name, record.event_id) in failed:
            yield Handling(name, "failed", at)
        else:
            yield Handling(name, "done" if is_through else "waiting", at)


def correlation_id_in(text: str) -> UUID:
    """Return the correlation id that a person typed. Raises ``InvalidInputError``."""
    try:
        return UUID(text.strip())
    except ValueError as error:
        raise InvalidInputError(
            "That is no correlation id.",
            field="path",
            fix="Copy it from an event; it looks like 0e37df36-f698-11e6-8dd4-cb9ced3df976.",
            code="uuid",
        ) from error


async def _read_from_log(log: ObservedLog, correlation_id: str) -> list[PublishedRecord]:
    found = []
    for topic in (*TOPICS, *(name + DEAD_LETTER_SUFFIX for name in TOPICS)):
        try:
            ends = await log.end_offsets(topic)
        except KeyError:
            continue  # no service that runs here has created it
        for place, end in ends.items():
            offset = max(0, end - SCANNED_OFFSETS_MAX // len(ends))
            while offset < end:
                records = await log.read(place, from_offset=offset, records_max=READ_RECORDS)
                if not records:
                    break
                for record in records:
                    known = describe_record(
                        place, record.offset, record.key, record.headers, record.published_at
                    )
                    if known.correlation_id == correlation_id:
                        found.append(known)
                offset = records[-1].offset + 1
    return found


def _words_of(record: PublishedRecord) -> str:
    """Return ``catalog: dataset changed`` for ``nutmeg.catalog.dataset.changed.v1``."""
    if record.event_type not in EVENT_TYPES:
        return record.event_type or "a record"
    _, service, *words, _ = record.event_type.split(".")
    return f"{service}: {' '.join(words).replace('-', ' ')}"


def _milliseconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds() * 1_000)
