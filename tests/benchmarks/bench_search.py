"""Search through HTTP, of either engine, at any size. Run: ``python -m tests.benchmarks search``.

A real ``nutmeg up`` answers; ten clients offer 50 searches a second, 80 % selective and 20 % broad, each with
facets, twenty results and their rows. ``--size 433000 --engine elasticsearch`` measures one case. What was
built is kept in ``--directory`` for the next run, but for the index of Elasticsearch: its server is started
for the run. All stops by itself after ``--minutes-max``.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.catalog.search.elasticsearch.client import ElasticsearchSettings
from tests.benchmarks.corpus import Corpus
from tests.benchmarks.search_catalogue import KeptCatalogue
from tests.benchmarks.search_requests import (
    REQUESTS_PER_SECOND,
    Connection,
    Offered,
    offer,
    percentiles,
    requests_of,
)
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.jars import cache_directory
from tests.support.installation import run_installation

ENGINES = ("tantivy", "elasticsearch")
SIZES = (10_000, 433_000)
SECONDS = 30
WARM_UP_REQUESTS = {"tantivy": 300, "elasticsearch": 4_500}
"""Java compiles for a minute and more what it runs often, and takes a processor for it."""
FIRST_SEARCHES = 200
MINUTES_MAX = 20
ELASTICSEARCH_HEAP_MB = 1_024
ELASTICSEARCH_SECONDS_MAX = "60"


def report(name: str, **figures: object) -> None:
    """Print one case: numbers are its figures, texts tell which case it is."""
    print(json.dumps({"name": name, **figures}), flush=True)


def measure_tantivy(folder: Path, documents: int, seconds: int) -> None:
    """Build what is missing and measure."""
    kept = KeptCatalogue(folder, documents)
    rows = kept.make_rows()
    began = time.perf_counter()
    if asyncio.run(kept.fill_tantivy()):
        report_filled("tantivy", documents, time.perf_counter() - began, beside_rows=rows is not None)
    kept.await_rows(rows)
    measure(kept, "tantivy", seconds, {}, [])


def measure_elasticsearch(folder: Path, documents: int, seconds: int) -> None:
    """Start a server, fill its index and measure."""
    kept = KeptCatalogue(folder, documents)
    rows = kept.make_rows()
    server = Elasticsearch(cache_directory(), heap_mb=ELASTICSEARCH_HEAP_MB)
    try:
        server.start()
        settings = ElasticsearchSettings((server.address,), index_prefix="bench", timeout_seconds=60)
        began = time.perf_counter()
        asyncio.run(kept.fill_elasticsearch(settings))
        report_filled("elasticsearch", documents, time.perf_counter() - began, beside_rows=rows is not None)
        kept.await_rows(rows)
        environment = {
            "NUTMEG_CATALOG_ELASTICSEARCH_URL": server.address,
            "NUTMEG_CATALOG_ELASTICSEARCH_INDEX_PREFIX": settings.index_prefix,
            "NUTMEG_CATALOG_ELASTICSEARCH_TIMEOUT_SECONDS": ELASTICSEARCH_SECONDS_MAX,
        }
        measure(kept, "elasticsearch", seconds, environment, [server.server.pid or 0])
    finally:
        server.close()


def report_filled(engine: str, documents: int, seconds: float, *, beside_rows: bool) -> None:
    """How fast an index was filled, the making of documents included."""
    report(
        "search_index_filled",
        engine=engine,
        size=str(documents),
        beside_rows=str(beside_rows),
        documents_per_second=round(documents / seconds),
        load=load(),
    )


def measure(
    kept: KeptCatalogue, engine: str, seconds: int, environment: dict[str, str], engine_pids: list[int]
) -> None:
    """Warm up, offer requests, and report what became of them and what they cost."""
    warm_up = WARM_UP_REQUESTS[engine]
    requests = requests_of(Corpus(), warm_up + seconds * REQUESTS_PER_SECOND)
    with run_installation(kept.data_dir, **environment) as installation:
        total = asyncio.run(total_of(installation.base_url))
        if not total > 0.9 * kept.documents:
            raise RuntimeError(f"the index answers with {total} of {kept.documents} documents")
        warming = asyncio.run(offer(installation.base_url, requests[:warm_up]))
        assert installation.process is not None
        load_before, cpu = load(), cpu_seconds(installation.process.pid)
        engine_cpu = sum(map(cpu_seconds, engine_pids))
        offered = asyncio.run(offer(installation.base_url, requests[warm_up:]))
        cpu = cpu_seconds(installation.process.pid) - cpu
        engine_cpu = sum(map(cpu_seconds, engine_pids)) - engine_cpu
    case = {"engine": engine, "size": str(kept.documents)}
    for kind, times in offered.seconds.items():
        report(f"search_{kind}", **case, requests=len(times), **percentiles(times))
    report("search_cost", **case, **costs(offered, cpu, engine_cpu), load_before=load_before)
    first = warming.seconds["selective"][:FIRST_SEARCHES]
    report("search_first", **case, p50_ms=percentiles(first)["p50_ms"])


def costs(offered: Offered, cpu: float, engine_cpu: float) -> dict[str, float]:
    """Milliseconds of processor time a request by process, and how late the client woke up to ask."""
    asked = sum(map(len, offered.seconds.values()))
    late = sorted(offered.started_late) or [0.0]
    return {
        "server_cpu_ms": round(cpu / asked * 1_000, 2),
        "engine_cpu_ms": round(engine_cpu / asked * 1_000, 2),
        "client_cpu_ms": round(offered.client_cpu_seconds / asked * 1_000, 2),
        "client_late_p95_ms": round(late[int(len(late) * 0.95)] * 1_000, 2),
        "answered_per_second": round(asked / offered.wall_seconds, 1),
    }


async def total_of(base_url: str) -> int:
    """How many datasets an anonymous visitor can find."""
    connection = await Connection.open(base_url, accepts_gzip=False)
    try:
        body: dict[str, Any] = json.loads(await connection.get("/api/v1/datasets?limit=1"))
        return int(body["total"])
    finally:
        await connection.close()


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far; 0 where the system does not tell."""
    path = Path(f"/proc/{pid}/stat")
    if not path.exists():
        return 0.0
    fields = path.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load() -> float:
    """The machine's load average of the last minute."""
    return round(os.getloadavg()[0], 2)


@contextmanager
def stopped_after(minutes: int) -> Iterator[None]:
    """End the block with an error when its time is over, so that servers are stopped all the same."""

    def stop(_number: int, _frame: object) -> None:
        raise TimeoutError(f"stopped after {minutes} minutes, as --minutes-max says")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(minutes * 60)
    try:
        yield
    finally:
        signal.alarm(0)


def main() -> None:
    """Measure every engine and size, or those that were named."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks search", description=__doc__)
    parser.add_argument("--size", type=int, action="append", help="how many datasets; may be repeated")
    parser.add_argument("--engine", choices=ENGINES, action="append", help="may be repeated")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="how long requests are offered")
    parser.add_argument("--minutes-max", type=int, default=MINUTES_MAX, help="when to give up")
    parser.add_argument("--directory", type=Path, help="where to build, and to find what was built before")
    chosen = parser.parse_args(sys.argv[1:])
    folder = chosen.directory or Path(tempfile.gettempdir()) / "nutmeg-benchmarks"
    measures = {"tantivy": measure_tantivy, "elasticsearch": measure_elasticsearch}
    with stopped_after(chosen.minutes_max):
        for documents in chosen.size or SIZES:
            for engine in chosen.engine or ENGINES:
                measures[engine](folder, documents, chosen.seconds)


if __name__ == "__main__":
    main()
