"""What is told of a group's lag is what this process has measured itself, not long ago."""

from collections.abc import Mapping

import pytest

from shared.clock import SystemClock
from shared.consuming.lag_reporting import LAG_KEPT_SECONDS, LagReporter
from shared.errors import TransientError
from shared.log.port import Lag, TopicPartition
from tests.support.log_bench import Bench, RecordingMetrics, until

FIRST, SECOND = TopicPartition("usage.hits", 0), TopicPartition("usage.hits", 1)


class ToldLags(RecordingMetrics):
    """Remembers what is told of each partition, as a scrape would."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: dict[TopicPartition, int] = {}
        self.told_of: set[TopicPartition] = set()

    def lag(self, topic: str, partition: int, group: str, records: int, seconds: float) -> None:
        self.shown[TopicPartition(topic, partition)] = records
        self.told_of.add(TopicPartition(topic, partition))

    def lag_ended(self, topic: str, partition: int, group: str) -> None:
        del self.shown[TopicPartition(topic, partition)]


class HandClock(SystemClock):
    """Durations pass by hand."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def monotonic_seconds(self) -> float:
        return self.seconds


class Measured:
    """What the log says next: lags, or that it is away."""

    def __init__(self) -> None:
        self.lags: dict[TopicPartition, Lag] | None = {FIRST: Lag(7, 1.5), SECOND: Lag(0, 0.0)}

    async def __call__(self) -> Mapping[TopicPartition, Lag]:
        if self.lags is None:
            raise TransientError("the log is away")
        return self.lags


async def test_a_partition_that_is_no_longer_ours_is_told_no_more() -> None:
    told, measured = ToldLags(), Measured()
    reporter = LagReporter("one.group", measured, metrics=told, clock=HandClock())
    await reporter.report()
    assert told.shown == {FIRST: 7, SECOND: 0}
    measured.lags = {SECOND: Lag(1, 0.5)}
    await reporter.report()
    assert told.shown == {SECOND: 1}
    measured.lags = {}
    await reporter.report()
    assert told.shown == {}
    measured.lags = {FIRST: Lag(2, 0.5)}
    await reporter.report()
    assert told.shown == {FIRST: 2}


async def test_a_lag_is_told_on_for_a_while_without_the_log_and_then_taken_back() -> None:
    clock, told, measured = HandClock(), ToldLags(), Measured()
    reporter = LagReporter("one.group", measured, metrics=told, clock=clock)
    await reporter.report()
    measured.lags = None
    for seconds, shown in ((LAG_KEPT_SECONDS, {FIRST: 7, SECOND: 0}), (1.0, {})):
        clock.seconds += seconds
        with pytest.raises(TransientError, match="away"):
            await reporter.report()
        assert told.shown == shown


async def test_a_loop_that_has_ended_tells_no_lag(bench: Bench) -> None:
    told = ToldLags()
    bench.metrics = told
    await bench.ledger.emit_hits(["a"] * 3)
    await bench.relay.publish_all()
    loop = bench.loop()
    async with bench.running(loop) as task:
        await until(lambda: bool(told.shown), unless=task)
    assert told.told_of
    assert told.shown == {}
