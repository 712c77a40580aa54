"""A worker of a cluster that cannot put a dead letter anywhere: it stops and says so, and loses nothing."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid5

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from shared.clock import SystemClock
from shared.events.envelope import encode, new_event
from shared.events.registry import HIT_RECORDED
from shared.events.usage import Hit, HitRecorded
from shared.log.kafka.event_log import KafkaEventLog
from shared.log.kafka.settings import KafkaSettings
from shared.log.port import OutgoingRecord
from tests.support.cluster import Cluster, run_cluster
from tests.support.cluster_facts import dead_letters, lag_of, rows_of
from tests.support.journeys import eventually

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
]

TOPIC = HIT_RECORDED.topic.name
GROUP = "usage.counting"
BUCKET = "00"
DATASET = UUID("5f0c1d9a-93b2-4f3e-8a55-0d6a4c7e2b10")


@pytest.fixture
def cluster(
    tmp_path_factory: pytest.TempPathFactory, real_kafka: str, real_postgres: str, real_elasticsearch: str
) -> Iterator[Cluster]:
    """The service that counts, alone."""
    with run_cluster(
        tmp_path_factory.mktemp("dead-letters"),
        kafka=real_kafka,
        postgres=real_postgres,
        elasticsearch=real_elasticsearch,
        services=["usage"],
        NUTMEG_KAFKA_REQUEST_TIMEOUT_SECONDS="4",
    ) as cluster:
        yield cluster


def settings_of(cluster: Cluster) -> KafkaSettings:
    return KafkaSettings(
        bootstrap_servers=cluster.environment["NUTMEG_KAFKA_BOOTSTRAP_SERVERS"],
        prefix=cluster.environment["NUTMEG_KAFKA_PREFIX"],
        replica="test",
    )


def hit(name: str) -> OutgoingRecord:
    """A hit of a visitor of its own; all hits are in one partition."""
    recorded = Hit(
        hit_id=uuid5(DATASET, name),
        dataset_id=DATASET,
        kind="view",
        visitor_hash=uuid5(DATASET, f"visitor {name}").hex * 2,
        visitor_bucket=BUCKET,
        occurred_at=datetime.now(UTC),
    )
    event = new_event(HIT_RECORDED, HitRecorded(hit=recorded), subject=BUCKET, time=datetime.now(UTC))
    headers, value = encode(event)
    return OutgoingRecord(TOPIC, event.subject, BUCKET, headers, value)


def publish(cluster: Cluster, *records: OutgoingRecord) -> None:
    async def send() -> None:
        log = KafkaEventLog(settings_of(cluster), clock=SystemClock())
        try:
            await log.publish(records)
        finally:
            await log.close()

    asyncio.run(send())


def delete_dead_letter_topic(cluster: Cluster) -> None:
    async def delete() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=settings_of(cluster).bootstrap_servers)
        await admin.start()
        try:
            await admin.delete_topics([settings_of(cluster).prefixed(f"{TOPIC}.dlq")])
        finally:
            await admin.close()

    asyncio.run(delete())


def views(cluster: Cluster) -> int:
    statement = "SELECT COALESCE(SUM(views), 0) FROM rollups WHERE granularity = 'day'"
    ((counted,),) = rows_of(cluster, "usage", statement)
    return int(counted)


def answer_of_worker(cluster: Cluster, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{cluster.processes['usage-worker'].port}{path}", timeout=30)


def test_a_worker_without_a_dead_letter_topic_stops_loudly_and_goes_on_once_it_is_created(
    cluster: Cluster,
) -> None:
    publish(cluster, *(hit(f"before {number}") for number in range(3)))
    eventually(lambda: views(cluster) == 3, "the first hits to be counted")
    delete_dead_letter_topic(cluster)
    poison = OutgoingRecord(TOPIC, BUCKET, BUCKET, [], b"no event at all")
    publish(cluster, poison, *(hit(f"behind {number}") for number in range(3)))

    eventually(lambda: answer_of_worker(cluster, "/readyz").status_code == 503, "the worker to say so")
    eventually(lambda: "not passed over" in answer_of_worker(cluster, "/readyz").text, "the worker to stop")
    (cause,) = answer_of_worker(cluster, "/readyz").json()["causes"]
    assert GROUP in cause
    assert f"{TOPIC}.dlq" in cause
    assert f'nutmeg_consumer_running{{group="{GROUP}"}} 0.0' in answer_of_worker(cluster, "/metrics").text
    assert '"level": "critical"' in cluster.log("usage-worker")
    # What came behind in the same batch may be counted already; it comes again, and is known then.
    assert lag_of(cluster)[GROUP] == 4

    created = cluster.run("topics", "create")
    assert created.returncode == 0, created.stderr
    # It looks by itself: nobody has to start it again.
    eventually(lambda: answer_of_worker(cluster, "/readyz").status_code == 200, "the worker to go on")
    eventually(lambda: GROUP not in lag_of(cluster), "the group to have no lag")
    assert views(cluster) == 6
    assert dead_letters(cluster) == {TOPIC: 1}
    assert f'nutmeg_consumer_running{{group="{GROUP}"}} 1.0' in answer_of_worker(cluster, "/metrics").text
