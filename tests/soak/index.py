"""A very large feed from harvest to index: none missing, extra or stale, and each is found by its title."""

import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson

from tests.benchmarks.corpus import Corpus
from tests.soak.feed import write_feed
from tests.soak.ground import Ground, real_servers
from tests.soak.processes import processor_seconds, resident_mib
from tests.soak.results import Findings
from tests.soak.showing import Shown
from tests.soak.watching import standing_of, wait_for
from tests.support.cluster import Cluster, run_cluster
from tests.support.cluster_facts import rows_of
from tests.support.installation import NUTMEG
from tests.support.journeys import answer_of

__all__ = ["run_index"]

ELASTICSEARCH_HEAP_MB = 1_024
CHUNK_BYTES = 1024 * 1024
SEARCHES = 200
LOOK_SECONDS = 5.0
READY_SECONDS_MAX = 300.0
HARVEST_SECONDS_MAX = 6 * 3_600.0
MAINTENANCE_SECONDS_MAX = 3_600.0


class Phase:
    """How long something took, and what processor time each process spent on it."""

    def __init__(self, cluster: Cluster, ground: Ground) -> None:
        own = {name: process.popen.pid for name, process in cluster.processes.items()}
        self._pids = own | ground.pids()
        self._spent = processor_seconds(self._pids)
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def tell(self, found: Findings, name: str, datasets: int) -> None:
        """Note rate and processor time per dataset."""
        found.add(f"{name}: rate", datasets / self.seconds, "datasets/s")
        spent = processor_seconds(self._pids)
        for process, seconds in spent.items():
            per_dataset = (seconds - self._spent[process]) / datasets * 1e3
            found.add(f"{name}: processor time of {process}", per_dataset, "ms/dataset")


def run_index(datasets: int, shown: Shown) -> Findings:
    """Run it."""
    found = Findings(
        "index",
        f"{datasets:,} varied datasets in one DCAT-US file, uploaded; the catalogue's api and worker, Kafka, "
        f"PostgreSQL, Elasticsearch (heap {ELASTICSEARCH_HEAP_MB} MB) and the load on one machine",
    )
    with real_servers(elasticsearch_heap_mb=ELASTICSEARCH_HEAP_MB) as ground:
        feed = ground.folder / "feed.json"
        shown.tell("writing the feed")
        size = write_feed(feed, datasets, lambda done: shown.advance(done, datasets, "records written"))
        found.add("feed", size / 2**20, "MiB")
        with _catalogue(ground, shown) as cluster, cluster.client() as admin:
            _harvest(found, ground, cluster, admin, feed, datasets, shown)
            _reconcile(found, admin, "after the harvest", shown)
            _search(found, admin, datasets, shown)
            _reindex(found, ground, cluster, datasets, shown)
            _reconcile(found, admin, "after reindex", shown)
            memory = resident_mib({name: each.popen.pid for name, each in cluster.processes.items()})
            for name, mib in memory.items():
                found.add(f"memory of {name} at the end", mib, "MiB")
    return found


@contextmanager
def _catalogue(ground: Ground, shown: Shown) -> Iterator[Cluster]:
    """The catalogue alone. Governance works only until the catalogue has heard of the operator."""
    shown.tell("starting the catalogue")
    with run_cluster(
        ground.folder,
        kafka=ground.kafka.address,
        postgres=ground.postgres.address,
        elasticsearch=ground.elasticsearch.address,
        services=("catalog",),
    ) as cluster:
        governance = cluster.start("governance", "worker")
        with cluster.client() as admin:
            wait_for(
                lambda: admin.get("/api/v1/harvests").status_code == 200,
                "the catalogue to know the operator",
                seconds_max=READY_SECONDS_MAX,
            )
        governance.popen.terminate()
        governance.popen.wait()
        del cluster.processes[governance.name]
        yield cluster


def _harvest(
    found: Findings,
    ground: Ground,
    cluster: Cluster,
    admin: httpx.Client,
    feed: Path,
    datasets: int,
    shown: Shown,
) -> None:
    shown.tell("uploading the feed")
    sent = admin.post("/api/v1/harvests", params={"source": "soak"}, content=_chunks(feed))
    job = answer_of(sent, 202)
    shown.tell("harvesting")
    phase = Phase(cluster, ground)
    until = time.monotonic() + HARVEST_SECONDS_MAX
    while job["status"] in ("queued", "running") and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        job = answer_of(admin.get(f"/api/v1/harvests/{job['id']}"))
        shown.advance(job["progress"]["processed"], datasets, "harvested")
    phase.tell(found, "harvest", datasets)
    found.must_hold(f"the harvest is {job['status']}: {job['message']}", job["status"] == "completed")
    found.must_be("datasets created", job["result"]["created"], datasets, "datasets")
    shown.tell("indexing and publishing what is left")
    wait_for(lambda: _is_idle(cluster), "the worker to be idle", seconds_max=HARVEST_SECONDS_MAX)
    phase.tell(found, "harvest, published, numbered and indexed", datasets)
    ((stored,),) = rows_of(cluster, "catalog", "SELECT count(*) FROM datasets")
    found.must_be("datasets stored", stored, datasets, "datasets")
    standing = standing_of(cluster)
    found.must_be("dead letters", standing.dead_letters, 0, "records")
    found.add("published", standing.published, "events")


def _is_idle(cluster: Cluster) -> bool:
    return all(standing_of(cluster).is_idle for _ in range(2))


def _reconcile(found: Findings, admin: httpx.Client, when: str, shown: Shown) -> None:
    shown.tell(f"reconciling {when}")
    begun = time.monotonic()
    drift = answer_of(admin.post("/api/v1/catalog/reconcile", timeout=MAINTENANCE_SECONDS_MAX))
    found.add(f"reconcile {when}", time.monotonic() - begun, "s")
    for kind in ("missing", "extra", "stale"):
        found.must_be(f"{kind} {when}", drift[kind], 0, "datasets")


def _search(found: Findings, admin: httpx.Client, datasets: int, shown: Shown) -> None:
    """Search for whole titles; the one that is found first must have it."""
    shown.tell("searching")
    corpus, source = Corpus(), random.Random(433)
    first = 0
    for number in source.sample(range(datasets), min(SEARCHES, datasets)):
        title = corpus.document(number).title
        results = answer_of(admin.get("/api/v1/datasets", params={"q": title, "limit": 1}))["results"]
        first += bool(results) and results[0]["title"] == title
    found.must_be("titles found first", first, min(SEARCHES, datasets), "searches")


def _reindex(found: Findings, ground: Ground, cluster: Cluster, datasets: int, shown: Shown) -> None:
    """Build the index anew by the command line, as an operator does."""
    shown.tell("building the index anew")
    address = f"http://127.0.0.1:{cluster.processes['catalog-api'].port}"
    phase = Phase(cluster, ground)
    done = subprocess.run(
        [NUTMEG, "reindex", "--api", address, "--token", cluster.token, "--json"],
        env={name: value for name, value in os.environ.items() if not name.startswith("NUTMEG_")},
        capture_output=True,
        text=True,
        timeout=MAINTENANCE_SECONDS_MAX,
        check=False,
    )
    found.must_hold(f"reindex ends well: {done.stderr.strip()[-500:]}", done.returncode == 0)
    phase.tell(found, "reindex", datasets)
    report: dict[str, Any] = orjson.loads(done.stdout) if done.returncode == 0 else {}
    found.must_be("indexed anew", report.get("applied", 0), datasets, "datasets")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
