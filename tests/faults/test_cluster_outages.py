"""A whole cluster through every outage once, while it takes in 20,000 datasets: nothing is lost or repeated.

Ten processes over Kafka, PostgreSQL and Elasticsearch harvest a made-up feed with hits flowing in, files
losing their rows and people asking for data. Meanwhile each worker is killed, Kafka is stopped and killed,
Elasticsearch is stopped and refuses to write, PostgreSQL goes down in the midst of transactions, and the mail
server takes no mail. Everything goes on by itself; what came of it is counted here beside the product.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from shared.events.catalog import DatasetRegistered
from shared.events.registry import (
    DATASET_REGISTERED,
    DELIVERY_SENT,
    QUALITY_ALERT_OPENED,
    SHARING_REQUEST_SUBMITTED,
)
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.fixtures import OwnServers
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres
from tests.support.cluster import SERVICES, Cluster, run_cluster
from tests.support.cluster_facts import dead_letters, events_of, lag_of, rows_of, unpublished
from tests.support.file_server import FileServer, run_file_server
from tests.support.installation_facts import once_each
from tests.support.journeys import answer_of, eventually
from tests.support.made_up_feed import made_up_records, write_made_up_feed
from tests.support.mail_server import MailServer, run_mail_server
from tests.support.traffic import Traffic, agencies, small_feed, stewardships

pytestmark = [
    pytest.mark.faults,
    pytest.mark.cluster,
    pytest.mark.timeout(1_500),
]

DATASETS = 20_000
PAIRS = 14
STEWARDS = 4
AGENCIES = 30
TOTAL = DATASETS + 2 * PAIRS
RECORDS_BETWEEN = 1_500
"""How much of the feed is taken in between two outages, at least; it goes on while most of them last."""

NICENESS = 5
SETTLED_SECONDS_MAX = 600.0


@dataclass
class Scene:
    """The cluster, what it stands on, and who keeps it busy."""

    cluster: Cluster
    kafka: Kafka
    postgres: Postgres
    elasticsearch: Elasticsearch
    mail: MailServer
    portal: FileServer
    feed: Path
    traffic: Traffic
    outages: list[tuple[str, int]]
    """Each outage, and how many records of the feed were taken in when it began."""


def agencies_of_the_feed() -> list[str]:
    """The agencies with the most datasets: the directory knows these, and not the others."""
    names = Counter(record["publisher"]["name"] for record in made_up_records(DATASETS))
    return [name for name, _ in names.most_common(AGENCIES)]


def import_directory(admin: httpx.Client) -> None:
    others = [f"A{number},{name}" for number, name in enumerate(agencies_of_the_feed())]
    for kind, text in (
        ("agencies", agencies(*others)),
        ("stewardships", stewardships(PAIRS, STEWARDS)),
    ):
        answer = answer_of(
            admin.post(
                f"/api/v1/directory/imports/{kind}", content=text, headers={"Content-Type": "text/csv"}
            )
        )
        assert answer["refused"] == 0, answer


def settled(cluster: Cluster) -> bool:
    """Whether all that was caused is done: nothing to publish, handle, index, summarise or send."""
    time.sleep(1)  # each look costs the servers some connections
    waiting = {
        "catalog": "SELECT COUNT(*) FROM datasets WHERE indexed_revision < document_revision",
        "quality": "SELECT COUNT(*) FROM profile_jobs WHERE next_attempt_at IS NOT NULL "
        "UNION ALL SELECT COUNT(*) FROM first_harvests WHERE summarized_at IS NULL",
        "notify": "SELECT COUNT(*) FROM notifications WHERE delivery_id IS NULL "
        "UNION ALL SELECT COUNT(*) FROM deliveries WHERE finished_at IS NULL",
    }
    if any(
        count for service, statement in waiting.items() for (count,) in rows_of(cluster, service, statement)
    ):
        return False
    return not unpublished(cluster) and not lag_of(cluster) and not unpublished(cluster)


def prepare(cluster: Cluster, portal: FileServer) -> dict[str, str]:
    """Fill the directory, and harvest the datasets that everything happens to; return title → id."""
    with cluster.client() as admin:
        import_directory(admin)
        eventually(
            lambda: admin.get("/api/v1/harvests").status_code == 200, "the catalogue to know the operator"
        )
        params = {"source": "small", "wait": "true"}
        job = answer_of(admin.post("/api/v1/harvests", params=params, json=small_feed(portal, PAIRS)))
        assert job["result"]["created"] == 2 * PAIRS, job
    profiled = "SELECT COUNT(*) FROM files WHERE baseline IS NOT NULL"
    eventually(lambda: rows_of(cluster, "quality", profiled) == [(PAIRS,)], "each file to be profiled")
    known = "SELECT COUNT(*) FROM known_datasets WHERE steward_id IS NOT NULL"
    for service in ("governance", "notify", "quality"):
        eventually(
            lambda service=service: rows_of(cluster, service, known) == [(2 * PAIRS,)],  # type: ignore[misc]
            f"{service} to know the stewards",
        )
    eventually(lambda: settled(cluster), "the first harvest to be summarised")
    return {
        title: str(dataset_id)
        for title, dataset_id in rows_of(cluster, "catalog", "SELECT title, dataset_id FROM datasets")
    }


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, own_servers: OwnServers) -> Iterator[Scene]:
    """Everything is over when a test sees it: all outages are past, and the cluster is at rest."""
    folder = tmp_path_factory.mktemp("outages")
    feed = folder / "feed.json"
    write_made_up_feed(feed, DATASETS)
    kafka, postgres, elasticsearch = own_servers.kafka(), own_servers.postgres(), own_servers.elasticsearch()
    with ExitStack() as stack:
        mail = stack.enter_context(run_mail_server())
        portal = stack.enter_context(run_file_server())
        cluster = stack.enter_context(
            run_cluster(
                folder,
                kafka=kafka.address,
                postgres=postgres.address,
                elasticsearch=elasticsearch.address,
                NUTMEG_CATALOG_HARVEST_LEASE_SECONDS="5",
                NUTMEG_NOTIFY_SMTP_HOST="127.0.0.1",
                NUTMEG_NOTIFY_SMTP_PORT=str(mail.port),
                NUTMEG_NOTIFY_SMTP_TIMEOUT_SECONDS="5",
                NUTMEG_NOTIFY_GROUP_WAIT_SECONDS="0",
                NUTMEG_QUALITY_RETRY_SECONDS="1",
                # Short, though the files of a killed worker need not wait for its lease to end.
                NUTMEG_QUALITY_FETCH_TIMEOUT_SECONDS="3",
                NUTMEG_QUALITY_PROFILE_TIMEOUT_SECONDS="5",
                NUTMEG_QUALITY_PROFILES_AT_ONCE_MAX="2",
                NUTMEG_ALLOWED_NETWORKS='["127.0.0.0/8"]',
                NUTMEG_ALLOWED_PORTS=f"[{portal.port}]",
            )
        )
        step_aside(cluster)
        ids = prepare(cluster, portal)
        traffic = Traffic(
            cluster.client,
            portal,
            [ids[f"Watched dataset {number}"] for number in range(PAIRS)],
            [ids[f"Guarded dataset {number}"] for number in range(PAIRS)],
            datetime.now(UTC) - timedelta(minutes=1),
            pause_seconds=0.1,
            released=0,
        )
        scene = Scene(cluster, kafka, postgres, elasticsearch, mail, portal, feed, traffic, [])
        live_through_it(scene)
        yield scene


def step_aside(cluster: Cluster) -> None:
    """Leave the processor to others where it is scarce: this takes long, and nothing here is in a hurry."""
    for process in cluster.processes.values():
        os.setpriority(os.PRIO_PROCESS, process.popen.pid, NICENESS)


def live_through_it(scene: Scene) -> None:
    """Harvest the feed; break one thing after the other; come to rest."""
    with scene.cluster.client() as admin:
        answer = admin.post("/api/v1/harvests", params={"source": "large"}, content=scene.feed.read_bytes())
        assert answer.status_code == 202, answer.text
    thread = threading.Thread(target=scene.traffic.run)
    thread.start()
    try:
        for number, outage in enumerate(OUTAGES, 1):
            least = number * RECORDS_BETWEEN
            reached = eventually(
                lambda least=least: taken_in(scene, least),  # type: ignore[misc]
                f"the harvest to come to outage {number}",
            )
            assert reached < DATASETS or lag_of(scene.cluster), "the harvest was over before the outages"
            # Two files lose their rows and two requests are made while the trouble lasts.
            scene.traffic.released = 2 * number
            scene.outages.append((outage.__name__, reached))
            outage(scene)
    finally:
        scene.traffic.stop.set()
        thread.join(300)
    assert scene.traffic.failure is None
    scene.cluster.wait_until_ready()
    eventually(lambda: settled(scene.cluster), "the cluster to come to rest", seconds_max=SETTLED_SECONDS_MAX)


def taken_in(scene: Scene, least: int) -> int:
    """How many records of the large feed are taken in, once it is ``least`` of them."""
    statement = "SELECT processed FROM harvests WHERE source_id = 'large'"
    ((processed,),) = rows_of(scene.cluster, "catalog", statement)
    return int(processed) if processed >= least else 0


def wait_for_traffic(scene: Scene) -> None:
    """Let what was released happen, and two rounds of hits after it."""
    seen = scene.traffic.batches
    eventually(
        lambda: (
            scene.traffic.failure
            or (scene.traffic.happened >= (scene.traffic.released or 0) and scene.traffic.batches > seen + 2)
        ),
        "clients to be answered",
    )


def mail_is_refused(scene: Scene) -> None:
    scene.mail.default_answer = "451 come back later"
    refused = "SELECT COUNT(*) FROM deliveries WHERE state = 'deferred'"
    eventually(lambda: rows_of(scene.cluster, "notify", refused) > [(0,)], "a mail to be refused")
    scene.mail.default_answer = "250 taken"


def workers_are_killed(scene: Scene) -> None:
    for service in SERVICES:
        scene.cluster.kill(f"{service}-worker")
        scene.cluster.start(service, "worker")
    step_aside(scene.cluster)
    wait_for_traffic(scene)


def kafka_is_stopped(scene: Scene) -> None:
    scene.kafka.stop()
    wait_for_traffic(scene)
    scene.kafka.start()


def kafka_is_killed(scene: Scene) -> None:
    scene.kafka.kill()
    wait_for_traffic(scene)
    scene.kafka.start()


def elasticsearch_is_stopped(scene: Scene) -> None:
    scene.elasticsearch.stop()
    wait_for_traffic(scene)
    scene.elasticsearch.start()


def elasticsearch_is_read_only(scene: Scene) -> None:
    """As Elasticsearch does by itself where its disk is all but full."""
    blocks = f"{scene.elasticsearch.address}/_all/_settings"
    name = "index.blocks.read_only_allow_delete"
    httpx.put(blocks, json={name: True}, timeout=30).raise_for_status()
    wait_for_traffic(scene)
    httpx.put(blocks, json={name: None}, timeout=30).raise_for_status()


def postgres_goes_down_in_the_midst(scene: Scene) -> None:
    scene.postgres.stop_at_once()
    scene.postgres.start()
    wait_for_traffic(scene)


OUTAGES: tuple[Callable[[Scene], None], ...] = (
    mail_is_refused,
    workers_are_killed,
    kafka_is_stopped,
    elasticsearch_is_stopped,
    postgres_goes_down_in_the_midst,
    kafka_is_killed,
    elasticsearch_is_read_only,
)


def test_each_outage_came_while_the_feed_was_taken_in(scene: Scene) -> None:
    assert [name for name, _ in scene.outages] == [outage.__name__ for outage in OUTAGES]
    # Taking in a feed needs PostgreSQL alone: it runs on through most outages; what follows takes longer.
    assert all(0 < reached < DATASETS for _, reached in scene.outages[:5]), scene.outages
    assert scene.traffic.retries > 0, "no outage met a request"


def test_every_dataset_is_kept_once_and_told_once(scene: Scene) -> None:
    stored = rows_of(scene.cluster, "catalog", "SELECT source_id, identifier FROM datasets WHERE NOT retired")
    assert len(stored) == TOTAL
    expected = {("large", record["identifier"]) for record in made_up_records(DATASETS)}
    assert set(stored) >= expected
    events = once_each(events_of(scene.cluster, DATASET_REGISTERED.topic.name))
    told = [
        event.payload(DatasetRegistered).dataset for event in events if event.type == DATASET_REGISTERED.name
    ]
    assert Counter((dataset.source_id, dataset.identifier) for dataset in told) == Counter(stored)


def test_the_index_holds_every_dataset_as_it_is(scene: Scene) -> None:
    with scene.cluster.client() as admin:
        drift = answer_of(admin.post("/api/v1/catalog/reconcile"))
        found = answer_of(admin.get("/api/v1/datasets", params={"limit": 1}))["total"]
    assert {name: drift[name] for name in ("store", "index", "missing", "extra", "stale")} == {
        "store": TOTAL,
        "index": TOTAL,
        "missing": 0,
        "extra": 0,
        "stale": 0,
    }
    assert found == TOTAL


@pytest.mark.parametrize("service", ["governance", "notify", "quality", "usage"])
def test_every_service_knows_every_dataset_as_the_catalogue_has_it(scene: Scene, service: str) -> None:
    columns = (
        "dataset_id, source_id, identifier, title, agency_id, steward_id, visibility, access_level, retired"
    )
    kept = rows_of(scene.cluster, "catalog", f"SELECT {columns} FROM datasets")
    known = rows_of(scene.cluster, service, f"SELECT {columns} FROM known_datasets")
    assert Counter(known) == Counter(kept)


def test_every_dataset_is_measured_and_the_catalogue_shows_it(scene: Scene) -> None:
    statement = "SELECT dataset_id, score FROM measurements WHERE kind = 'overall'"
    measured = dict(rows_of(scene.cluster, "quality", statement))
    shown = dict(rows_of(scene.cluster, "catalog", "SELECT dataset_id, quality_score FROM datasets"))
    assert len(measured) == TOTAL
    # The catalogue keeps two places.
    assert shown == {dataset_id: pytest.approx(score, abs=0.0051) for dataset_id, score in measured.items()}


def test_every_hit_counts_once(scene: Scene) -> None:
    expected = scene.traffic.expected_views()
    counted = "SELECT dataset_id, SUM(views) FROM rollups WHERE granularity = '{}' GROUP BY dataset_id"
    for service, statement in (
        ("usage", counted.format("day")),
        ("usage", counted.format("hour")),
        ("catalog", "SELECT dataset_id, SUM(views) FROM usage_daily GROUP BY dataset_id"),
    ):
        rows = rows_of(scene.cluster, service, statement)
        assert {str(dataset_id): views for dataset_id, views in rows} == expected, service


def test_every_alert_is_opened_once_and_every_request_told_once(scene: Scene) -> None:
    alerts = rows_of(
        scene.cluster, "quality", "SELECT dataset_id, kind, state, occurrences, version FROM alerts"
    )
    watched = {UUID(dataset_id) for dataset_id in scene.traffic.watched}
    assert Counter(alerts) == Counter((one, "row-count-dropped", "open", 1, 1) for one in watched)
    opened = once_each(events_of(scene.cluster, QUALITY_ALERT_OPENED.topic.name))
    assert [event.type for event in opened] == [QUALITY_ALERT_OPENED.name] * PAIRS
    asked = once_each(events_of(scene.cluster, SHARING_REQUEST_SUBMITTED.topic.name))
    assert [event.type for event in asked] == [SHARING_REQUEST_SUBMITTED.name] * PAIRS


def expected_lines(scene: Scene) -> Counter[str]:
    """Lines in inboxes by kind: each item comes to one person."""
    statement = "SELECT DISTINCT agency_id FROM datasets WHERE source_id = 'large'"
    assert len(rows_of(scene.cluster, "catalog", statement)) == AGENCIES + 1
    # The small harvest has a summary for each steward, and nobody has one in the large: the operator, who is
    # chief data officer too, gets one of each harvest, of all its agencies.
    return Counter(
        {
            "row-count-dropped": PAIRS,
            "sharing-request-submitted": PAIRS,
            "baseline-summary": STEWARDS + 2,
        }
    )


def test_every_item_is_one_entry_in_one_inbox(scene: Scene) -> None:
    statement = "SELECT kind, item_id, person_id FROM inbox_entries JOIN inbox_items USING (item_id)"
    lines = rows_of(scene.cluster, "notify", statement)
    assert Counter(kind for kind, _, _ in lines) == expected_lines(scene)
    assert len({item for _, item, _ in lines}) == len(lines)


def test_every_matter_is_mailed_and_repeats_are_few_with_the_same_message_id(scene: Scene) -> None:
    copies = Counter(str(message["Message-ID"]) for message in scene.mail.accepted)
    deliveries = rows_of(scene.cluster, "notify", "SELECT delivery_id, state FROM deliveries")
    assert {state for _, state in deliveries} == {"sent"}
    assert {name.strip("<>").partition("@")[0] for name in copies} == {str(key) for key, _ in deliveries}
    # The notify worker was killed once, and its database went down once: at most one mail each.
    assert copies.total() - len(copies) <= 2
    assert max(copies.values()) <= 1 + 2
    told = expected_lines(scene).total()
    notifications = rows_of(scene.cluster, "notify", "SELECT COUNT(*), COUNT(delivery_id) FROM notifications")
    assert notifications == [(told, told)]
    sent = [
        event
        for event in once_each(events_of(scene.cluster, DELIVERY_SENT.topic.name))
        if event.type == DELIVERY_SENT.name
    ]
    assert len(sent) == len({event.subject for event in sent}) == told


def test_nothing_is_left_over(scene: Scene) -> None:
    left: dict[str, Any] = {
        "dead letters": dead_letters(scene.cluster),
        "unpublished": unpublished(scene.cluster),
        "lag": lag_of(scene.cluster),
    }
    assert left == {"dead letters": {}, "unpublished": {}, "lag": {}}


def test_all_processes_end_in_good_order(scene: Scene) -> None:
    codes = scene.cluster.stop()
    assert set(codes.values()) == {0}, codes
