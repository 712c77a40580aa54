"""Whether a service's store and the log remember the same history; looked at before anything is handled.

Both sides keep marks of the other. A store keeps the highest offset that the log acknowledged
(``log_marks``), and how far each group got (``handled_offsets``); the log keeps what was published, and the
groups' offsets. Every crash leaves the store ahead: it commits before the log hears of it. So

* a record of the service's own topics above its mark, and in no row of its outbox, was told by a store that
  is gone: this one is missing, or an older copy;
* a group's offset above the store's means the same for what was handled;
* an acknowledged record above the log's end means that the *log* is missing or older.

What the other side still holds is brought back: groups are read again from where the store stands, outbox
rows are sent again. The rest is refused, until somebody puts a backup back or accepts the loss.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Row, delete, or_, select

from shared.consuming.handled_offsets import handled_offsets, note_handled
from shared.errors import InvalidEventError, LostStateError
from shared.events.envelope import UnknownEventTypeError, decode, header
from shared.events.topics import GROUPS, TOPICS, ConsumerGroup
from shared.log.port import EventLog, LogRecord, TopicPartition
from shared.store.engine import Store
from shared.store.notes import read_note, remove_note, write_note
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = [
    "LOG",
    "Disagreement",
    "LogLoss",
    "agree",
    "groups_of",
    "log_losses",
    "look",
    "own_places",
    "present_marks",
    "replace_marks",
    "rewind",
    "take_for_known",
]

logger = structlog.get_logger(__name__)

RECORDS_PER_READ = 500
JUST_PUBLISHED = timedelta(minutes=1)
ASSIGNMENT_POLLS_MAX = 60
NAMED_MAX = 3
LOG = "log"


@dataclass(frozen=True, slots=True)
class LogLoss:
    """A mark that the log does not live up to."""

    topic: str
    words: str
    is_truncation: bool


@dataclass(frozen=True, slots=True)
class Disagreement:
    """What one side knows and the other does not. Empty: all is well.

    ``unknown`` counts records of own topics that the store never wrote; ``behind`` gives the offsets at which
    the store stands, of groups that the log has further; ``unreadable`` names those of them whose records
    have left the log since; ``beyond_outbox`` names what the log lost and the outbox holds no more.
    """

    service: str
    unknown: Mapping[str, int] = field(default_factory=dict)
    behind: Mapping[str, Mapping[TopicPartition, int]] = field(default_factory=dict)
    unreadable: Sequence[str] = ()
    beyond_outbox: Sequence[str] = ()

    @property
    def refusal(self) -> str | None:
        """Why the service must not run, with the cure; ``None`` where all is well, or can be made well."""
        if self.beyond_outbox:
            return (
                f"the event log is missing or older than the database of {self.service} "
                f"({_some(self.beyond_outbox)}), and the outbox does not hold all of it any more; "
                f"{_cure(LOG)}"
            )
        if not self.unknown and not self.unreadable:
            return None
        lost = [f"{count:,} events of {topic}" for topic, count in sorted(self.unknown.items())]
        return (
            f"the database of {self.service} is missing or older than the event log, which remembers what it "
            f"has lost ({_some(lost or self.unreadable)}); {_cure(self.service)}"
        )


def _cure(what: str) -> str:
    return f"put a backup back (nutmeg restore), or accept the loss: nutmeg accept-loss {what} --reason …"


def _some(words: Sequence[str]) -> str:
    more = len(words) - NAMED_MAX
    return "; ".join(words[:NAMED_MAX]) + (f"; and {more} more" if more > 0 else "")


async def agree(store: Store, log: EventLog) -> Disagreement:
    """Compare, bring back what can be, and return what was found.

    Raises ``LostStateError`` for what cannot; that is also noted in the store, so that processes which do not
    see the log can tell it. Raises ``TransientError``.
    """
    found = await look(store, log)
    refusal = found.refusal
    if refusal is None and found.behind and store.is_shared:
        # Replicas may be reading just now: nobody moves a group under them.
        refusal = (
            f"the database of {store.service} is older than the event log "
            f"({_some(sorted(found.behind))}); stop its workers, then: "
            f"nutmeg accept-loss {store.service} --profile cluster --reason …"
        )
    await _note_refusal(store, refusal)
    if refusal is not None:
        raise LostStateError(refusal)
    if found.behind:
        await rewind(log, found.behind)
        logger.critical(
            "the database is older than the log; what it had handled is read again",
            service=store.service,
            groups=sorted(found.behind),
        )
    return found


async def look(store: Store, log: EventLog) -> Disagreement:
    """Compare a store with the log. Raises ``TransientError``."""
    epochs = await log.epochs()
    # The marks first: what is published meanwhile is in the outbox for a day.
    async with store.read() as connection:
        marks = {
            TopicPartition(mark.topic, mark.partition): mark.acknowledged_offset
            for mark in (await connection.execute(select(store.tables.log_marks))).all()
            if mark.epoch in epochs
        }
    behind: dict[str, dict[TopicPartition, int]] = {}
    unreadable: list[str] = []
    for group in groups_of(store.service):
        places = await _behind(store, log, group, epochs)
        if places:
            behind[group.name] = places
            unreadable += [
                f"{group.name} of {place.topic}/{place.partition}"
                for place, offset in places.items()
                if not await _is_readable(log, place, offset)
            ]
    return Disagreement(
        store.service,
        unknown=await _unknown(store, log, marks),
        behind=behind,
        unreadable=unreadable,
        beyond_outbox=await _beyond_outbox(store, log),
    )


def groups_of(service: str) -> list[ConsumerGroup]:
    """Return the groups whose handlers write to the store of ``service``."""
    return [group for group in GROUPS.values() if group.service == service and not group.is_stream]


async def own_places(service: str, log: EventLog) -> dict[TopicPartition, int]:
    """Return the end of every partition that only ``service`` publishes to."""
    ends: dict[TopicPartition, int] = {}
    for topic in TOPICS.values():
        if topic.owner == service:
            ends.update(await _ends(log, topic.name))
    return ends


async def log_losses(store: Store, log: EventLog) -> list[LogLoss]:
    """Return the marks that the log does not live up to. Raises ``TransientError``."""
    async with store.read() as connection:
        marks = (await connection.execute(select(store.tables.log_marks))).all()
    epochs = await log.epochs()
    losses = []
    for mark in marks:
        loss = await _loss(log, mark, epochs)
        if loss is not None:
            losses.append(loss)
    return losses


async def present_marks(log: EventLog, topics: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of ``log_marks`` that say: whatever the log holds of ``topics`` is known."""
    epoch = (await log.epochs())[0]
    return [
        {
            "topic": place.topic,
            "partition": place.partition,
            "epoch": epoch,
            "acknowledged_offset": end - 1,
        }
        for topic in topics
        for place, end in (await _ends(log, topic)).items()
    ]


async def replace_marks(work: UnitOfWork, topics: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write these marks in place of those that a store has of ``topics``."""
    table = work.tables.log_marks
    await work.connection.execute(delete(table).where(table.c.topic.in_(topics)))
    await upsert(work.connection, table, rows)


async def take_for_known(store: Store, log: EventLog) -> None:
    """Write the marks of a store that was filled otherwise than by this log: it knows what is there."""
    topics = sorted({place.topic for place in await own_places(store.service, log)})
    marks = await present_marks(log, topics)
    epoch = (await log.epochs())[0]
    handled = {group.name: await log.committed(group.name) for group in groups_of(store.service)}
    async with store.unit_of_work() as work:
        await replace_marks(work, topics, marks)
        for group, offsets in handled.items():
            await note_handled(work, group, epoch, offsets)


async def rewind(log: EventLog, behind: Mapping[str, Mapping[TopicPartition, int]]) -> None:
    """Move groups back to these offsets. Raises ``LostStateError`` where a group has other members."""
    for name, offsets in behind.items():
        consumer = await log.consumer(name, GROUPS[name].topics)
        try:
            for _ in range(ASSIGNMENT_POLLS_MAX):
                if offsets.keys() <= (await consumer.lag()).keys():
                    await consumer.commit(offsets)
                    break
                await consumer.poll(timeout_seconds=0.5)
            else:
                raise LostStateError(
                    f"group {name} has other members; stop every worker of it, then try again"
                )
        finally:
            await consumer.close()


async def _note_refusal(store: Store, refusal: str | None) -> None:
    async with store.read() as connection:
        noted = await read_note(connection, store.tables, "refusal")
    if noted == refusal:
        return
    async with store.unit_of_work() as work:
        if refusal is None:
            await remove_note(work, "refusal")
        else:
            await write_note(work, "refusal", refusal)


async def _ends(log: EventLog, topic: str) -> Mapping[TopicPartition, int]:
    try:
        return await log.end_offsets(topic)
    except KeyError:
        return {}  # not created yet


async def _unknown(store: Store, log: EventLog, marks: Mapping[TopicPartition, int]) -> dict[str, int]:
    """Count, by topic, the records above the store's marks that its outbox does not hold."""
    counts: dict[str, int] = {}
    for place, end in (await own_places(store.service, log)).items():
        offset = marks.get(place, -1) + 1
        if end <= offset:
            continue
        ids = await _outbox_ids(store, place.topic)
        found = 0
        while offset < end and (
            records := await log.read(place, from_offset=offset, records_max=RECORDS_PER_READ)
        ):
            found += sum(
                header(record.headers, "ce_id") not in ids and _is_event(record) for record in records
            )
            offset = records[-1].offset + 1
        if found:
            counts[place.topic] = counts.get(place.topic, 0) + found
    return counts


def _is_event(record: LogRecord) -> bool:
    """Tell whether a service can have told this: what nobody can read came past every outbox."""
    try:
        decode(record.headers, record.value)
    except UnknownEventTypeError:
        return True  # of a newer version, perhaps
    except InvalidEventError:
        return False
    return True


async def _outbox_ids(store: Store, topic: str) -> set[str]:
    """Return the ids of events that were published and not marked, or marked since the marks were read."""
    outbox = store.tables.outbox
    lately = store.clock.now() - JUST_PUBLISHED
    async with store.read() as connection:
        found = await connection.execute(
            select(outbox.c.headers).where(
                outbox.c.topic == topic, or_(outbox.c.published_at.is_(None), outbox.c.published_at >= lately)
            )
        )
        return {text for (headers,) in found for name, text in headers if name == "ce_id"}


async def _behind(
    store: Store, log: EventLog, group: ConsumerGroup, epochs: Sequence[str]
) -> dict[TopicPartition, int]:
    async with store.read() as connection:
        stands = await handled_offsets(connection, store.tables, group.name, epochs)
    return {
        place: stands.get(place, 0)
        for place, offset in (await log.committed(group.name)).items()
        if place.topic in group.topics and offset > stands.get(place, 0)
    }


async def _is_readable(log: EventLog, place: TopicPartition, offset: int) -> bool:
    """Tell whether the log holds everything from ``offset`` on, or of a compacted topic its last word."""
    topic = TOPICS[place.topic]
    if topic.compacted and topic.retention_days is None:
        return True
    # Records leave from the front. If the last one that was handled is there, so is all that follows it.
    before = await log.read(place, from_offset=max(offset - 1, 0), records_max=1)
    return bool(before) and before[0].offset <= offset


async def _loss(log: EventLog, mark: Row[Any], epochs: Sequence[str]) -> LogLoss | None:
    place = f"{mark.topic}/{mark.partition}"
    ends = await _ends(log, mark.topic)
    end = ends.get(TopicPartition(mark.topic, mark.partition), 0)
    if mark.epoch not in epochs:
        return LogLoss(mark.topic, f"{place} was written to another log ({mark.epoch})", is_truncation=False)
    if end <= mark.acknowledged_offset:
        words = f"{place} ends at {end}, but {mark.acknowledged_offset} was acknowledged"
        return LogLoss(mark.topic, words, is_truncation=True)
    return None


async def _beyond_outbox(store: Store, log: EventLog) -> list[str]:
    """Name what the log lost, unless the outbox holds every event since the log's last."""
    losses = await log_losses(store, log)
    if not losses:
        return []
    async with store.read() as connection:
        pruned = await read_note(connection, store.tables, "outbox_pruned_before")
    if pruned is None:
        return []
    if all(loss.is_truncation for loss in losses):
        last = await _last_published(log)
        if last is not None and last >= datetime.fromisoformat(pruned):
            return []
    return [loss.words for loss in losses]


async def _last_published(log: EventLog) -> datetime | None:
    """Return when the log's last record was published: a log that lost its tail ends earlier, no more."""
    last: datetime | None = None
    for topic in TOPICS:
        for place, end in (await _ends(log, topic)).items():
            for record in await log.read(place, from_offset=max(end - 1, 0), records_max=1):
                last = record.published_at if last is None else max(last, record.published_at)
    return last
