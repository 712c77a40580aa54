"""The log of a whole Nutmeg put back to an earlier state while it was down: noticed, and sent again.

That is what a disk does that acknowledged what it had not kept, and what somebody does who restores a backup
of one file. Databases and clients know more than the log; in the end everything has happened once.
"""

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.events.registry import DATASET_REGISTERED, DELIVERY_SENT, SHARING_REQUEST_SUBMITTED
from shared.log.sqlite.event_log import FILE_NAME
from tests.support.host_in_process import feed_of
from tests.support.installation import Installation, run_installation
from tests.support.installation_facts import events_of, once_each, rows_of, unpublished
from tests.support.mail_server import MailServer, run_mail_server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

STEWARD = "steward@example.gov"
PER_DAY = 5
HITS_PER_DAY = 20
WAL_HEADER_BYTES = 32
WAL_FRAME_BYTES = 24 + 4096


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with run_mail_server() as server:
        yield server


def test_a_log_that_lost_what_it_had_acknowledged_is_noticed_and_everything_happens_once(
    tmp_path: Path, mail: MailServer
) -> None:
    with run_installation(
        tmp_path / "data",
        NUTMEG_NOTIFY_SMTP_HOST="127.0.0.1",
        NUTMEG_NOTIFY_SMTP_PORT=str(mail.port),
        NUTMEG_NOTIFY_GROUP_WAIT_SECONDS="0",
    ) as installation:
        log = installation.data_dir / "log"
        do_day(installation, 1)
        installation.kill()
        shutil.copytree(log, tmp_path / "backup")
        installation.start()
        do_day(installation, 2)
        installation.kill()
        shutil.rmtree(log)
        shutil.copytree(tmp_path / "backup", log)

        installation.start()
        installation.wait_until_idle()
        assert resent(installation) > PER_DAY + HITS_PER_DAY
        assert_exact(installation, mail, days=2)
        # Offsets of the lost records are given out again, to others: nobody may pass over them.
        do_day(installation, 3)
        assert_exact(installation, mail, days=3)

        installation.kill()
        tear_off_half_of_the_tail(log)
        installation.start()
        do_day(installation, 4)
        assert_exact(installation, mail, days=4)
        assert installation.stop() == 0
        assert set(unpublished(installation.data_dir).values()) == {0}
        assert_told_once(installation, days=4)


def do_day(installation: Installation, day: int) -> None:
    """New datasets with a steward, hits on them, and a request for each; all of it handled."""
    names = [f"d{day}-{number}" for number in range(PER_DAY)]
    with installation.client() as client:
        rows = "".join(f"{name},ROADS,{STEWARD}\n" for name in names)
        for kind, text in (
            ("agencies", "code,name\nROADS,Department of Roads\n"),
            ("stewardships", f"identifier,agency_code,steward_email\n{rows}"),
        ):
            imported = client.post(f"/api/v1/directory/imports/{kind}", content=text)
            assert imported.json()["refused"] == 0, imported.text
        installation.wait_until_idle()
        feed = feed_of(*names, accessLevel="restricted public", rights="Ask.")
        done = client.post("/api/v1/harvests", params={"source": f"day {day}", "wait": "true"}, json=feed)
        assert done.json()["result"]["created"] == PER_DAY, done.text
        installation.wait_until_idle()
        found = client.get("/api/v1/datasets", params={"limit": 100}).json()["results"]
        ids = [one["id"] for one in found if one["title"] in names]
        answer = client.post("/api/v1/usage/hits:batch", json={"hits": hits(ids, day)})
        assert answer.json()["accepted"] == HITS_PER_DAY, answer.text
        for dataset_id in ids:
            wish = {"dataset_id": dataset_id, "purpose": "To study roads.", "data_wanted": "All rows."}
            assert client.post("/api/v1/sharing-requests", json=wish).status_code == 201
    installation.wait_until_idle()


def hits(ids: list[str], day: int) -> list[dict[str, Any]]:
    return [
        {
            "dataset_id": ids[number % len(ids)],
            "kind": "view",
            "occurred_at": (datetime.now(UTC) - timedelta(minutes=1)).isoformat(),
            "visitor": {"address": f"{day}.{number}", "user_agent": "Mozilla/5.0 Firefox/132.0"},
        }
        for number in range(HITS_PER_DAY)
    ]


def resent(installation: Installation) -> float:
    """How many outbox rows were sent again since the start."""
    with installation.client() as client:
        lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("nutmeg_relay_resent_total{"))


def tear_off_half_of_the_tail(log: Path) -> None:
    tail = log / f"{FILE_NAME}-wal"
    frames = (tail.stat().st_size - WAL_HEADER_BYTES) // WAL_FRAME_BYTES
    assert frames > 1
    os.truncate(tail, WAL_HEADER_BYTES + frames // 2 * WAL_FRAME_BYTES)


def assert_exact(installation: Installation, mail: MailServer, *, days: int) -> None:
    """Counts, inboxes and mail of so many days, each thing once."""
    folder = installation.data_dir
    datasets = days * PER_DAY
    # One for the steward and one for the chief data officer.
    summaries = 2 * days
    with installation.client() as client:
        assert client.get("/readyz").json()["status"] == "ok"
        assert client.get("/api/v1/datasets", params={"limit": 1}).json()["total"] == datasets
        drift = client.post("/api/v1/catalog/reconcile").json()
        assert client.get("/api/v1/ops/dead-letters").json()["total"] == 0
        params: dict[str, str | int] = {"type": DATASET_REGISTERED.name, "limit": 200}
        told = [one["subject"] for one in client.get("/api/v1/events", params=params).json()["events"]]
    assert len(told) == len(set(told)) == datasets
    assert (drift["missing"], drift["extra"], drift["stale"]) == (0, 0, 0)
    statement = "SELECT SUM(views) FROM rollups WHERE granularity = 'day'"
    assert rows_of(folder, "usage", statement) == [(days * HITS_PER_DAY,)]
    assert rows_of(folder, "catalog", "SELECT SUM(views) FROM usage_daily") == [(days * HITS_PER_DAY,)]
    lines = "SELECT kind, COUNT(*) FROM inbox_entries JOIN inbox_items USING (item_id) GROUP BY kind"
    assert dict(rows_of(folder, "notify", lines)) == {
        "baseline-summary": summaries,
        "sharing-request-submitted": datasets,
    }
    notifications = rows_of(folder, "notify", "SELECT COUNT(*), COUNT(delivery_id) FROM notifications")
    assert notifications == [(summaries + datasets, summaries + datasets)]
    names = [message["Message-ID"] for message in mail.accepted]
    assert len(names) == len(set(names)), "a message was sent twice, and nobody was killed while sending"
    assert rows_of(folder, "notify", "SELECT state, COUNT(*) FROM deliveries GROUP BY state") == [
        ("sent", len(names))
    ]


def assert_told_once(installation: Installation, *, days: int) -> None:
    """Every event of the last days is on the log again, with the id that it had."""
    for event_type, count in (
        (DATASET_REGISTERED, days * PER_DAY),
        (SHARING_REQUEST_SUBMITTED, days * PER_DAY),
        (DELIVERY_SENT, days * (PER_DAY + 2)),
    ):
        events = once_each(events_of(installation.data_dir, event_type.topic.name))
        assert len([one for one in events if one.type == event_type.name]) == count, event_type.name
