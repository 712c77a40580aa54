"""Dead letters that a person discards: over every log and every database."""

from datetime import timedelta
from uuid import uuid4

import pytest

from shared.clock import SimulatedClock
from shared.consuming.dead_letter_record import Failure, dead_letter_record
from shared.consuming.dead_letters import DeadLetters
from shared.consuming.replays import ReplayState
from shared.errors import ConflictError, InvalidEventError, InvalidInputError, NotFoundError
from shared.events.topics import TOPICS
from shared.log.port import OutgoingRecord, TopicPartition
from tests.conformance.event_log_fixtures import LogFactory, clock, open_log
from tests.support.databases import Databases
from tests.support.ledger_service import COUNTING, open_ledger

__all__ = ["clock", "open_log"]

HITS = TOPICS["usage.hits"]


async def test_a_letter_is_discarded_for_a_reason_that_outlives_what_is_decided_later(
    open_log: LogFactory, databases: Databases, clock: SimulatedClock
) -> None:
    log = await open_log()
    await log.ensure_topics([HITS])
    for key in ("a", "b"):
        (at,) = await log.publish([OutgoingRecord(HITS.name, key, key, [], b"rubbish")])
        (record,) = await log.read(
            TopicPartition(HITS.name, at.partition), from_offset=at.offset, records_max=1
        )
        failure = Failure("invalid", InvalidEventError("no event"), 1, clock.now(), clock.now())
        await log.publish([dead_letter_record(record, COUNTING.name, failure)])
    try:
        async with open_ledger(await databases.url("ledger"), clock) as ledger:
            letters = DeadLetters(log=log, stores={"ledger": ledger.store})
            first, second = [view.letter.id for view in (await letters.list()).items]
            person = uuid4()
            with pytest.raises(InvalidInputError):
                await letters.discard([first], reason=" ")
            with pytest.raises(NotFoundError):
                await letters.discard([first, str(uuid4())], reason="Rubbish.")
            assert await letters.undecided() == {(HITS.name, COUNTING.name): 2}

            await letters.discard([first], reason="Rubbish.", by=person)
            assert await letters.undecided() == {(HITS.name, COUNTING.name): 1}
            assert (await letters.list(state=ReplayState.DISCARDED)).total == 1
            clock.advance(timedelta(minutes=1))
            assert await letters.replay() == [second], "what was discarded waits for nobody"
            assert await letters.replay([first]) == [first], "and can be replayed all the same"
            with pytest.raises(ConflictError):
                await letters.discard([first], reason="Again.")
            history = await letters.history(await letters.show(first))
            assert [(one.act, one.person_id, one.reason) for one in history] == [
                ("discard", person, "Rubbish."),
                ("replay", None, None),
            ]
            assert history[0].happened_at < history[1].happened_at
    finally:
        await log.close()
