"""Three brokers of which the leader is killed under load: what two of them took, nothing takes away."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from shared.log.kafka.client import client_options
from tests.servers.fixtures import OwnServers
from tests.support.kafka_bench import KafkaBench, emitting, expected_hits, kafka_settings, open_kafka_bench
from tests.support.log_bench import until

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(600)]

TOPIC = "usage.hits"
BROKERS = 3
HANDLED_BETWEEN = 200


async def leader_of_most(bench: KafkaBench) -> int:
    """Which broker, from 1, leads most partitions of the hits."""
    admin = AIOKafkaAdminClient(**client_options(bench.settings))
    await admin.start()
    try:
        (topic,) = await admin.describe_topics([bench.settings.prefixed(TOPIC)])
    finally:
        await admin.close()
    assert all(len(each["replicas"]) == BROKERS for each in topic["partitions"])
    ((leader, _),) = Counter(each["leader"] for each in topic["partitions"]).most_common(1)
    return int(leader)


async def test_the_leader_killed_under_load_costs_nothing_and_repeats_nothing(
    tmp_path: Path, own_servers: OwnServers
) -> None:
    kafka = await asyncio.to_thread(own_servers.kafka, brokers=BROKERS)
    settings = kafka_settings(kafka.address).model_copy(update={"replication_factor": BROKERS})
    async with open_kafka_bench(tmp_path, settings) as bench:
        loop = bench.loop()
        async with bench.consuming(loop) as task:
            async with emitting(bench):
                await until(lambda: loop.status().handled_count > HANDLED_BETWEEN, unless=task, seconds=60)
                leader = await leader_of_most(bench)
                await asyncio.to_thread(kafka.brokers[leader - 1].kill)
                handled = loop.status().handled_count
                # Two of three are enough to write, and to have a new leader.
                await until(
                    lambda: loop.status().handled_count > handled + HANDLED_BETWEEN, unless=task, seconds=90
                )
                await asyncio.to_thread(kafka.start)
            await until(loop.drained, unless=task, seconds=90)
        assert await bench.counting.hits() == expected_hits(bench.emitted)
        assert await bench.dead_letters() == []
