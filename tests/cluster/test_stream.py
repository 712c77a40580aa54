"""Usage's stream processor tells what the embedded evaluation tells, whatever becomes of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.databases import Databases
from tests.support.stream_bench import StreamBench, alerts_by_embedded, steady, stream_bench

pytestmark = pytest.mark.cluster
TODAY = 0
HISTORY = {
    "roads": {**steady(4), TODAY: 60},
    "ferries": {**steady(3), 1: 70},
    "schools": steady(5, days=range(5, 41)),
    "forests": steady(6, days=range(20, 61)),
    "bridges": {**steady(4), TODAY: 3},
    "tunnels": {**steady(3), TODAY: 2},
    "harbours": {**steady(5), TODAY: 2},
    "parks": steady(9, days=range(5)),
}
SPIKING = {"bridges": {TODAY: 50}}


@pytest.fixture
async def bench(tmp_path: Path, real_kafka: str, postgres_databases: Databases) -> AsyncIterator[StreamBench]:
    url = await postgres_databases.url("usage")
    async with stream_bench(tmp_path, kafka=real_kafka, database_url=url) as started:
        yield started


async def test_same_input_same_alerts(bench: StreamBench, tmp_path: Path) -> None:
    expected = await alerts_by_embedded(tmp_path / "embedded", HISTORY)
    assert sorted((one["dataset_title"], one["kind"], one["severity"]) for one in expected.values()) == [
        ("Ferries", "use-spiked", "info"),
        ("Forests", "use-silent", "error"),
        ("Roads", "use-spiked", "info"),
        ("Schools", "use-silent", "warning"),
    ]
    await bench.feed(HISTORY)
    number = await bench.start()
    await bench.alerts_are(expected)
    assert await bench.opened() == sorted(str(alert_id) for alert_id in expected)
    assert await bench.stop(number) == 0
