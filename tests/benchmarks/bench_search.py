"""Search through HTTP at 10,000 and 433,000 datasets. Run: ``python -m tests.benchmarks.bench_search``.

A real ``nutmeg up`` answers; ten clients offer 50 searches a second, 80 % selective and 20 % broad, each with
facets, twenty results and their rows. A time counts from the moment a request was due, so that a slow answer
cannot hide those behind it. ``--documents N`` measures one size, ``--directory`` keeps what was built.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import insert

from services.catalog.adapters.entry_rows import row_of
from services.catalog.adapters.tables import BUS, DATASETS, METADATA
from services.catalog.bootstrap import MIGRATIONS
from services.catalog.domain.entry import CatalogEntry
from services.catalog.domain.search import SearchDocument
from services.host.data_directory import DataDirectory
from shared.clock import SystemClock
from shared.events.catalog import Column, DatasetState, Distribution
from shared.store.engine import Store, sqlite_url
from tests.benchmarks.corpus import SUBJECTS, Corpus
from tests.support.installation import Installation, run_installation

SIZES = (10_000, 433_000)
CLIENTS = 10
REQUESTS_PER_SECOND = 50
SECONDS = 20
WARM_UP_REQUESTS = 100
BROAD_SHARE = 0.2
BROAD = ("data", "records", "report", "state", "public health data", "county", "annual", "", *SUBJECTS[:20])
ROWS_AT_ONCE = 2_000
REINDEX_SECONDS_MAX = 3_600.0
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def report(name: str, value: float, unit: str, **conditions: object) -> None:
    print(json.dumps({"name": name, "value": round(value, 4), "unit": unit, **conditions}), flush=True)


def entry(document: SearchDocument) -> CatalogEntry:
    """A catalogue entry that has this document."""
    state = DatasetState(
        dataset_id=document.dataset_id,
        source_id="corpus",
        identifier=document.identifier or str(document.dataset_id),
        title=document.title,
        description=document.description,
        keywords=list(document.keywords),
        themes=list(document.themes),
        publisher_name=document.publisher_name,
        agency_id=document.agency_id,
        agency_name=document.agency_name,
        access_level=document.access_level,
        visibility=document.visibility,
        license=document.license,
        data_updated_at=document.data_updated_at,
        distributions=[Distribution(format=name) for name in document.formats],
        columns=[Column(name=name) for name in document.column_names],
        registered_at=BEGINNING,
        metadata_changed_at=BEGINNING,
    )
    return CatalogEntry(
        document.dataset_id,
        state,
        "",
        state,
        quality_score=document.quality_score,
        freshness=document.freshness,
        popularity_bucket=document.popularity_bucket,
    )


async def fill(data_dir: Path, documents: Iterator[SearchDocument]) -> None:
    """Write the rows as harvests would have left them, already marked as indexed."""
    store = Store(
        sqlite_url(DataDirectory(data_dir).database("catalog")),
        service="catalog",
        metadata=METADATA,
        tables=BUS,
        migrations=MIGRATIONS,
        clock=SystemClock(),
    )
    await store.open()
    rows: list[dict[str, Any]] = []
    for document in documents:
        rows.append(row_of(entry(document), ()) | {"indexed_revision": 1})
        if len(rows) == ROWS_AT_ONCE:
            await write(store, rows)
            rows = []
    await write(store, rows)
    await store.close()


async def write(store: Store, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        async with store.unit_of_work() as work:
            await work.connection.execute(insert(DATASETS), rows)


def build(installation: Installation, corpus: Corpus, documents: int) -> None:
    """Fill the catalogue of a stopped installation, start it and let it index."""
    asyncio.run(fill(installation.data_dir, corpus.documents(documents)))
    installation.start()
    started = time.perf_counter()
    with installation.client() as client:
        answer = client.post("/api/v1/catalog/reindex", timeout=REINDEX_SECONDS_MAX).json()
    if answer["applied"] != documents:
        raise RuntimeError(f"only {answer} of {documents} documents were indexed")
    report("reindex", documents / (time.perf_counter() - started), "documents/s", documents=str(documents))


def requests_of(corpus: Corpus, count: int) -> list[tuple[str, str]]:
    """Kinds and texts of searches: the same at each run."""
    source = random.Random(99)
    selective = corpus.selective_queries(count)
    return [
        ("broad", source.choice(BROAD)) if source.random() < BROAD_SHARE else ("selective", selective[at])
        for at in range(count)
    ]


async def offer(base_url: str, requests: Sequence[tuple[str, str]]) -> dict[str, list[float]]:
    """Send each request when it is due; return the seconds each took, by kind."""
    seconds: dict[str, list[float]] = {"selective": [], "broad": []}
    begun = time.perf_counter()

    async def work_off(client: httpx.AsyncClient, number: int) -> None:
        for at in range(number, len(requests), CLIENTS):
            kind, text = requests[at]
            due = begun + at / REQUESTS_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            answer = await client.get("/api/v1/datasets", params={"q": text})
            answer.raise_for_status()
            seconds[kind].append(time.perf_counter() - due)

    limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=base_url, timeout=120, limits=limits) as client:
        await asyncio.gather(*(work_off(client, number) for number in range(CLIENTS)))
    return seconds


def measure(folder: Path, documents: int, seconds: int) -> None:
    """Build what is missing, warm up, and report medians and 95th percentiles."""
    corpus = Corpus()
    data_dir = folder / f"search-{documents}"
    with run_installation(data_dir) as installation:
        with installation.client() as client:
            known = client.get("/api/v1/datasets", params={"size": 1}).json()["total"]
        if not known:
            installation.stop()
            build(installation, corpus, documents)
        requests = requests_of(corpus, WARM_UP_REQUESTS + seconds * REQUESTS_PER_SECOND)
        asyncio.run(offer(installation.base_url, requests[:WARM_UP_REQUESTS]))
        times = asyncio.run(offer(installation.base_url, requests[WARM_UP_REQUESTS:]))
    for kind, found in times.items():
        found.sort()
        for percentile in (50, 95):
            value = found[int(len(found) * percentile / 100)]
            report(
                f"search_{kind}_p{percentile}",
                value * 1_000,
                "ms at 50 requests/s of 10 clients",
                documents=str(documents),
            )


def main() -> None:
    """Measure both sizes, in a folder that is thrown away."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, action="append", help="How many datasets; may be repeated.")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="How long requests are offered.")
    parser.add_argument("--directory", type=Path, help="Where to build, and to find what was built before.")
    chosen = parser.parse_args(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="nutmeg-bench-") as temporary:
        folder = chosen.directory or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for documents in chosen.documents or SIZES:
            measure(folder, documents, chosen.seconds)


if __name__ == "__main__":
    main()
