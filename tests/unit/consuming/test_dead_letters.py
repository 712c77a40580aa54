"""Listing, looking at and replaying dead letters."""

from typing import cast
from uuid import uuid4

import pytest

from shared.clock import SimulatedClock
from shared.consuming.dead_letter_record import read_dead_letter
from shared.consuming.replays import DeadLetterAct, ReplayState
from shared.errors import ConflictError, InvalidEventError, InvalidInputError, NotFoundError, TransientError
from shared.events.envelope import Event
from shared.log.port import EventLog, LogRecord, OutgoingRecord, TopicPartition
from tests.support.ledger_service import COUNTING, dataset_id
from tests.support.log_bench import Bench, until


class Refusal:
    """Raises for every event while ``is_on``."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.is_on = True

    def __call__(self, event: Event) -> None:
        if self.is_on:
            raise self.error


async def with_dead_hits(bench: Bench, *names: str) -> list[str]:
    """Let hits die; return the ids of their dead letters, in order."""
    bench.ledger.ports.before = Refusal(InvalidEventError("not today"))
    await bench.ledger.emit_hits(names)
    await bench.consume()
    bench.ledger.ports.before = lambda _event: None
    return [letter.id for letter in await bench.dead_letters()]


async def state_of(bench: Bench, identity: str) -> ReplayState:
    return (await bench.operator().show(identity)).state


async def test_dead_letters_are_listed_latest_first_with_their_state(bench: Bench) -> None:
    ids = await with_dead_hits(bench, "a", "b")
    page = await bench.operator().list()
    assert {view.letter.id for view in page.items} == set(ids)
    assert {view.state for view in page.items} == {ReplayState.OPEN}
    assert [view.letter.last_at for view in page.items] == sorted(
        (view.letter.last_at for view in page.items), reverse=True
    )
    assert (page.total, page.next_cursor) == (2, None)


async def test_pages_follow_one_another_without_gap_or_overlap(bench: Bench) -> None:
    ids = await with_dead_hits(bench, *"abcde")
    operator = bench.operator()
    seen: list[str] = []
    cursor: str | None = None
    for size in (2, 2, 1):
        page = await operator.list(limit=2, cursor=cursor)
        assert len(page.items) == size
        seen += [view.letter.id for view in page.items]
        cursor = page.next_cursor
    assert cursor is None
    assert sorted(seen) == sorted(ids)


async def test_lists_are_filtered_by_topic_group_and_state(bench: Bench) -> None:
    await with_dead_hits(bench, "a")
    operator = bench.operator()
    assert (await operator.list(topic="usage.hits", group=COUNTING.name)).total == 1
    assert (await operator.list(topic="usage.rollups")).total == 0
    assert (await operator.list(group="notify.routing")).total == 0
    assert (await operator.list(state=ReplayState.REPLAYED)).total == 0


async def test_what_does_not_exist_is_a_key_error_that_says_what_does(bench: Bench) -> None:
    operator = bench.operator()
    with pytest.raises(NotFoundError, match="Use one of: catalog"):
        await operator.list(topic="no.such")
    with pytest.raises(NotFoundError, match="No dead letter has the id"):
        await operator.show("no-such-id")
    with pytest.raises(NotFoundError, match="No dead letter has the id"):
        await operator.replay(["no-such-id"])


async def test_a_replay_is_applied_once_and_told_as_replayed(bench: Bench) -> None:
    (identity,) = await with_dead_hits(bench, "a")
    assert await bench.operator().replay([identity]) == [identity]
    assert await state_of(bench, identity) is ReplayState.REQUESTED
    await bench.consume()
    assert await state_of(bench, identity) is ReplayState.REPLAYED
    assert await bench.ledger.hits_total() == 1


async def test_replaying_twice_counts_once(bench: Bench) -> None:
    (identity,) = await with_dead_hits(bench, "a")
    for _ in range(2):
        await bench.operator().replay([identity])
        await bench.consume()
    assert await bench.ledger.hits_total() == 1


async def test_a_replay_publishes_nothing_so_that_no_other_group_sees_it(bench: Bench) -> None:
    (identity,) = await with_dead_hits(bench, "a")
    ends = {topic: await bench.real_log.end_offsets(topic) for topic in ("usage.hits", "usage.hits.dlq")}
    await bench.operator().replay([identity])
    await bench.consume()
    assert ends == {topic: await bench.real_log.end_offsets(topic) for topic in ends}


async def test_a_state_that_a_newer_one_has_overtaken_is_told_as_superseded(bench: Bench) -> None:
    bench.ledger.ports.before = Refusal(InvalidEventError("not today"))
    await bench.ledger.emit_state("s", 1, 10)
    await bench.consume()
    bench.ledger.ports.before = lambda _event: None
    await bench.ledger.emit_state("s", 2, 20)
    await bench.consume()
    (letter,) = await bench.dead_letters("usage.rollups")
    await bench.operator().replay([letter.id])
    await bench.consume()
    assert await state_of(bench, letter.id) is ReplayState.SUPERSEDED
    assert await bench.ledger.states() == {"s": (2, 20)}


async def test_a_replay_that_fails_again_is_told_and_can_be_asked_for_again(bench: Bench) -> None:
    (identity,) = await with_dead_hits(bench, "a")
    bench.ledger.ports.before = Refusal(ValueError("still broken"))
    await bench.operator().replay([identity])
    await bench.consume()
    view = await bench.operator().show(identity)
    assert (view.state, view.detail) == (ReplayState.FAILED, "ValueError: still broken")
    assert len(await bench.dead_letters()) == 1
    bench.ledger.ports.before = lambda _event: None
    assert await bench.operator().replay(topic="usage.hits") == [identity]
    await bench.consume()
    assert await state_of(bench, identity) is ReplayState.REPLAYED
    assert await bench.ledger.hits_total() == 1


async def test_all_open_letters_of_a_group_are_replayed_in_their_order(bench: Bench) -> None:
    ids = await with_dead_hits(bench, *"abc")
    await bench.operator().replay(ids[:1])
    await bench.consume()
    assert set(await bench.operator().replay(group=COUNTING.name)) == set(ids[1:])
    await bench.consume()
    assert await bench.ledger.hits() == {str(dataset_id(name)): 1 for name in "abc"}


async def test_a_replay_survives_the_end_of_the_process_before_its_commit(bench: Bench) -> None:
    (identity,) = await with_dead_hits(bench, "a")
    hook = Refusal(TransientError("killed before the commit"))
    bench.ledger.ports.before = hook
    await bench.operator().replay([identity])
    loop = bench.loop()
    async with bench.running(loop) as task:
        await until(lambda: len(bench.ledger.ports.batches) >= 3, unless=task)
    assert await state_of(bench, identity) is ReplayState.REQUESTED
    assert await bench.ledger.hits_total() == 0
    hook.is_on = False
    await bench.consume()
    assert await state_of(bench, identity) is ReplayState.REPLAYED
    assert await bench.ledger.hits_total() == 1


async def test_a_running_loop_takes_up_a_request_while_it_is_idle(bench: Bench) -> None:
    (identity,) = await with_dead_hits(bench, "a")
    loop = bench.loop()
    async with bench.running(loop) as task:
        await until(loop.drained, unless=task)
        await bench.operator().replay([identity])
        assert not await loop.drained()
        await until(loop.drained, unless=task)
    assert await state_of(bench, identity) is ReplayState.REPLAYED


async def test_a_letter_written_twice_is_shown_once(bench: Bench) -> None:
    (identity,) = await with_dead_hits(bench, "a")
    (record,) = await bench.records("usage.hits.dlq")
    await bench.publish(OutgoingRecord(record.topic, record.key, "00", record.headers, record.value))
    assert [view.letter.id for view in (await bench.operator().list()).items] == [identity]


async def test_what_is_no_dead_letter_in_a_dead_letter_topic_is_passed_over(bench: Bench) -> None:
    (identity,) = await with_dead_hits(bench, "a")
    await bench.publish(OutgoingRecord("usage.hits.dlq", "x", "x", [], b"stray"))
    assert [view.letter.id for view in (await bench.operator().list()).items] == [identity]


def test_a_stray_record_is_no_dead_letter(clock: SimulatedClock) -> None:
    now = clock.now()
    with pytest.raises(InvalidEventError, match=r"usage\.hits\.dlq/0@7 is no dead letter"):
        read_dead_letter(LogRecord("usage.hits.dlq", 0, 7, "k", [], b"", now))


async def test_a_discarded_letter_waits_for_nobody_and_says_who_decided_so_when_and_why(
    bench: Bench, clock: SimulatedClock
) -> None:
    kept, discarded = await with_dead_hits(bench, "a", "b")
    operator, person = bench.operator(), uuid4()
    assert await operator.undecided() == {("usage.hits", COUNTING.name): 2}
    before = clock.now()
    assert await operator.discard([discarded], reason="  A test hit.  ", by=person) == [discarded]
    view = await operator.show(discarded)
    assert (view.state, view.detail) == (ReplayState.DISCARDED, "A test hit.")
    (act,) = await operator.history(view)
    assert act == DeadLetterAct("discard", person, "A test hit.", act.happened_at)
    assert before <= act.happened_at <= clock.now()
    assert await operator.undecided() == {("usage.hits", COUNTING.name): 1}
    assert await operator.replay(group=COUNTING.name) == [kept]
    await bench.consume()
    assert await bench.ledger.hits_total() == 1
    assert await operator.undecided() == {("usage.hits", COUNTING.name): 0}


async def test_a_discarded_letter_can_be_replayed_and_both_decisions_stay(bench: Bench) -> None:
    (identity,) = await with_dead_hits(bench, "a")
    operator = bench.operator()
    await operator.discard([identity], reason="A mistake.")
    await operator.replay([identity])
    with pytest.raises(ConflictError, match="under way"):
        await operator.discard([identity], reason="Not that fast.")
    await bench.consume()
    view = await operator.show(identity)
    assert view.state is ReplayState.REPLAYED
    assert [(one.act, one.reason) for one in await operator.history(view)] == [
        ("discard", "A mistake."),
        ("replay", None),
    ]


async def test_nothing_is_discarded_without_a_reason_or_a_choice(bench: Bench) -> None:
    (identity,) = await with_dead_hits(bench, "a")
    operator = bench.operator()
    with pytest.raises(InvalidInputError, match="for a reason"):
        await operator.discard([identity], reason="   ")
    with pytest.raises(InvalidInputError, match="Nothing was chosen"):
        await operator.discard(reason="All of it.")
    with pytest.raises(NotFoundError):
        await operator.discard([identity, "no-such-id"], reason="Why not.")
    assert await state_of(bench, identity) is ReplayState.OPEN


async def test_a_letter_that_left_the_log_is_counted_no_more(bench: Bench) -> None:
    await with_dead_hits(bench, "a")
    operator = bench.operator()
    assert await operator.undecided() == {("usage.hits", COUNTING.name): 1}
    operator._log = cast("EventLog", NoLetters())
    assert await operator.undecided() == {("usage.hits", COUNTING.name): 0}


class NoLetters:
    """A log whose dead letters are past their retention."""

    async def end_offsets(self, topic: str) -> dict[TopicPartition, int]:
        return {}
