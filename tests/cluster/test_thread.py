"""The whole thread on Kafka, PostgreSQL and Elasticsearch, process by process: from a harvest to a mail."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from shared.clock import SystemClock
from shared.events.topics import GROUPS
from shared.log.kafka.event_log import KafkaEventLog
from shared.log.kafka.settings import KafkaSettings
from shared.log.port import OutgoingRecord
from tests.support.catalog_service import dataset, feed_of
from tests.support.cluster import SERVICES, Cluster, run_cluster
from tests.support.file_server import FileServer, csv_of, run_file_server
from tests.support.journeys import answer_of, dataset_titled, eventually, sent_about
from tests.support.mail_server import MailServer, run_mail_server

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

STEWARD = "steward@example.gov"
DATASETS = 25
ROWS = 1_000
FEW_ROWS = 100
HITS = 7
HIDDEN = 5
OTHERS = 5_000


@dataclass
class Place:
    """A cluster with a harvested portal, and the mail server that it writes to."""

    cluster: Cluster
    mail: MailServer
    portal: FileServer


def record(identifier: str, title: str, *distributions: dict[str, str]) -> dict[str, Any]:
    return dataset(
        identifier,
        title=title,
        description="Vehicles counted on state roads.",
        modified=datetime.now(UTC).date().isoformat(),
        publisher={"@type": "org:Organization", "name": "Department of Transportation"},
        distribution=list(distributions),
    )


def records_of(portal: FileServer) -> list[dict[str, Any]]:
    """All datasets of the portal; the first one has a file."""
    file = {
        "@type": "dcat:Distribution",
        "downloadURL": portal.url("/0.csv"),
        "mediaType": "text/csv",
        "format": "CSV",
    }
    return [
        record(f"road-{number}", f"Road counts {number}", *([file] if number == 0 else []))
        for number in range(DATASETS)
    ]


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, real_kafka: str, real_postgres: str, real_elasticsearch: str
) -> Iterator[Place]:
    folder: Path = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        mail = stack.enter_context(run_mail_server())
        portal = stack.enter_context(run_file_server())
        portal.files["/0.csv"] = csv_of(ROWS)
        cluster = stack.enter_context(
            run_cluster(
                folder,
                kafka=real_kafka,
                postgres=real_postgres,
                elasticsearch=real_elasticsearch,
                has_operations=True,
                has_stream=True,
                NUTMEG_NOTIFY_SMTP_HOST="127.0.0.1",
                NUTMEG_NOTIFY_SMTP_PORT=str(mail.port),
                NUTMEG_NOTIFY_GROUP_WAIT_SECONDS="0",
                NUTMEG_QUALITY_BASELINE_WAIT_SECONDS="1",
                NUTMEG_ALLOWED_NETWORKS='["127.0.0.0/8"]',
                NUTMEG_ALLOWED_PORTS=f"[{portal.port}]",
            )
        )
        with cluster.client() as admin:
            for kind, lines in (
                ("agencies", "code,name\nDOT,Department of Transportation\n"),
                (
                    "people",
                    f"email,display_name,role,agency_code\n{STEWARD},Road steward,steward,DOT\n",
                ),
                ("stewardships", f"identifier,steward_email\nroad-0,{STEWARD}\n"),
            ):
                answer_of(
                    admin.post(
                        f"/api/v1/directory/imports/{kind}",
                        content=lines,
                        headers={"Content-Type": "text/csv"},
                    )
                )
            eventually(
                lambda: admin.get("/api/v1/harvests").status_code == 200, "the catalogue to know the operator"
            )
            job = answer_of(
                admin.post(
                    "/api/v1/harvests",
                    params={"source": "portal", "wait": "true"},
                    content=orjson.dumps(feed_of(*records_of(portal))),
                    timeout=120,
                )
            )
            assert job["result"]["created"] == DATASETS, job
        yield Place(cluster, mail, portal)


def ledger(place: Place) -> dict[str, Any]:
    """The one dataset with rows, once it is found by search."""
    with place.cluster.client("") as anybody:
        eventually(
            lambda: (
                answer_of(anybody.get("/api/v1/datasets", params={"q": "road counts"}))["total"] == DATASETS
            ),
            "all datasets in the index",
        )
        return dataset_titled(anybody, "Road counts 0")


def test_what_is_harvested_is_found_and_its_rows_are_measured(place: Place) -> None:
    dataset_id = ledger(place)["id"]
    with place.cluster.client("") as anybody:

        def profile() -> Any:
            answer = anybody.get(f"/api/v1/quality/datasets/{dataset_id}")
            return answer.json().get("profile") if answer.is_success else None

        assert eventually(profile, "the file to be profiled")["row_count"] == ROWS


def test_every_hit_is_counted_once(place: Place) -> None:
    dataset_id = ledger(place)["id"]
    now = datetime.now(UTC).isoformat()
    hits = [
        {
            "dataset_id": dataset_id,
            "kind": "view",
            "occurred_at": now,
            "visitor": {"address": f"10.0.0.{number}", "user_agent": "Mozilla/5.0 Firefox/132.0"},
        }
        for number in range(HITS)
    ]
    with place.cluster.client() as admin:
        for _ in range(2):  # sent twice, as after a lost answer
            answer = admin.post(
                "/api/v1/usage/hits:batch", json={"hits": hits}, headers={"Idempotency-Key": "one"}
            )
            assert answer.is_success, answer.text

        def views() -> int:
            found: int = answer_of(admin.get(f"/api/v1/usage/datasets/{dataset_id}"))["total"]["views"]
            return found

        # Hits come by several partitions, one after another.
        assert eventually(lambda: views() >= HITS, "the hits to be counted")
        assert views() == HITS


def test_a_file_that_lost_its_rows_is_told_to_its_steward_by_one_mail(place: Place) -> None:
    found = ledger(place)
    with place.cluster.client("") as anybody:
        # Who answers for it comes on a topic of its own; an alert before that falls to who stands in.
        eventually(
            lambda: answer_of(anybody.get(f"/api/v1/datasets/{found['id']}"))["has_steward"],
            "the dataset to have its steward",
        )
    place.portal.files["/0.csv"] = csv_of(FEW_ROWS)
    with place.cluster.client() as admin:
        answer = admin.post(f"/api/v1/quality/datasets/{found['id']}/measure")
        assert answer.status_code == 202, answer.text
    eventually(lambda: sent_about(place.mail.accepted, "Road counts 0"), "a mail about the rows")
    (message,) = sent_about(place.mail.accepted, "Road counts 0")
    assert message["To"] == STEWARD


def test_what_was_just_said_to_be_hidden_is_harvested_hidden(place: Place) -> None:
    """The harvest is ordered right behind a long import, whose events go another way."""
    others = "".join(f"other-{number},government\n" for number in range(OTHERS))
    hidden = "".join(f"hidden-{number},government\n" for number in range(HIDDEN))
    with place.cluster.client() as admin, place.cluster.client("") as anybody:
        imported = admin.post(
            "/api/v1/directory/imports/stewardships",
            content=f"identifier,visibility\n{others}{hidden}",
            headers={"Content-Type": "text/csv"},
            timeout=60,
        )
        assert answer_of(imported)["published"] is True
        job = answer_of(
            admin.post(
                "/api/v1/harvests",
                params={"source": "hidden", "wait": "true"},
                content=orjson.dumps(
                    feed_of(*(record(f"hidden-{number}", "Hidden counts") for number in range(HIDDEN)))
                ),
                timeout=120,
            )
        )
        assert job["result"]["created"] == HIDDEN, job

        def told_to(reader: httpx.Client, change: str) -> list[dict[str, Any]]:
            kind: dict[str, str | int] = {"type": f"nutmeg.catalog.dataset.{change}.v1", "limit": 500}
            found: list[dict[str, Any]] = answer_of(reader.get("/api/v1/events", params=kind))["events"]
            return found

        def registered() -> list[str]:
            datasets = [one["data"]["dataset"] for one in told_to(admin, "registered")]
            return [one["visibility"] for one in datasets if one["identifier"].startswith("hidden-")]

        eventually(lambda: len(registered()) == HIDDEN, "the events of all hidden records")
        assert set(registered()) == {"government"}
        assert told_to(anybody, "withdrawn") == []


def publish(place: Place, topic: str, value: bytes) -> None:
    """Put a record on the cluster's log that no service wrote."""
    settings = KafkaSettings(
        bootstrap_servers=place.cluster.environment["NUTMEG_KAFKA_BOOTSTRAP_SERVERS"],
        prefix=place.cluster.environment["NUTMEG_KAFKA_PREFIX"],
    )

    async def send() -> None:
        log = KafkaEventLog(settings, clock=SystemClock())
        try:
            await log.publish([OutgoingRecord(topic, "poison", "poison", [], value)])
        finally:
            await log.close()

    asyncio.run(send())


def test_operators_see_the_whole_and_have_the_group_that_failed_handle_a_record_again(place: Place) -> None:
    readers = {group.name for group in GROUPS.values() if "catalog.datasets" in group.topics}
    publish(place, "catalog.datasets", b"no event")
    with place.cluster.client() as admin:

        def letters() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = answer_of(admin.get("/api/v1/ops/dead-letters"))["items"]
            return found

        eventually(lambda: {one["group"] for one in letters()} == readers, "each reader to put it aside")
        status = answer_of(admin.get("/api/v1/ops/status"))
        assert {one["group"] for one in status["consumers"]} == GROUPS.keys()
        assert [one["group"] for one in status["consumers"] if one["state"] != "running"] == []
        assert status["dead_letters"]["open"] == len(readers)
        assert admin.get("/ops").status_code == 200
        one = next(each for each in letters() if each["group"] == "usage.directory")
        replayed = place.cluster.run("dlq", "replay", one["id"], "--profile", "cluster", "--json")
        assert replayed.returncode == 1, replayed.stderr
        assert [each["state"] for each in json.loads(replayed.stdout)["items"]] == ["failed"]
        states = {each["group"]: each["state"] for each in letters()}
        assert states == {**dict.fromkeys(readers, "open"), "usage.directory": "failed"}
        listed = place.cluster.run("dlq", "list", "--profile", "cluster", "--json")
        assert json.loads(listed.stdout)["items"] == letters()
    with place.cluster.client("") as anybody:
        assert anybody.get("/api/v1/ops/status").status_code == 401


def test_one_document_describes_the_api_of_all_services(place: Place) -> None:
    with place.cluster.client("") as anybody:
        paths = answer_of(anybody.get("/api/v1/openapi.json"))["paths"].keys()
        assert "/api/v1/ops/status" in paths
        for path in ("datasets", "directory/agencies", "inbox", "quality/datasets", "usage/hits:batch"):
            assert any(one.startswith(f"/api/v1/{path}") for one in paths), path
        assert "/api/v1/usage/hits:batch" in anybody.get("/docs").text


def test_workers_tell_what_waits_and_what_is_due(place: Place) -> None:
    for service in SERVICES:
        port = place.cluster.processes[f"{service}-worker"].port
        told = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
        for metric in ("nutmeg_work_pending", "nutmeg_consumer_lag_records", "nutmeg_outbox_records"):
            assert re.search(rf"^{metric}{{.*}} [0-9]", told, re.MULTILINE), (service, metric)


def test_pages_of_each_service_answer_in_their_own_api(place: Place) -> None:
    with place.cluster.client("") as anybody:
        pages = {
            path: anybody.get(path).status_code for path in ("/", "/search?q=road", "/quality", "/sign-in")
        }
    assert set(pages.values()) == {200}, pages


def test_all_processes_end_in_good_order(place: Place) -> None:
    codes = place.cluster.stop()
    assert set(codes.values()) == {0}, codes
