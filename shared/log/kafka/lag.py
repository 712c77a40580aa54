"""How far a group on Kafka is behind, told without holding it up.

The age of a partition's backlog is that of its oldest unread record. Mostly that record has been fetched
already. Where it has not, reading it costs requests of their own, and a group that is far behind has many
such partitions: with 74 of them on a busy machine, telling the lag took 34 seconds, and meanwhile the group
handled nothing. So few are read at a time, only where the group stands still, and each once. Of the others a
bound is told that needs no reading: the record is younger than the last one handled, and than the last moment
without a backlog.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.clock import Clock
from shared.log.port import EventLog, Lag, LogRecord, TopicPartition

__all__ = ["Backlogs", "Oldest"]

READS_PER_LOOK_MAX = 3
BELIEVED_SECONDS = 60.0
"""A record that is still unread after this time is looked for again: it may have been deleted meanwhile."""


@dataclass(frozen=True, slots=True)
class Oldest:
    """The oldest unread record of a partition. Offsets have gaps: it need not be the committed one."""

    offset: int
    published_at: datetime


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read between a committed offset and an end; nothing, if only a gap was left."""

    committed: int
    end: int
    oldest: Oldest | None
    until: float


class Backlogs:
    """What one consumer knows of the partitions it reads."""

    def __init__(self, clock: Clock, log: EventLog) -> None:
        self._clock = clock
        self._log = log
        self._handled_at: dict[TopicPartition, datetime] = {}
        self._empty_at: dict[TopicPartition, float] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._found: dict[TopicPartition, _Found] = {}

    def handled(self, records: Iterable[LogRecord], next_offsets: Mapping[TopicPartition, int]) -> None:
        """Note that the offsets of these records were committed."""
        for record in records:
            place = record.topic_partition
            if record.offset < next_offsets.get(place, 0):
                self._handled_at[place] = record.published_at

    def forget(self) -> None:
        """Forget everything: the partitions may be somebody else's now."""
        for known in (self._handled_at, self._empty_at, self._committed, self._found):
            known.clear()

    async def measure(
        self,
        committed: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
        at_hand: Mapping[TopicPartition, Oldest],
    ) -> dict[TopicPartition, Lag]:
        """Return the lag of each partition of ``ends``. ``at_hand`` are oldest records fetched already.

        Raises ``TransientError``.
        """
        lags: dict[TopicPartition, Lag] = {}
        reads_left = READS_PER_LOOK_MAX
        for place in sorted(ends, key=self._looked_for_until):
            end, offset = ends[place], committed.get(place, 0)
            stands_still = self._committed.get(place, offset) == offset
            self._committed[place] = offset
            if end <= offset:
                self._empty_at[place] = self._clock.monotonic_seconds()
                lags[place] = Lag(0, 0.0)
                continue
            if oldest := at_hand.get(place):
                lags[place] = self._since(end, oldest)
                continue
            found = self._known(place, offset, end)
            if found is None and stands_still and reads_left:
                reads_left -= 1
                found = await self._read(place, offset, end)
            if found is None:
                lags[place] = Lag(end - offset, self._age_at_most(place))
            else:
                lags[place] = self._since(end, found.oldest) if found.oldest is not None else Lag(0, 0.0)
        return lags

    def _since(self, end: int, oldest: Oldest) -> Lag:
        age = (self._clock.now() - oldest.published_at).total_seconds()
        return Lag(end - oldest.offset, max(age, 0.0))

    def _age_at_most(self, place: TopicPartition) -> float:
        bounds = []
        if place in self._handled_at:
            bounds.append((self._clock.now() - self._handled_at[place]).total_seconds())
        if place in self._empty_at:
            bounds.append(self._clock.monotonic_seconds() - self._empty_at[place])
        return max(min(bounds, default=0.0), 0.0)

    def _looked_for_until(self, place: TopicPartition) -> float:
        """Those that were never read come first, so that each has its turn."""
        found = self._found.get(place)
        return found.until if found is not None else float("-inf")

    def _known(self, place: TopicPartition, offset: int, end: int) -> _Found | None:
        found = self._found.get(place)
        if found is None or found.committed != offset:
            return None
        if found.oldest is None:
            return found if found.end == end else None
        return found if found.until >= self._clock.monotonic_seconds() else None

    async def _read(self, place: TopicPartition, offset: int, end: int) -> _Found:
        records = await self._log.read(place, from_offset=offset, records_max=1)
        oldest = Oldest(records[0].offset, records[0].published_at) if records else None
        until = self._clock.monotonic_seconds() + BELIEVED_SECONDS
        self._found[place] = _Found(offset, end, oldest, until)
        return self._found[place]
