"""A backup taken under load from a server that is then killed: what was acknowledged is in it, once."""

import json
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import httpx
import pytest

from tests.support.host_in_process import feed_of
from tests.support.installation import Installation, run_installation
from tests.support.installation_facts import SERVICES, rows_of, unpublished

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

HITS_PER_BATCH = 10
BATCHES_BEFORE = 10


class Load(threading.Thread):
    """Sends hits, harvests and requests until told to stop; counts what was acknowledged."""

    def __init__(self, installation: Installation, dataset_id: str) -> None:
        super().__init__(daemon=True)
        self.installation = installation
        self.dataset_id = dataset_id
        self.hits: list[str] = []
        self.harvested: list[str] = []
        self.requests = 0
        self.has_begun = threading.Event()
        self.is_to_stop = threading.Event()

    def run(self) -> None:
        number = 0
        with self.installation.client() as client:
            while not self.is_to_stop.is_set():
                try:
                    self._send(client, number)
                except httpx.TransportError:
                    return  # the server was killed
                number += 1
                if number == BATCHES_BEFORE:
                    self.has_begun.set()

    def _send(self, client: httpx.Client, number: int) -> None:
        ids = [str(uuid5(NAMESPACE_URL, f"{number}.{one}")) for one in range(HITS_PER_BATCH)]
        at = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
        hits = [
            {
                "dataset_id": self.dataset_id,
                "hit_id": hit_id,
                "kind": "view",
                "occurred_at": at,
                "visitor": {"address": hit_id, "user_agent": "Mozilla/5.0 Firefox/132.0"},
            }
            for hit_id in ids
        ]
        if client.post("/api/v1/usage/hits:batch", json={"hits": hits}).is_success:
            self.hits += ids
        name = f"d{number}"
        answer = client.post("/api/v1/harvests", params={"source": name, "wait": "true"}, json=feed_of(name))
        if answer.is_success and answer.json()["status"] == "completed":
            self.harvested.append(name)
        wish = {"dataset_id": self.dataset_id, "purpose": "To study roads.", "data_wanted": "All rows."}
        self.requests += client.post("/api/v1/sharing-requests", json=wish).status_code == 201


def test_a_backup_under_load_holds_all_that_was_acknowledged_before_it_and_nothing_twice(
    tmp_path: Path,
) -> None:
    with run_installation(tmp_path / "data") as installation:
        with installation.client() as client:
            feed = feed_of("first", accessLevel="restricted public", rights="Ask.")
            client.post("/api/v1/harvests", params={"source": "s", "wait": "true"}, json=feed)
            (found,) = client.get("/api/v1/datasets").json()["results"]
        load = Load(installation, found["id"])
        load.start()
        assert load.has_begun.wait(120)
        hits, harvested, requests = len(load.hits), len(load.harvested), load.requests
        told = installation.answer("backup", tmp_path / "backup")
        installation.kill()
        load.is_to_stop.set()
        load.join(60)
        assert len(load.hits) > hits, "nothing was written beside the backup"
        assert "usage.sqlite3" in told["files"]
        assert_only_for_the_owner(tmp_path / "backup")
        assert_only_for_the_owner(tmp_path / "data")

    restored = Installation(tmp_path / "restored")
    done = restored.run("restore", tmp_path / "backup")
    assert done.returncode == 0, done.stderr
    again = restored.run("restore", tmp_path / "backup")
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert "is not empty" in again.stderr
    assert_only_for_the_owner(restored.data_dir)
    restored.start()
    try:
        restored.wait_until_idle()
        with restored.client() as client:
            assert client.get("/readyz").json() == {"status": "ok", "causes": []}
            assert client.get("/api/v1/ops/dead-letters").json()["total"] == 0
            drift = client.post("/api/v1/catalog/reconcile").json()
        assert (drift["missing"], drift["extra"], drift["stale"]) == (0, 0, 0)
    finally:
        restored.stop()
    assert_all_once(restored.data_dir, load, hits, harvested, requests)


def assert_all_once(data_dir: Path, load: Load, hits: int, harvested: int, requests: int) -> None:
    assert set(unpublished(data_dir).values()) == {0}
    ((views,),) = rows_of(data_dir, "usage", "SELECT SUM(views) FROM rollups WHERE granularity = 'day'")
    assert hits <= views <= len(load.hits) + HITS_PER_BATCH
    assert rows_of(data_dir, "catalog", "SELECT SUM(views) FROM usage_daily") == [(views,)]
    titles = [title for (title,) in rows_of(data_dir, "catalog", "SELECT title FROM datasets")]
    assert len(titles) == len(set(titles))
    assert set(load.harvested[:harvested]) <= set(titles)
    for service in set(SERVICES) - {"catalog", "quality"}:
        assert rows_of(data_dir, service, "SELECT COUNT(*) FROM known_datasets") == [(len(titles),)], service
    ((kept,),) = rows_of(data_dir, "governance", "SELECT COUNT(*) FROM sharing_requests")
    assert requests <= kept <= load.requests + 1


def assert_only_for_the_owner(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_a_backup_that_was_changed_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with run_installation(tmp_path / "data") as installation:
        installation.answer("backup", tmp_path / "backup", "--without-secrets")
    assert not (tmp_path / "backup" / "signing-key").exists()
    restored = Installation(tmp_path / "restored")
    assert restored.run("restore", tmp_path / "backup", "--check").returncode == 0
    with (tmp_path / "backup" / "usage.sqlite3").open("ab") as file:
        file.write(b"x")
    done = restored.run("restore", tmp_path / "backup")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "usage.sqlite3 is not what was backed up" in done.stderr
    assert not restored.data_dir.exists()
    manifest = json.loads((tmp_path / "backup" / "manifest.json").read_text())
    assert manifest["has_secrets"] is False
