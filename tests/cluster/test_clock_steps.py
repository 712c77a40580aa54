"""Clocks set back and forward by three hours under every service: nothing is lost, repeated or held up.

Every service runs on one clock over Kafka and PostgreSQL. It is set back by three hours, forward by six and
back again, each time while a feed is taken in, hits come, files lose their rows and data are asked for.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.clock import SimulatedClock
from tests.support.cluster_in_process import ADMIN, ClusterInProcess, run_cluster_in_process
from tests.support.databases import Databases
from tests.support.file_server import FileServer, csv_of, run_file_server
from tests.support.made_up_feed import SCHEMA, made_up_records
from tests.support.mail_server import MailServer, run_mail_server
from tests.support.stepped_clock import set_back
from tests.support.traffic import ROWS_LEFT, agencies, small_feed, stewardships

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

STEPS = (timedelta(hours=-3), timedelta(hours=6), timedelta(hours=-3))
PAIRS = len(STEPS)
STEWARDS = 2
RECORDS_PER_STEP = 250
HITS_PER_STEP = 40


@dataclass
class Scene:
    cluster: ClusterInProcess
    clock: SimulatedClock
    portal: FileServer
    mail: MailServer
    ids: dict[str, str]


@pytest.fixture
async def scene(
    tmp_path: Path, postgres_databases: Databases, real_kafka: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Scene]:
    clock = SimulatedClock()
    with run_mail_server() as mail, run_file_server() as portal:
        for name, value in (
            ("NOTIFY_SMTP_HOST", "127.0.0.1"),
            ("NOTIFY_SMTP_PORT", str(mail.port)),
            ("NOTIFY_GROUP_WAIT_SECONDS", "1"),
            ("CATALOG_RECORDS_PER_BATCH", "20"),
        ):
            monkeypatch.setenv(f"NUTMEG_{name}", value)
        async with run_cluster_in_process(
            tmp_path,
            postgres_databases,
            real_kafka,
            clock,
            allowed_networks=["127.0.0.0/8"],
            allowed_ports=[portal.port],
        ) as cluster:
            await send(cluster, "/api/v1/directory/imports/agencies", agencies())
            await send(cluster, "/api/v1/directory/imports/stewardships", stewardships(PAIRS, STEWARDS))
            await cluster.idle()
            await send(cluster, "/api/v1/harvests?source=small", small_feed(portal, PAIRS))
            await cluster.idle()
            found = await cluster.rows("catalog", "SELECT title, dataset_id FROM datasets")
            yield Scene(cluster, clock, portal, mail, {title: str(key) for title, key in found})


async def send(cluster: ClusterInProcess, path: str, body: Any) -> Any:
    """POST what must be taken."""
    answer = await (
        cluster.client.post(path, content=body)
        if isinstance(body, str)
        else cluster.client.post(path, json=body)
    )
    assert answer.is_success, f"{path}: {answer.text}"
    return answer.json()


async def live_on(scene: Scene, number: int, step: timedelta) -> None:
    """Begin a harvest, set the clock while it runs, and let everything else happen after."""
    cluster, clock = scene.cluster, scene.clock
    records = list(made_up_records((number + 1) * RECORDS_PER_STEP))
    feed = {"conformsTo": SCHEMA, "dataset": records}
    await hits(scene, number, "before")
    await send(cluster, "/api/v1/harvests?source=large", feed)
    while True:
        statement = "SELECT processed FROM harvests WHERE status = 'running' AND processed > 0"
        if await cluster.rows("catalog", statement):
            break
        await asyncio.sleep(0.02)
    if step < timedelta(0):
        set_back(clock, -step)
    else:
        clock.advance(step)
    await assert_tokens_hold(scene, is_back=step < timedelta(0))
    await hits(scene, number, "after")
    scene.portal.files[f"/{number}.csv"] = csv_of(ROWS_LEFT)
    watched = scene.ids[f"Watched dataset {number}"]
    await send(cluster, f"/api/v1/quality/datasets/{watched}/measure", {})
    wish = {"purpose": "To study roads.", "data_wanted": "All rows."}
    guarded = {"dataset_id": scene.ids[f"Guarded dataset {number}"]}
    await send(cluster, "/api/v1/sharing-requests", guarded | wish)
    await cluster.idle()


async def assert_tokens_hold(scene: Scene, *, is_back: bool) -> None:
    """A token from the future is refused, since no revocation could be told from it; a new one is taken."""
    cluster = scene.cluster
    answer = await cluster.client.get("/api/v1/harvests")
    assert answer.status_code == (401 if is_back else 200), answer.text
    await cluster.sign_in()
    assert (await cluster.client.get("/api/v1/harvests")).status_code == 200


async def hits(scene: Scene, number: int, when: str) -> None:
    batch = [
        {
            "dataset_id": scene.ids[f"Watched dataset {number}"],
            "kind": "view",
            "occurred_at": scene.clock.now().isoformat(),
            "visitor": {"address": f"{number}.{when}.{visitor}", "user_agent": "Mozilla/5.0 Firefox/132.0"},
        }
        for visitor in range(HITS_PER_STEP)
    ]
    answer = await send(scene.cluster, "/api/v1/usage/hits:batch", {"hits": batch})
    assert answer["accepted"] == HITS_PER_STEP, answer


async def test_clocks_set_back_and_forward_by_three_hours_lose_repeat_and_hold_up_nothing(
    scene: Scene,
) -> None:
    for number, step in enumerate(STEPS):
        await live_on(scene, number, step)
    await assert_datasets_are_known(scene)
    await assert_hits_are_exact(scene)
    await assert_matters_are_told_once(scene)
    assert await scene.cluster.dead_letters() == 0


async def assert_datasets_are_known(scene: Scene) -> None:
    identifiers = {record["identifier"] for record in made_up_records(PAIRS * RECORDS_PER_STEP)}
    kept = "SELECT identifier, title, agency_id, steward_id, retired FROM {}"
    stored = await scene.cluster.rows("catalog", kept.format("datasets"))
    assert len(stored) == len(identifiers) + 2 * PAIRS
    assert {identifier for identifier, *_ in stored} >= identifiers
    for service in ("governance", "notify", "quality", "usage"):
        assert Counter(await scene.cluster.rows(service, kept.format("known_datasets"))) == Counter(stored)
    found = await scene.cluster.client.get("/api/v1/datasets", params={"limit": 1})
    assert found.json()["total"] == len(stored)
    drift = await send(scene.cluster, "/api/v1/catalog/reconcile", {})
    assert {drift[kind] for kind in ("missing", "extra", "stale")} == {0}


async def assert_hits_are_exact(scene: Scene) -> None:
    expected = {scene.ids[f"Watched dataset {number}"]: 2 * HITS_PER_STEP for number in range(PAIRS)}
    counted = "SELECT dataset_id, SUM(views) FROM rollups WHERE granularity = '{}' GROUP BY dataset_id"
    for service, statement in (
        ("usage", counted.format("day")),
        ("usage", counted.format("hour")),
        ("catalog", "SELECT dataset_id, SUM(views) FROM usage_daily GROUP BY dataset_id"),
    ):
        rows = await scene.cluster.rows(service, statement)
        assert {str(dataset_id): views for dataset_id, views in rows} == expected, service


async def assert_matters_are_told_once(scene: Scene) -> None:
    alerts = await scene.cluster.rows("quality", "SELECT kind, state, occurrences, version FROM alerts")
    assert alerts == [("row-count-dropped", "open", 1, 1)] * PAIRS
    lines = "SELECT kind, COUNT(*) FROM inbox_entries JOIN inbox_items USING (item_id) GROUP BY kind"
    told = {
        "baseline-summary": STEWARDS + 2,
        "row-count-dropped": PAIRS,
        "sharing-request-submitted": PAIRS,
    }
    assert dict(await scene.cluster.rows("notify", lines)) == told
    notifications = await scene.cluster.rows(
        "notify", "SELECT COUNT(*), COUNT(delivery_id) FROM notifications"
    )
    assert notifications == [(sum(told.values()), sum(told.values()))]
    deliveries = await scene.cluster.rows("notify", "SELECT delivery_id, state FROM deliveries")
    assert {state for _, state in deliveries} == {"sent"}
    sent = [str(message["Message-ID"]).strip("<>").partition("@")[0] for message in scene.mail.accepted]
    assert Counter(sent) == Counter(str(key) for key, _ in deliveries)
    assert ADMIN in scene.mail.recipients
