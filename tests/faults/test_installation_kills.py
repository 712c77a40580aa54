"""A whole Nutmeg killed again and again under load: nothing is lost, and nothing is told twice.

1,245 datasets are harvested while hits flow in, files lose their rows and people ask for data.
"""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.events.catalog import DatasetRegistered
from shared.events.registry import (
    DATASET_REGISTERED,
    DELIVERY_DEAD,
    DELIVERY_DEFERRED,
    DELIVERY_SENT,
    QUALITY_ALERT_OPENED,
    SHARING_REQUEST_SUBMITTED,
)
from tests.support.file_server import FileServer, run_file_server
from tests.support.installation import Installation, run_installation
from tests.support.installation_facts import events_of, once_each, rows_of, unpublished
from tests.support.mail_server import MailServer, run_mail_server
from tests.support.traffic import Traffic, agencies, small_feed, stewardships

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

SHARED = Path(__file__).parents[3] / "shared" / "data"
REAL_FEEDS = ("ct/data.json", "federal/gsa.json", "federal/dol.json", "federal/opm.json")
DATASETS = 1_245
WATCHED = 12
ASKED_FOR = WATCHED
TOTAL = DATASETS + WATCHED + ASKED_FOR
STEWARDS = 4
KILLS = 10


def large_feed() -> dict[str, Any]:
    """The four real feeds as one; where they are absent, as many made-up records."""
    records: list[dict[str, Any]]
    if SHARED.is_dir():
        feeds = [json.loads((SHARED / name).read_text()) for name in REAL_FEEDS]
        records = [record for feed in feeds for record in feed["dataset"]]
    else:
        records = [
            {"identifier": f"d{number}", "title": f"Dataset {number}", "description": "Rows."}
            for number in range(DATASETS)
        ]
    for record in records:
        # No test fetches from strangers.
        record.pop("describedBy", None)
        record.pop("distribution", None)
    return {"conformsTo": "https://project-open-data.cio.gov/v1.1/schema", "dataset": records}


@dataclass
class Scene:
    """An installation whose first datasets are measured, before the trouble begins."""

    installation: Installation
    portal: FileServer
    mail: MailServer
    watched: list[str]
    guarded: list[str]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with (
        run_mail_server() as mail,
        run_file_server() as portal,
        run_installation(
            tmp_path / "data",
            NUTMEG_ALLOWED_NETWORKS='["127.0.0.0/8"]',
            NUTMEG_ALLOWED_PORTS=f"[{portal.port}]",
            NUTMEG_CATALOG_RECORDS_PER_BATCH="20",
            NUTMEG_NOTIFY_SMTP_HOST="127.0.0.1",
            NUTMEG_NOTIFY_SMTP_PORT=str(mail.port),
            NUTMEG_NOTIFY_GROUP_WAIT_SECONDS="0",
            NUTMEG_QUALITY_RETRY_SECONDS="1",
        ) as installation,
    ):
        with installation.client() as client:
            for kind, rows in (
                ("agencies", agencies()),
                ("stewardships", stewardships(WATCHED, STEWARDS)),
            ):
                imported = client.post(f"/api/v1/directory/imports/{kind}", content=rows)
                assert imported.json()["refused"] == 0, imported.text
            installation.wait_until_idle()
            params = {"source": "first", "wait": "true"}
            feed = small_feed(portal, WATCHED)
            client.post("/api/v1/harvests", params=params, json=feed).raise_for_status()
            installation.wait_until_idle()
            found = client.get("/api/v1/datasets", params={"limit": 100, "sort": "title"}).json()["results"]
        ids = {one["title"]: one["id"] for one in found}
        watched = [ids[f"Watched dataset {number}"] for number in range(WATCHED)]
        guarded = [ids[f"Guarded dataset {number}"] for number in range(ASKED_FOR)]
        yield Scene(installation, portal, mail, watched, guarded)


def kill_ten_times(installation: Installation) -> list[tuple[str, int]]:
    """Kill at moments that chance chooses; return how far the harvest was each time."""
    moments = random.Random(20260302)
    reached = []
    for _ in range(KILLS):
        time.sleep(moments.uniform(0.05, 0.9))
        installation.kill()
        statement = "SELECT status, processed FROM harvests WHERE source_id = 'large'"
        reached += rows_of(installation.data_dir, "catalog", statement)
        installation.start()
        release_parked_jobs(installation)
    return reached


def release_parked_jobs(installation: Installation) -> None:
    """Do what an operator does once a process has died on the same job twice: let it be tried again."""
    with installation.client() as client:
        for job in client.get("/api/v1/ops/parked-jobs").json()["items"]:
            path = f"/api/v1/ops/parked-jobs/{job['queue']}/{job['job_id']}/release"
            assert client.post(path).status_code == 204


def test_ten_kills_of_a_whole_installation_under_load_lose_nothing_and_tell_nothing_twice(
    scene: Scene,
) -> None:
    installation = scene.installation
    mails_before = len(scene.mail.accepted)
    moment = datetime.now(UTC) - timedelta(minutes=1)
    traffic = Traffic(installation.client, scene.portal, scene.watched, scene.guarded, moment)
    with installation.client() as client:
        answer = client.post(
            "/api/v1/harvests",
            params={"source": "large"},
            json=large_feed(),
            headers={"Idempotency-Key": "the only one"},
        )
        assert answer.status_code == 202, answer.text
    thread = threading.Thread(target=traffic.run)
    thread.start()
    try:
        reached = kill_ten_times(installation)
    finally:
        traffic.stop.set()
        thread.join(300)
    assert traffic.failure is None
    assert traffic.retries > 0, "no kill met a request"
    assert any(status == "running" and 0 < done < DATASETS for status, done in reached), reached
    installation.wait_until_idle(300)
    assert_datasets_are_whole(installation)
    assert_changes_feed_tells_each_dataset_once(installation)
    with installation.client() as client:
        assert client.get("/api/v1/ops/dead-letters").json()["total"] == 0
    assert installation.stop() == 0
    assert unpublished(installation.data_dir) == dict.fromkeys(unpublished(installation.data_dir), 0)
    assert_log_tells_each_dataset_once(installation)
    assert_every_hit_counts_once(installation, traffic)
    assert_alerts_and_inboxes_are_exact(installation)
    assert_mail_is_told_once(installation, scene.mail, mails_before)


def assert_datasets_are_whole(installation: Installation) -> None:
    with installation.client() as client:
        (job, _) = client.get("/api/v1/harvests").json()["items"]
        result = job["result"]
        assert (job["status"], result["created"], result["rejected"]) == ("completed", DATASETS, 0)
        found = client.get("/api/v1/datasets", params={"limit": 1}).json()["total"]
        drift = client.post("/api/v1/catalog/reconcile").json()
    assert found == TOTAL
    assert {name: drift[name] for name in ("store", "index", "missing", "extra", "stale")} == {
        "store": TOTAL,
        "index": TOTAL,
        "missing": 0,
        "extra": 0,
        "stale": 0,
    }


def assert_changes_feed_tells_each_dataset_once(installation: Installation) -> None:
    told: list[str] = []
    params: dict[str, str | int] = {"type": DATASET_REGISTERED.name, "limit": 200}
    with installation.client() as client:
        while True:
            page = client.get("/api/v1/events", params=params).json()
            told += [event["subject"] for event in page["events"]]
            if page["is_last"]:
                break
            params["cursor"] = page["next_cursor"]
    assert len(told) == len(set(told)) == TOTAL


def assert_log_tells_each_dataset_once(installation: Installation) -> None:
    events = once_each(events_of(installation.data_dir, DATASET_REGISTERED.topic.name))
    registered = [event for event in events if event.type == DATASET_REGISTERED.name]
    stored = rows_of(installation.data_dir, "catalog", "SELECT source_id, identifier FROM datasets")
    datasets = [event.payload(DatasetRegistered).dataset for event in registered]
    told = Counter((dataset.source_id, dataset.identifier) for dataset in datasets)
    assert told == Counter(stored)
    assert set(told.values()) == {1}
    assert len(told) == TOTAL


def assert_every_hit_counts_once(installation: Installation, traffic: Traffic) -> None:
    expected = traffic.expected_views()
    counted = "SELECT dataset_id, SUM(views) FROM rollups WHERE granularity = '{}' GROUP BY dataset_id"
    for service, statement in (
        ("usage", counted.format("day")),
        ("usage", counted.format("hour")),
        ("catalog", "SELECT dataset_id, SUM(views) FROM usage_daily GROUP BY dataset_id"),
    ):
        rows = rows_of(installation.data_dir, service, statement)
        assert {with_dashes(key): views for key, views in rows} == expected, service


def assert_alerts_and_inboxes_are_exact(installation: Installation) -> None:
    folder = installation.data_dir
    alerts = rows_of(folder, "quality", "SELECT kind, state, occurrences, version FROM alerts")
    assert alerts == [("row-count-dropped", "open", 1, 1)] * WATCHED
    opened = once_each(events_of(folder, QUALITY_ALERT_OPENED.topic.name))
    assert [event.type for event in opened] == [QUALITY_ALERT_OPENED.name] * WATCHED
    asked = once_each(events_of(folder, SHARING_REQUEST_SUBMITTED.topic.name))
    assert [event.type for event in asked] == [SHARING_REQUEST_SUBMITTED.name] * ASKED_FOR
    lines = rows_of(
        folder,
        "notify",
        "SELECT kind, COUNT(*), COUNT(DISTINCT item_id || person_id) FROM inbox_entries JOIN inbox_items "
        "USING (item_id) WHERE kind != 'baseline-summary' GROUP BY kind ORDER BY kind",
    )
    assert lines == [
        ("row-count-dropped", WATCHED, WATCHED),
        ("sharing-request-submitted", ASKED_FOR, ASKED_FOR),
    ]
    summaries = (
        "SELECT COUNT(*), COUNT(DISTINCT person_id) FROM inbox_entries JOIN inbox_items USING (item_id)"
    )
    # The first harvest has a summary for each steward, and the chief data officer gets one of each harvest.
    found = rows_of(folder, "notify", f"{summaries} WHERE kind = 'baseline-summary'")
    assert found == [(STEWARDS + 2, STEWARDS + 1)]


def assert_mail_is_told_once(installation: Installation, mail: MailServer, mails_before: int) -> None:
    folder = installation.data_dir
    copies = Counter(message["Message-ID"] for message in mail.accepted)
    deliveries = rows_of(folder, "notify", "SELECT delivery_id, state FROM deliveries")
    assert {state for _, state in deliveries} == {"sent"}
    ids = {name.strip("<>").partition("@")[0] for name in copies}
    assert ids == {with_dashes(key) for key, _ in deliveries}
    assert mails_before == STEWARDS + 1
    assert len(mail.accepted) - len(copies) <= KILLS
    assert max(copies.values()) <= 1 + KILLS
    notifications = rows_of(folder, "notify", "SELECT COUNT(*), COUNT(delivery_id) FROM notifications")
    told = WATCHED + ASKED_FOR + STEWARDS + 2
    assert notifications == [(told, told)]
    sent = once_each(events_of(folder, DELIVERY_SENT.topic.name))
    assert DELIVERY_DEFERRED.topic == DELIVERY_DEAD.topic == DELIVERY_SENT.topic
    assert {event.type for event in sent} == {DELIVERY_SENT.name}
    assert len(sent) == len({event.subject for event in sent}) == told


def with_dashes(key: str) -> str:
    """A UUID as SQLite keeps it, as people write it."""
    return f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}"
