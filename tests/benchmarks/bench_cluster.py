"""How soon a change is found and an alert is mailed, over a whole cluster of processes.

Run: ``python -m tests.benchmarks.bench_cluster``. Starts Kafka, PostgreSQL (which syncs its log to the disk),
Elasticsearch, an SMTP server, and the api and worker of each service, all on this machine; it ends by itself.

* A change is the data dictionary of a dataset, put through the API with a word that nothing else has: from
  the answer until an anonymous search finds it. And a feed whose one title changed: from the order to
  harvest it.
* An alert is committed to quality's database from outside, so that its relay finds it at its next look (an
  alert of quality's worker would wake it); until the server took the mail, with no wait for neighbours.

``processors_busy`` is the share of the machine's processors that was busy with anything at all meanwhile.
"""

import asyncio
import json
import logging
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import orjson
import structlog

from services.quality.bootstrap import MIGRATIONS
from services.quality.migrations.tables import DELIVERY, METADATA
from shared.clock import SystemClock
from shared.events.alerts import AlertOpened
from shared.events.registry import QUALITY_ALERT_OPENED
from shared.store.engine import Store
from tests.benchmarks.bench_alerts import TimingServer, alert
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.jars import cache_directory
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres
from tests.support.cluster import Cluster, run_cluster
from tests.support.host_in_process import feed_of
from tests.support.journeys import answer_of
from tests.support.mail_server import run_mail_server

STEWARDS = 50
DATASETS = 500
CHANGES = 60
HARVESTS = 20
FEED_DATASETS = 25
RATES = (10, 50)
ALERT_SECONDS = 20
LOOK_SECONDS = 0.01
SECONDS_MAX = 120.0
SECONDS_MAX_ALL = 900
QUIET_LOOKS = 3


@dataclass
class Place:
    """A cluster with datasets that have stewards, and the mail server that it writes to."""

    cluster: Cluster
    mail: TimingServer
    admin: httpx.Client
    anybody: httpx.Client
    dataset_ids: list[str]


def report(name: str, seconds: list[float], **figures: object) -> None:
    cuts = statistics.quantiles(seconds, n=20)
    found = {"p50_ms": cuts[9], "p95_ms": cuts[18], "max_ms": max(seconds)}
    rounded = {figure: round(value * 1_000, 1) for figure, value in found.items()}
    load = round(os.getloadavg()[0], 1)
    print(json.dumps({"name": name, **figures, "count": len(seconds), **rounded, "load": load}), flush=True)


def wait_until(is_so: Callable[[], bool], what: str, *, pause_seconds: float = 0.2) -> None:
    until = time.perf_counter() + SECONDS_MAX
    while not is_so():
        if time.perf_counter() > until:
            raise TimeoutError(f"waited {SECONDS_MAX:.0f} s for {what}")
        time.sleep(pause_seconds)


def wait_until_quiet(admin: httpx.Client) -> None:
    """Return once nothing waits in an outbox, on the log or for a work, seen several times on end."""
    quiet = 0

    def is_quiet() -> bool:
        nonlocal quiet
        status = answer_of(admin.get("/api/v1/ops/status"))
        waits = any(one["lag_records"] for one in status["consumers"])
        waits |= any(one["records"] for one in status["outboxes"])
        quiet = 0 if waits else quiet + 1
        return quiet == QUIET_LOOKS

    wait_until(is_quiet, "the cluster to be quiet", pause_seconds=1.0)


@contextmanager
def running_place() -> Iterator[Place]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    cache, mail = cache_directory(), TimingServer()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nutmeg-bench-")))
        stack.enter_context(run_mail_server(server=mail))
        kafka, elasticsearch = Kafka(cache), Elasticsearch(cache)
        postgres = Postgres(settings={"fsync": "on"})
        for server in (kafka, elasticsearch, postgres):
            stack.callback(server.close)
            server.start()
        cluster = stack.enter_context(
            run_cluster(
                folder,
                kafka=kafka.address,
                postgres=postgres.address,
                elasticsearch=elasticsearch.address,
                has_operations=True,
                NUTMEG_NOTIFY_SMTP_HOST="127.0.0.1",
                NUTMEG_NOTIFY_SMTP_PORT=str(mail.port),
                NUTMEG_NOTIFY_GROUP_WAIT_SECONDS="0",
            )
        )
        admin = stack.enter_context(cluster.client())
        anybody = stack.enter_context(cluster.client(""))
        names = [f"d{number}" for number in range(DATASETS)]
        rows = [f"{name},steward{number % STEWARDS}@example.gov" for number, name in enumerate(names)]
        lines = "\n".join(["identifier,steward_email", *rows, ""])
        answer_of(admin.post("/api/v1/directory/imports/stewardships", content=lines))
        wait_until(lambda: admin.get("/api/v1/harvests").status_code == 200, "the operator to be known")
        harvest(admin, "alerted", feed_of(*names))
        wait_until_quiet(admin)
        yield Place(cluster, mail, admin, anybody, dataset_ids(admin))


def harvest(admin: httpx.Client, source: str, feed: dict[str, Any]) -> None:
    answer = admin.post(
        "/api/v1/harvests", params={"source": source, "wait": "true"}, content=orjson.dumps(feed)
    )
    assert answer_of(answer)["status"] == "completed", answer.text


def dataset_ids(admin: httpx.Client) -> list[str]:
    ids: list[str] = []
    query: dict[str, Any] = {"limit": 100}
    while True:
        page = answer_of(admin.get("/api/v1/datasets", params=query))
        ids += [one["id"] for one in page["results"]]
        if not page.get("next_cursor"):
            return ids
        query["cursor"] = page["next_cursor"]


def until_found(place: Place, word: str) -> None:
    def is_found() -> bool:
        return bool(answer_of(place.anybody.get("/api/v1/datasets", params={"q": word}))["total"])

    wait_until(is_found, f"{word} to be found", pause_seconds=LOOK_SECONDS)


def measure_changes(place: Place) -> None:
    """One change after another, each at a moment of its own between two looks of the index's worker."""
    seconds = []
    for number in range(CHANGES):
        time.sleep(number / CHANGES)
        dataset_id, word = place.dataset_ids[number], f"zq{number}column"
        etag = place.admin.get(f"/api/v1/datasets/{dataset_id}").headers["ETag"]
        answer_of(
            place.admin.put(
                f"/api/v1/datasets/{dataset_id}/columns",
                json=[{"name": word, "type": "string", "description": f"The {word}."}],
                headers={"If-Match": etag},
            )
        )
        committed = time.perf_counter()
        until_found(place, word)
        seconds.append(time.perf_counter() - committed)
    report("change committed to searchable", seconds)


def measure_harvests(place: Place) -> None:
    feed = feed_of(*(f"town{number}" for number in range(FEED_DATASETS)))
    harvest(place.admin, "changed", feed)
    wait_until_quiet(place.admin)
    seconds = []
    for number in range(HARVESTS):
        word = f"zq{number}title"
        feed["dataset"][number]["title"] = f"Towns {word}"
        ordered = time.perf_counter()
        answer = place.admin.post(
            "/api/v1/harvests", params={"source": "changed"}, content=orjson.dumps(feed)
        )
        assert answer.is_success, answer.text
        until_found(place, word)
        seconds.append(time.perf_counter() - ordered)
    report("harvest ordered to its change searchable", seconds)


async def raise_alerts(place: Place, rate: int) -> dict[UUID, float]:
    """Commit alerts at a steady rate; return when each was committed."""
    url = place.cluster.environment["NUTMEG_DATABASE_URL"].format(service="quality")
    clock = SystemClock()
    store = Store(
        url, service="quality", metadata=METADATA, tables=DELIVERY, migrations=MIGRATIONS, clock=clock
    )
    await store.open()
    committed: dict[UUID, float] = {}
    begun = time.perf_counter()
    try:
        for number in range(rate * ALERT_SECONDS):
            await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            state = alert(place.dataset_ids[number % DATASETS], clock.now())
            async with store.unit_of_work() as work:
                opened = AlertOpened(alert=state)
                work.emit(QUALITY_ALERT_OPENED, opened, subject=str(state.alert_id), subjectversion=1)
            committed[state.alert_id] = time.perf_counter()
    finally:
        await store.close()
    return committed


def measure_alerts(place: Place, rate: int) -> None:
    wait_until_quiet(place.admin)
    busy, own = processor_ticks(), own_ticks(place.cluster)
    mails = len(place.mail.accepted)
    committed = asyncio.run(raise_alerts(place, rate))
    busy_share = share_between(busy, processor_ticks())
    wait_until(lambda: place.mail.taken_at.keys() >= committed.keys(), "all mails to be taken")
    ticks = own_ticks(place.cluster) - own
    report(
        "alert committed to mail accepted",
        [place.mail.taken_at[key] - moment for key, moment in committed.items()],
        rate=f"{rate}/s",
        processors_busy=round(busy_share, 2),
        nutmeg_processor_ms_per_alert=round(ticks * 1_000 / os.sysconf("SC_CLK_TCK") / len(committed), 1),
        alerts_per_mail=round(len(committed) / (len(place.mail.accepted) - mails), 1),
    )


def processor_ticks() -> tuple[int, int]:
    """Return busy and all ticks of the machine's processors so far."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)


def share_between(before: tuple[int, int], after: tuple[int, int]) -> float:
    return (after[0] - before[0]) / max(after[1] - before[1], 1)


def own_ticks(cluster: Cluster) -> int:
    """Return the ticks that the cluster's processes, not the servers, have used so far."""
    used = 0
    for process in cluster.processes.values():
        fields = Path(f"/proc/{process.popen.pid}/stat").read_text().rpartition(")")[2].split()
        used += int(fields[11]) + int(fields[12])
    return used


def main() -> int:
    """Measure, and stop everything, at the latest after a quarter of an hour."""
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.default_int_handler)
    signal.alarm(SECONDS_MAX_ALL)
    with running_place() as place:
        measure_changes(place)
        measure_harvests(place)
        for rate in RATES:
            measure_alerts(place, rate)
    return 0


if __name__ == "__main__":
    sys.exit(main())
