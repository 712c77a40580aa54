"""The whole thread on Kafka, PostgreSQL and Elasticsearch, process by process: from a harvest to a mail."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.cluster import Cluster, run_cluster
from tests.support.file_server import FileServer, csv_of, run_file_server
from tests.support.journeys import answer_of, dataset_titled, eventually, sent_about
from tests.support.mail_server import MailServer, run_mail_server

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster-thread"), pytest.mark.timeout(900)]

STEWARD = "steward@example.gov"
DATASETS = 25
ROWS = 1_000
FEW_ROWS = 100
HITS = 7


@dataclass
class Place:
    """A cluster with a harvested portal, and the mail server that it writes to."""

    cluster: Cluster
    mail: MailServer
    portal: FileServer


def feed_of(portal: FileServer) -> bytes:
    records: list[dict[str, Any]] = [
        {
            "@type": "dcat:Dataset",
            "identifier": f"road-{number}",
            "title": f"Road counts {number}",
            "description": "Vehicles counted on state roads.",
            "keyword": ["roads"],
            "modified": datetime.now(UTC).date().isoformat(),
            "publisher": {"@type": "org:Organization", "name": "Department of Transportation"},
            "contactPoint": {
                "@type": "vcard:Contact",
                "fn": "Road counts",
                "hasEmail": "mailto:roads@example.gov",
            },
            "accessLevel": "public",
            "distribution": [
                {
                    "@type": "dcat:Distribution",
                    "downloadURL": portal.url(f"/{number}.csv"),
                    "mediaType": "text/csv",
                    "format": "CSV",
                }
            ]
            if number == 0
            else [],
        }
        for number in range(DATASETS)
    ]
    return orjson.dumps({"conformsTo": "https://project-open-data.cio.gov/v1.1/schema", "dataset": records})


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
                    content=feed_of(portal),
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

        def views() -> Any:
            return answer_of(admin.get(f"/api/v1/usage/datasets/{dataset_id}"))["total"]["views"]

        assert eventually(views, "the hits to be counted") == HITS


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


def test_pages_of_each_service_answer_in_their_own_api(place: Place) -> None:
    with place.cluster.client("") as anybody:
        pages = {
            path: anybody.get(path).status_code for path in ("/", "/search?q=road", "/quality", "/sign-in")
        }
    assert set(pages.values()) == {200}, pages


def test_all_processes_end_in_good_order(place: Place) -> None:
    codes = place.cluster.stop()
    assert set(codes.values()) == {0}, codes
