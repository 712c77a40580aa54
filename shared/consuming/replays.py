"""Dead letters that an operator wants handled again, and what became of them.

A replay feeds only the group that failed: nothing is published to the source topic, where every other
group would see it again. The request is a row in the failing service's own store
(``dead_letter_replays``), so it needs nothing of the log but :meth:`~shared.log.port.EventLog.read`, and
works alike over Kafka. The group's own loop takes it up between two polls, handles the record as it was,
and sets the row's state *in the handler's transaction*: killed before the commit, the request stands and
is taken up again; after it, it is done. The freshness rules hold as ever, so a state that a newer one has
overtaken is not applied, and the operator is told ``superseded``.

A person may also discard a dead letter, with a reason: it waits for nobody any more. Who asked for what, when
and why is kept line by line (``dead_letter_acts``), whatever is decided later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from sqlalchemy import exists, insert, select, update

from shared.consuming.dead_letter_record import DeadLetter, read_dead_letter
from shared.consuming.handling import Outcome
from shared.errors import ConflictError, InvalidEventError
from shared.log.port import EventLog, TopicPartition
from shared.store.engine import Store
from shared.store.in_list import in_list
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = [
    "REQUESTS_PER_TURN_MAX",
    "UNDECIDED",
    "DeadLetterAct",
    "ReplayQueue",
    "ReplayRequest",
    "ReplayState",
    "settle_waited",
]

DETAIL_CHARACTERS_MAX = 1_000
REQUESTS_PER_TURN_MAX = 50
"""New records wait behind replays; this keeps the wait short."""


class ReplayState(StrEnum):
    """What became of a dead letter."""

    OPEN = "open"
    """Nobody has asked for it yet. Never stored."""
    REQUESTED = "requested"
    WAITING = "waiting"
    """Taken up, and set aside until data that it needs is here."""
    REPLAYED = "replayed"
    SUPERSEDED = "superseded"
    """A newer state of the same key was applied meanwhile, so there is nothing left to do."""
    FAILED = "failed"
    """The group failed on it again; it can be asked for again."""
    DISCARDED = "discarded"
    """A person decided that it is never to be handled; the reason is kept."""


UNDECIDED = frozenset({ReplayState.OPEN, ReplayState.FAILED})
"""Dead letters that wait for a person."""


@dataclass(frozen=True, slots=True)
class DeadLetterAct:
    """What a person did about a dead letter, when and why. Without a person it was a command on the spot."""

    act: Literal["replay", "discard"]
    person_id: UUID | None
    reason: str | None
    happened_at: datetime


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """One request, with the dead letter's place in its topic."""

    dead_letter_id: str
    place: TopicPartition
    offset: int


class ReplayQueue:
    """The replay requests of one service's groups."""

    def __init__(self, store: Store, log: EventLog) -> None:
        self._store = store
        self._log = log

    async def request(self, letters: Sequence[DeadLetter], *, by: UUID | None = None) -> None:
        """Ask for ``letters``, also for those that were replayed or discarded before."""
        async with self._store.unit_of_work() as unit_of_work:
            await self._decide(unit_of_work, letters, "replay", ReplayState.REQUESTED, None, by)

    async def discard(self, letters: Sequence[DeadLetter], *, reason: str, by: UUID | None = None) -> None:
        """Decide that ``letters`` are never handled. Raises ``ConflictError`` while a replay is under way."""
        table = self._store.tables.dead_letter_replays
        async with self._store.unit_of_work() as unit_of_work:
            connection = unit_of_work.connection
            ids = [letter.id for letter in letters]
            under_way = select(table.c.dead_letter_id).where(
                in_list(table.c.dead_letter_id, ids, connection.dialect.name),
                table.c.state.in_([ReplayState.REQUESTED, ReplayState.WAITING]),
            )
            found = (await connection.scalars(under_way.limit(1).with_for_update())).first()
            if found is not None:
                raise ConflictError(
                    f"A replay of the dead letter {found} is under way.",
                    fix="Wait for what becomes of it, then discard it.",
                    code="under_way",
                )
            await self._decide(unit_of_work, letters, "discard", ReplayState.DISCARDED, reason, by)

    async def acts(self, identity: str) -> list[DeadLetterAct]:
        """Return what people did about a dead letter, oldest first."""
        table = self._store.tables.dead_letter_acts
        statement = select(table).where(table.c.dead_letter_id == identity).order_by(table.c.act_id)
        async with self._store.read() as connection:
            return [
                DeadLetterAct(row.act, row.person_id, row.reason, row.happened_at)
                for row in await connection.execute(statement)
            ]

    async def _decide(
        self,
        unit_of_work: UnitOfWork,
        letters: Sequence[DeadLetter],
        act: Literal["replay", "discard"],
        state: ReplayState,
        reason: str | None,
        by: UUID | None,
    ) -> None:
        now = unit_of_work.clock.now()
        rows = [
            {
                "dead_letter_id": letter.id,
                "group_name": letter.group,
                "topic": letter.place.topic,
                "partition": letter.place.partition,
                "offset": letter.place_offset,
                "state": state,
                "detail": reason,
                "requested_at": now,
                "finished_at": now if state is ReplayState.DISCARDED else None,
            }
            for letter in letters
        ]
        acts = [
            {
                "dead_letter_id": letter.id,
                "act": act,
                "person_id": by,
                "reason": reason,
                "happened_at": now,
            }
            for letter in letters
        ]
        if letters:
            await upsert(unit_of_work.connection, unit_of_work.tables.dead_letter_replays, rows)
            await unit_of_work.connection.execute(insert(unit_of_work.tables.dead_letter_acts), acts)

    async def states(self, ids: Sequence[str]) -> dict[str, tuple[ReplayState, str | None]]:
        """Return state and detail of those dead letters that were asked for."""
        table = self._store.tables.dead_letter_replays
        async with self._store.read() as connection:
            statement = select(table.c.dead_letter_id, table.c.state, table.c.detail).where(
                in_list(table.c.dead_letter_id, list(ids), connection.dialect.name)
            )
            rows = await connection.execute(statement)
            return {identity: (ReplayState(state), detail) for identity, state, detail in rows}

    async def waiting(self, group: str) -> list[ReplayRequest]:
        """Return the next requests of a group, oldest first."""
        table = self._store.tables.dead_letter_replays
        statement = (
            select(table.c.dead_letter_id, table.c.topic, table.c.partition, table.c.offset)
            .where(table.c.group_name == group, table.c.state == ReplayState.REQUESTED)
            .order_by(table.c.requested_at, table.c.topic, table.c.partition, table.c.offset)
            .limit(REQUESTS_PER_TURN_MAX)
        )
        async with self._store.read() as connection:
            return [
                ReplayRequest(identity, TopicPartition(topic, partition), offset)
                for identity, topic, partition, offset in await connection.execute(statement)
            ]

    async def any_waiting(self, group: str) -> bool:
        """Tell whether a request of the group is not done yet."""
        table = self._store.tables.dead_letter_replays
        statement = select(
            exists().where(table.c.group_name == group, table.c.state == ReplayState.REQUESTED)
        )
        async with self._store.read() as connection:
            return bool((await connection.execute(statement)).scalar_one())

    async def letter(self, request: ReplayRequest) -> DeadLetter:
        """Return the requested dead letter. Raises ``InvalidEventError`` if it left the log meanwhile."""
        for record in await self._log.read(request.place, from_offset=request.offset, records_max=1):
            letter = read_dead_letter(record)
            if record.offset == request.offset and letter.id == request.dead_letter_id:
                return letter
        raise InvalidEventError("the dead letter is no longer in the log")

    async def settle(self, request: ReplayRequest, unit_of_work: UnitOfWork, outcome: Outcome) -> None:
        """Write down the result inside the handler's transaction."""
        await self._finish(request, unit_of_work, _state_after(outcome), f"outcome: {outcome}")

    async def fail(self, request: ReplayRequest, error: Exception) -> None:
        """Write down that the group failed on it again."""
        async with self._store.unit_of_work() as unit_of_work:
            detail = f"{type(error).__qualname__}: {error}"
            await self._finish(request, unit_of_work, ReplayState.FAILED, detail)

    async def _finish(
        self, request: ReplayRequest, unit_of_work: UnitOfWork, state: ReplayState, detail: str
    ) -> None:
        table = unit_of_work.tables.dead_letter_replays
        await unit_of_work.connection.execute(
            update(table)
            .where(table.c.dead_letter_id == request.dead_letter_id)
            .values(state=state, detail=detail[:DETAIL_CHARACTERS_MAX], finished_at=unit_of_work.clock.now())
        )


async def settle_waited(unit_of_work: UnitOfWork, ended: Mapping[str, Outcome]) -> None:
    """Write down what became of replayed records that had to wait; ``ended`` by the dead letter's id."""
    table = unit_of_work.tables.dead_letter_replays
    dialect = unit_of_work.connection.dialect.name
    for outcome in set(ended.values()):
        ids = [identity for identity, one in ended.items() if one is outcome]
        await unit_of_work.connection.execute(
            update(table)
            .where(in_list(table.c.dead_letter_id, ids, dialect), table.c.state == ReplayState.WAITING)
            .values(
                state=_state_after(outcome),
                detail=f"outcome: {outcome}",
                finished_at=unit_of_work.clock.now(),
            )
        )


def _state_after(outcome: Outcome) -> ReplayState:
    special = {
        Outcome.STALE: ReplayState.SUPERSEDED,
        Outcome.WAITING: ReplayState.WAITING,
        Outcome.DEAD_LETTERED: ReplayState.FAILED,
    }
    return special.get(outcome, ReplayState.REPLAYED)
