"""Usage's stream processor tells what the embedded evaluation tells, whatever becomes of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.databases import Databases
from tests.support.stream_bench import GROUP, StreamBench, Uses, alerts_by_embedded, steady, stream_bench

pytestmark = pytest.mark.cluster
TODAY = 0
STEADY = ("bridges", "tunnels", "harbours", *(f"lake {number}" for number in range(12)))
HISTORY = {
    "roads": {**steady(4), TODAY: 60},
    "ferries": {**steady(3), 1: 70},
    "schools": steady(5, days=range(5, 41)),
    "forests": steady(6, days=range(20, 61)),
    "bridges": {**steady(4), TODAY: 3},
    "tunnels": {**steady(3), TODAY: 2},
    "harbours": {**steady(5), TODAY: 2},
    "parks": steady(9, days=range(5)),
    **{name: steady(1) for name in STEADY[3:]},
}


@pytest.fixture
async def bench(tmp_path: Path, real_kafka: str, postgres_databases: Databases) -> AsyncIterator[StreamBench]:
    url = await postgres_databases.url("usage")
    async with stream_bench(tmp_path, kafka=real_kafka, database_url=url) as started:
        yield started


async def test_same_input_same_alerts_and_a_second_process_under_the_name_ends_at_once(
    bench: StreamBench, tmp_path: Path
) -> None:
    expected = await alerts_by_embedded(tmp_path / "embedded", HISTORY)
    assert sorted((one["dataset_title"], one["kind"], one["severity"]) for one in expected.values()) == [
        ("Ferries", "use-spiked", "info"),
        ("Forests", "use-silent", "error"),
        ("Roads", "use-spiked", "info"),
        ("Schools", "use-silent", "warning"),
    ]
    await bench.feed(HISTORY)
    number = await bench.start()
    twin = bench.spawn()
    await bench.alerts_are(expected)
    assert await bench.ended(twin) == 1
    assert "stream-0 is already the name of another process in group" in bench.words()
    assert await bench.opened() == sorted(str(alert_id) for alert_id in expected)
    # The first was not thrown out of its group for a moment: it would have begun with a recovery again.
    assert bench.words().count("the table is built from the beginning") == 1
    assert await bench.stop(number) == 0


async def test_killed_taken_over_and_rebuilt_it_tells_the_same_once(
    bench: StreamBench, tmp_path: Path
) -> None:
    expected = await alerts_by_embedded(tmp_path / "embedded", HISTORY)
    await bench.feed(HISTORY)
    first = await bench.start()
    second = await bench.start(replica="stream-1")
    await bench.alerts_are(expected)

    # One of two is killed while rollups come; the other takes its partitions and rows over.
    more: list[Uses] = [{**{name: {TODAY: 1} for name in STEADY}, "bridges": {TODAY: 50}}]
    feeding = asyncio.create_task(bench.feed(more[0]))
    await asyncio.sleep(1)
    bench.kill(first)
    await feeding
    await bench.alerts_are(await alerts_by_embedded(tmp_path / "killed", HISTORY, *more))

    # None is left, and of the table nothing but its changelog.
    bench.kill(second)
    more.append({"tunnels": {TODAY: 40}})
    await bench.feed(more[-1])
    third = await bench.start()
    await bench.alerts_are(await alerts_by_embedded(tmp_path / "restored", HISTORY, *more))

    # The changelog is gone too: all is read again.
    assert await bench.stop(third) == 0
    await bench.lose_the_changelog()
    more.append({"harbours": {TODAY: 45}, "schools": {TODAY: 2}})
    await bench.feed(more[-1])
    await bench.start()
    expected = await alerts_by_embedded(tmp_path / "rebuilt", HISTORY, *more)
    await bench.alerts_are(expected)
    assert "Schools" not in {one["dataset_title"] for one in expected.values()}
    opened = await bench.opened()
    assert len(opened) == len(set(opened)) == 7


async def test_a_raising_function_and_records_that_are_none_change_nothing(
    bench: StreamBench, tmp_path: Path
) -> None:
    expected = await alerts_by_embedded(tmp_path / "embedded", HISTORY)
    await bench.poison(3)
    await bench.feed(HISTORY)
    number = await bench.start(module="tests.support.failing_stream")
    await bench.alerts_are(expected)
    letters = await bench.dead_letters()
    assert [(one.group, one.reason) for one in letters] == [(GROUP.name, "invalid")] * 3
    assert await bench.opened() == sorted(str(alert_id) for alert_id in expected)
    assert "could not be judged" in bench.words()
    assert await bench.stop(number) == 0
