"""Hourly uses in a Faust table, rebuilt from its changelog or from ``usage.rollups`` itself.

What Faust keeps is not enough to lose nothing, so two things stand in the changelog beside the rows:

* ``next/<partition>``, the offset to read next, written once everything before it is in the table. Faust's
  own commits can be ahead of it: records that it skips in a rebalance, and those behind a gap that compaction
  left, may be committed before they are handled. After each recovery the group is set back to this offset.
* ``begun/<partition>``, written when that reading began at offset 0. A changelog without it was lost or made
  anew, and its partition is read again from the beginning.

Nor does Faust hand over all that it reads: when it resumes after a recovery it clears the queues, also of
what has come by then. So in each partition the record that is due has to come first, and one that does not
come is asked for again.

Rows are sent with their partition named. Faust would take it from "the current event", which in a batch is
the last one, and not the one that the row is from.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

import faust
import structlog

from services.usage.anomalies.domain.windows import DayRow, daily_uses
from shared.clock import Clock
from shared.errors import TransientError
from shared.events.envelope import partition_for
from shared.log.port import EventLog, Lag, LogRecord, TopicPartition
from shared.store.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from faust.types import TP

__all__ = ["RollupWindows"]

logger = structlog.get_logger(__name__)

NEXT, BEGUN = "next/", "begun/"
LOOKS_LEFT_OUT = 10
"""What was asked for may have to wait behind others."""


class RollupWindows:
    """Implements :class:`~services.usage.anomalies.commands.DailyUses` for the partitions that are ours."""

    def __init__(
        self,
        app: "faust.App",
        *,
        rollups: str,
        table: str,
        prefix: str,
        log: EventLog,
        clock: Clock,
        fresh_seconds: float,
        send_seconds_max: float,
    ) -> None:
        self.topic = app.topic(
            prefix + rollups, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )
        self.owned: frozenset[int] = frozenset()
        self.is_settled = False
        """Whether it is known what is owned, and its rows are here: not before a recovery has ended."""
        self._app = app
        self._name = rollups
        self._log = log
        self._clock = clock
        self._fresh_seconds = fresh_seconds
        self._send_seconds_max = send_seconds_max
        changelog = app.topic(
            prefix + table,
            key_serializer="json",
            value_serializer="json",
            acks=False,
            internal=True,
            allow_empty=True,
        )
        self._table: Any = app.Table(
            "windows", changelog_topic=changelog, on_recover=self._begin_where_the_table_ends
        )
        self._partitions = 0
        self._next: dict[int, int] = {}
        self._due_first: dict[int, int] = {}
        self._unread: dict[int, int] = {}
        self._looks: dict[int, int] = {}
        self._catching_up: set[int] = set()
        self._judged: frozenset[int] = frozenset()
        app.on_partitions_revoked.connect(self._let_go)

    async def open(self) -> None:
        """Ask how many partitions there are. Raises ``TransientError``."""
        self._partitions = len(await self._log.end_offsets(self._name))

    def row(self, key: str) -> DayRow | None:
        """Return a row of the table."""
        found: DayRow | None = self._table.data.get(key)
        return found

    def ours(self, events: Sequence[Any]) -> list[Any]:
        """Return those that may be handled: no rebalance has overtaken them, and none is left out."""
        due_first, ours = dict(self._due_first), []
        for event in events:
            message = event.message
            if message.generation_id != self._app.consumer_generation_id:
                continue
            if message.partition not in self.owned:
                continue
            due = due_first.get(message.partition)
            if due is not None and message.offset > due:
                continue
            if message.offset == due:
                del due_first[message.partition]
            ours.append(event)
        return ours

    def partition_of(self, dataset_id: UUID) -> int:
        """Return the partition of the dataset's rollups, and so of its rows."""
        return partition_for(str(dataset_id), self._partitions)

    def at_hand(self) -> Callable[[UUID], bool]:
        """See :class:`services.usage.anomalies.commands.DailyUses`."""
        judged = self._judged
        # As long as nobody is judged, it may not even be known how many partitions there are.
        return lambda dataset_id: bool(judged) and self.partition_of(dataset_id) in judged

    async def daily_uses(
        self,
        work: UnitOfWork,  # noqa: ARG002 - the other implementation reads its tables
        dataset_ids: Collection[UUID],
        *,
        since: date,
    ) -> Mapping[UUID, Mapping[date, int]]:
        """See :class:`services.usage.anomalies.commands.DailyUses`."""
        found = {dataset_id: daily_uses(self.row, dataset_id, since=since) for dataset_id in dataset_ids}
        return {dataset_id: uses for dataset_id, uses in found.items() if uses}

    async def assign(self, rows: Mapping[str, tuple[int, DayRow]]) -> None:
        """Put rows, with their partitions, into changelog and table. Raises ``TransientError``."""
        await self._send([(partition, key, row) for key, (partition, row) in rows.items()])

    async def move_on(self, offsets: Mapping[int, int]) -> None:
        """Write down, per partition, what is read next. Raises ``TransientError``."""
        await self._send([(partition, f"{NEXT}{partition}", offset) for partition, offset in offsets.items()])
        self._next.update(offsets)
        for partition, offset in offsets.items():
            if offset > self._due_first.get(partition, offset):
                del self._due_first[partition]

    async def measure(self) -> dict[TopicPartition, Lag]:
        """Return how far behind the table is, and judge only what is not. Raises ``TransientError``."""
        owned, lags = self.owned, {}
        before, self._unread = self._unread, {}
        try:
            ends = await self._log.end_offsets(self._name)
            for place, end in ends.items():
                if place.partition in owned:
                    lags[place] = await self._lag(place, end)
        except TransientError:
            self._judged = frozenset()
            raise
        self._looks = {
            partition: self._looks.get(partition, 0) + 1 if before.get(partition) == offset else 0
            for partition, offset in self._unread.items()
        }
        self._catching_up -= {place.partition for place, lag in lags.items() if not lag.records}
        fresh = {place.partition for place, lag in lags.items() if lag.seconds <= self._fresh_seconds}
        self._judged = self.owned & frozenset(fresh - self._catching_up)
        return lags

    async def ask_again(self, *, looks_min: int) -> None:
        """Have records handed over that were due at so many looks in a row, and are."""
        late = {
            partition: self._unread[partition]
            for partition, looks in self._looks.items()
            if looks >= looks_min and partition in self.owned
        }
        if not late:
            return
        self._looks.update(dict.fromkeys(late, -LOOKS_LEFT_OUT))
        logger.warning("records that did not come are asked for again", partitions=sorted(late))
        places = {tp: late[tp.partition] for tp in self._assignment() if tp.partition in late}
        self._due_first.update(late)
        await self._app.consumer.seek_wait(places)

    async def _lag(self, place: TopicPartition, end: int) -> Lag:
        unread = await self._first_unread(place, end)
        if unread is None:
            return Lag(0, 0.0)
        self._unread[place.partition] = unread.offset
        age = (self._clock.now() - unread.published_at).total_seconds()
        return Lag(end - unread.offset, max(age, 0.0))

    async def _first_unread(self, place: TopicPartition, end: int) -> LogRecord | None:
        """Return the record that is due. Offsets have gaps, so it need not be the one that is read next."""
        offset = self._next.get(place.partition, 0)
        found = await self._log.read(place, from_offset=offset, records_max=1) if end > offset else []
        return found[0] if found else None

    async def _send(self, entries: Collection[tuple[int, str, Any]]) -> None:
        sent = [
            (key, value, self._table.send_changelog(partition, key, value))
            for partition, key, value in entries
        ]
        if not sent:
            return
        # Not cancelled when time is up: the producer still holds them.
        _, late = await asyncio.wait([future for *_, future in sent], timeout=self._send_seconds_max)
        causes = [future.exception() for *_, future in sent if future not in late]
        if late or any(causes):
            cause = next((one for one in causes if one is not None), None)
            raise TransientError(f"Kafka took no rows of the changelog: {cause!r}") from cause
        for key, value, _ in sent:
            self._table.data[key] = value

    async def _begin_where_the_table_ends(self) -> None:
        """Called by Faust when a recovery has ended, before any record comes."""
        try:
            assignment = {tp.partition: tp for tp in self._assignment()}
            self._forget_all_but(assignment)
            fresh = [number for number in assignment if self._table.data.get(f"{BEGUN}{number}") is None]
            if fresh:
                logger.warning("the table is built from the beginning", partitions=sorted(fresh))
                await self._send([(number, f"{NEXT}{number}", 0) for number in fresh])
                await self._send([(number, f"{BEGUN}{number}", True) for number in fresh])
            self._next = {number: int(self._table.data[f"{NEXT}{number}"]) for number in assignment}
            if not await self._set_back({tp: self._next[number] for number, tp in assignment.items()}):
                return  # another rebalance has begun, and will end here too
            self._due_first = await self._first_records(assignment)
            self._catching_up = set(assignment)
            self.owned, self.is_settled = frozenset(assignment), True
        except Exception as error:
            # Faust would go on without a word.
            logger.exception("the table cannot be taken over")
            await self._app.crash(error)

    async def _first_records(self, partitions: Collection[int]) -> dict[int, int]:
        """Return the offset of the record that is due in each partition; its end, where none is yet."""
        first = {}
        for place, end in (await self._log.end_offsets(self._name)).items():
            if place.partition in partitions:
                unread = await self._first_unread(place, end)
                first[place.partition] = end if unread is None else unread.offset
        return first

    def _assignment(self) -> "list[TP]":
        return [tp for tp in self._app.consumer.assignment() if tp.topic in self.topic.topics]

    async def _set_back(self, offsets: "Mapping[TP, int]") -> bool:
        consumer: Any = self._app.consumer
        # There is no public way to a commit of offsets that nobody acknowledged.
        is_kept: bool = not offsets or await consumer._commit(offsets)  # noqa: SLF001
        return is_kept

    async def _let_go(self, *_: Any, **__: Any) -> None:
        """Called by Faust when a rebalance begins: whatever is ours after it comes by a recovery."""
        self.owned, self.is_settled, self._judged = frozenset(), False, frozenset()

    def _forget_all_but(self, partitions: Collection[int]) -> None:
        """Drop rows of partitions that went elsewhere. Faust does so only for rows that it recovered."""
        data = self._table.data
        belongs: Callable[[str], int] = self._partition_of_key
        for key in [key for key in data if belongs(key) not in partitions]:
            del data[key]

    def _partition_of_key(self, key: str) -> int:
        name, _, number = key.partition("/")
        return int(number) if f"{name}/" in {NEXT, BEGUN} else partition_for(name, self._partitions)
