"""Faults of workers, groups and brokers, with exact counts: lost 0, repeats 0 in the consumer's tables."""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from shared.consuming.consumer_state import LoopState
from shared.errors import InvalidEventError, TransientError
from shared.events.envelope import Event
from shared.events.topics import TOPICS
from shared.log.kafka.event_log import KafkaEventLog
from tests.servers.fixtures import OwnServers
from tests.support.kafka_bench import (
    CLOCK,
    PARTITIONS,
    KafkaBench,
    emitting,
    expected_hits,
    kafka_settings,
    open_kafka_bench,
)
from tests.support.kafka_ledger_process import SLOW, SLOW_SECONDS
from tests.support.kafka_workers import ended, said, worker
from tests.support.ledger_process import is_poison
from tests.support.ledger_service import COUNTING, open_ledger
from tests.support.log_bench import until

# Outages and sessions take their time, and process starts much more of it on a busy machine.
pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(600)]


async def consumed(bench: KafkaBench) -> bool:
    await asyncio.sleep(0.3)  # each look costs the broker some connections
    return await bench.lag_records() == 0


async def assert_exact(bench: KafkaBench) -> None:
    """Every hit counted once, but for the poison, which is one dead letter each."""
    good = [name for number, name in enumerate(bench.emitted) if not is_poison(number)]
    assert await bench.counting.hits() == expected_hits(good)
    poison = {f"{number:08}" for number in range(len(bench.emitted)) if is_poison(number)}
    letters = await bench.dead_letters()
    assert {letter.source.key for letter in letters} == poison
    assert len({letter.id for letter in letters}) == len(poison)


async def test_ten_kills_of_a_worker_lose_nothing_and_repeat_nothing(tmp_path: Path, real_kafka: str) -> None:
    moments = random.Random(20260302)
    store = tmp_path / "counting.sqlite3"
    async with open_kafka_bench(tmp_path, kafka_settings(real_kafka)) as bench:
        async with emitting(bench):
            for _ in range(10):
                async with worker(bench, store, "one") as process:
                    await asyncio.sleep(moments.uniform(0.1, 0.8))
                    assert await ended(process, signal.SIGKILL) == -signal.SIGKILL
        assert len(bench.emitted) > 1_000
        async with worker(bench, store, "one") as process:
            await until(lambda: consumed(bench), seconds=90)
            assert await ended(process, signal.SIGTERM) == 0
        await assert_exact(bench)


async def test_two_workers_of_which_one_leaves_and_one_is_killed_lose_nothing_and_repeat_nothing(
    tmp_path: Path, real_kafka: str
) -> None:
    store = tmp_path / "counting.sqlite3"
    async with open_kafka_bench(tmp_path, kafka_settings(real_kafka)) as bench:
        async with worker(bench, store, "stays") as stays:
            async with emitting(bench):
                for number, end in enumerate((signal.SIGTERM, signal.SIGKILL)):
                    async with worker(bench, store, f"goes-{number}") as goes:
                        await asyncio.sleep(3)
                        await ended(goes, end)
            # Its place is kept for the length of the session; then the one that stays takes over.
            await until(lambda: consumed(bench), seconds=60)
            assert await ended(stays, signal.SIGTERM) == 0
        await assert_exact(bench)


async def test_a_batch_of_thirty_seconds_outlasts_a_rebalance_and_is_handled_once(
    tmp_path: Path, real_kafka: str
) -> None:
    async with open_kafka_bench(tmp_path, kafka_settings(real_kafka)) as bench:
        # Each worker has its own store, so that neither knows what the other has handled.
        stores = [tmp_path / "first.sqlite3", tmp_path / "second.sqlite3"]
        async with bench.emitting.store.unit_of_work() as unit_of_work:
            bench.emitting.emit_hit(unit_of_work, "slow hit", SLOW)
        await bench.relay.publish_all()
        async with worker(bench, stores[0], "first") as first:
            await said(first, SLOW)
            began = asyncio.get_running_loop().time()
            async with worker(bench, stores[1], "second") as second:
                # The second could join only once the first had handled and committed.
                assert asyncio.get_running_loop().time() - began > SLOW_SECONDS / 2
                await bench.emit(200)
                await bench.relay.publish_all()
                await until(lambda: consumed(bench), seconds=60)
                assert await ended(second, signal.SIGTERM) == 0
            assert await ended(first, signal.SIGTERM) == 0
        counted: dict[str, int] = {}
        for store in stores:
            async with open_ledger(store) as ledger:
                hits = await ledger.hits()
                assert hits.keys().isdisjoint(counted)
                counted |= hits
        good = [name for number, name in enumerate(bench.emitted) if not is_poison(number)]
        assert counted == expected_hits([*good, "slow hit"])


async def test_a_worker_whose_name_another_took_ends_and_says_so(tmp_path: Path, real_kafka: str) -> None:
    store = tmp_path / "counting.sqlite3"
    async with open_kafka_bench(tmp_path, kafka_settings(real_kafka)) as bench:
        async with worker(bench, store, "same") as first, worker(bench, store, "same") as second:
            line = await said(first, "ended", seconds=30)
            assert "ReplicaFencedError" in line
            assert "NUTMEG_KAFKA_REPLICA" in line
            assert await asyncio.wait_for(first.wait(), 10) == 1
            await bench.emit(100)
            await bench.relay.publish_all()
            await until(lambda: consumed(bench), seconds=30)
            assert await ended(second, signal.SIGTERM) == 0
        await assert_exact(bench)


async def test_kafka_stopped_for_45_seconds_then_killed_loses_nothing_and_repeats_nothing(
    tmp_path: Path, own_servers: OwnServers
) -> None:
    kafka = own_servers.kafka()
    async with open_kafka_bench(tmp_path, kafka_settings(kafka.address)) as bench:
        loop = bench.loop()
        async with bench.consuming(loop) as task:
            async with emitting(bench):
                await until(lambda: loop.status().handled_count > 200, unless=task)
                await asyncio.to_thread(kafka.stop)
                await asyncio.sleep(45)
                await asyncio.to_thread(kafka.start)
                handled = loop.status().handled_count
                await until(lambda: loop.status().handled_count > handled + 200, unless=task, seconds=60)
                await asyncio.to_thread(kafka.kill)
                await asyncio.to_thread(kafka.start)
                handled = loop.status().handled_count
                await until(lambda: loop.status().handled_count > handled + 200, unless=task, seconds=60)
            await until(loop.drained, unless=task, seconds=60)
        assert await bench.counting.hits() == expected_hits(bench.emitted)
        assert await bench.dead_letters() == []


def refuse(event: Event) -> None:
    raise InvalidEventError("refused")


async def test_a_worker_stops_loudly_until_its_dead_letter_can_be_written_and_passes_over_nothing(
    tmp_path: Path, real_kafka: str
) -> None:
    settings = kafka_settings(real_kafka).model_copy(update={"request_timeout_seconds": 4.0})
    async with open_kafka_bench(tmp_path, settings) as bench:
        hits = TOPICS["usage.hits"]

        async def unwritable(
            spoil: Callable[[], Awaitable[None]], mend: Callable[[], Awaitable[None]]
        ) -> None:
            bench.counting.ports.before = refuse
            await bench.emit(5)
            await bench.relay.publish_all()
            before = await bench.lag_records()
            await spoil()
            loop = bench.loop()
            async with bench.consuming(loop) as task:
                await until(lambda: loop.status().state is LoopState.STOPPED, unless=task, seconds=120)
                cause = loop.status().cause or ""
                assert "usage.hits.dlq" in cause
                assert "not passed over" in cause
                assert await bench.lag_records() == before
                await mend()
                loop.look_again()
                await until(loop.drained, unless=task, seconds=120)
                assert loop.status().cause is None

        async def make_too_small() -> None:
            await bench.configure("usage.hits.dlq", max_message_bytes="100")
            await until(lambda: differs(bench, "usage.hits.dlq: max.message.bytes is 100"))

        # Missing, then there but too small for the record: each time nothing is passed over.
        await unwritable(lambda: bench.delete("usage.hits.dlq"), lambda: bench.log.ensure_topics([hits]))
        await unwritable(
            make_too_small, lambda: bench.configure("usage.hits.dlq", max_message_bytes="2000000")
        )
        assert sorted(letter.source.key for letter in await bench.dead_letters()) == [
            f"{number:08}" for number in range(10)
        ]
        assert await bench.counting.hits() == {}


async def test_a_record_above_the_limit_of_the_broker_is_named_and_sent_once_the_limit_is_raised(
    tmp_path: Path, real_kafka: str
) -> None:
    async with open_kafka_bench(tmp_path, kafka_settings(real_kafka)) as bench:
        await bench.configure("usage.hits", max_message_bytes="100")
        await until(lambda: differs(bench, "max.message.bytes is 100"))
        async with bench.relaying() as relay:
            await bench.emit(50)
            await until(lambda: bench.relay.cause is not None, unless=relay)
            assert "max.message.bytes" in (bench.relay.cause or "")
            assert await bench.relay.depth() == 50
            await bench.configure("usage.hits", max_message_bytes="1000000")
            await until(bench.relay.drained, unless=relay)
        loop = bench.loop()
        async with bench.consuming(loop) as task:
            await until(loop.drained, unless=task)
        assert await bench.counting.hits() == expected_hits(bench.emitted)


async def test_a_cluster_that_was_made_anew_is_noticed_and_the_last_day_is_sent_again(
    tmp_path: Path, real_kafka: str
) -> None:
    async with open_kafka_bench(tmp_path, kafka_settings(real_kafka)) as bench:
        await bench.emit(40)
        await bench.relay.publish_all()
        assert await bench.relay.check_history() == 0
        await bench.delete("usage.hits")
        await until(lambda: differs(bench, "usage.hits is missing"))
        anew = KafkaEventLog(bench.settings, clock=CLOCK, partitions=PARTITIONS)
        await anew.ensure_topics([TOPICS[name] for name in COUNTING.topics])
        await anew.close()
        assert await bench.relay.check_history() == 40
        await bench.relay.publish_all()
        loop = bench.loop()
        async with bench.consuming(loop) as task:
            await until(loop.drained, unless=task)
        assert await bench.counting.hits() == expected_hits(bench.emitted)


async def test_a_producer_that_lost_its_sequence_is_replaced_and_the_same_rows_are_sent_again(
    tmp_path: Path, real_kafka: str
) -> None:
    async with open_kafka_bench(tmp_path, kafka_settings(real_kafka)) as bench:
        await bench.emit(40)
        await bench.relay.publish_all()
        sending = bench.log._publisher._sending
        assert sending is not None
        numbers = sending.producer._txn_manager._sequence_numbers
        for place in numbers:
            numbers[place] += 7  # as after an outage in which the broker lost what it had of this producer
        await bench.emit(40)
        with pytest.raises(TransientError, match="OutOfOrderSequenceNumber"):
            await bench.relay.publish_all()
        assert await bench.relay.publish_all() == 40
        loop = bench.loop()
        async with bench.consuming(loop) as task:
            await until(loop.drained, unless=task)
        assert await bench.counting.hits() == expected_hits(bench.emitted)


async def test_a_consumer_whose_client_gave_up_its_group_joins_again(tmp_path: Path, real_kafka: str) -> None:
    async with open_kafka_bench(tmp_path, kafka_settings(real_kafka)) as bench:
        consumer = await bench.log.consumer(COUNTING.name, COUNTING.topics)
        member = consumer._member
        assert member is not None
        assert member._coordination is not None
        member._coordination.cancel()
        await asyncio.wait({member._coordination})
        await bench.emit(10)
        await bench.relay.publish_all()
        keys: set[str] = set()
        while len(keys) < 10:
            keys |= {record.key for record in await consumer.poll(timeout_seconds=5)}
        assert consumer._member is not member
        assert await consumer.lag() != {}


async def differs(bench: KafkaBench, words: str) -> bool:
    return any(words in difference for difference in await bench.log.drift([TOPICS["usage.hits"]]))
