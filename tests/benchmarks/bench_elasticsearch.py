"""How fast Elasticsearch is filled. Run: ``python -m tests.benchmarks.bench_elasticsearch``.

Starts a server of its own (one node, heap of 512 MB). ``--documents 433000`` measures at the full size. The
rates of writing are told beside that of bare bulk requests with the same bodies in the same run, since a rate
alone says more about the machine; ``load`` is the machine's load average when a figure was taken.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice
from pathlib import Path

from sqlalchemy import insert

from services.catalog.migrations.tables import DATASETS
from services.catalog.search.commands.indexing import IndexWorker
from services.catalog.search.domain.cursor import SearchCursorCodec
from services.catalog.search.domain.search import SearchDocument
from services.catalog.search.elasticsearch.client import ElasticsearchSettings, connect
from services.catalog.search.elasticsearch.index import ElasticsearchCatalogIndex
from services.catalog.search.elasticsearch.schema import index_mappings, index_settings
from services.catalog.search.elasticsearch.writing import BulkWriter, Prepared, prepare
from services.catalog.search.repository import IndexBacklog
from shared.store.engine import Store, sqlite_url
from shared.telemetry.metrics import Metrics
from tests.benchmarks.corpus import Corpus
from tests.benchmarks.search_catalogue import ROWS_AT_ONCE, catalog_store, rows_of
from tests.benchmarks.search_requests import percentiles
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.jars import cache_directory

DOCUMENTS = 100_000
BARE_DOCUMENTS = 10_000
WARM_UP_DOCUMENTS = 5_000
WORKER_DOCUMENTS = 20_000
CHANGES = 100


def report(name: str, **figures: object) -> None:
    """Print one case with its figures."""
    print(json.dumps({"name": name, **figures, "load": round(os.getloadavg()[0], 1)}), flush=True)


async def main() -> None:
    """Measure writing, then how soon a change is found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    documents: int = parser.parse_args().documents
    server = Elasticsearch(cache_directory())
    try:
        server.start()
        settings = ElasticsearchSettings((server.address,), index_prefix="bench", timeout_seconds=60)
        corpus = Corpus()
        bare = await measure_bare(settings, corpus)
        index = ElasticsearchCatalogIndex(settings, codec=SearchCursorCodec("benchmark"))
        try:
            await measure_worker(index, corpus, bare)
            await measure_rebuild(index, corpus, documents, bare)
            await measure_changes(index, corpus)
        finally:
            await index.close()
    finally:
        server.close()


async def measure_bare(settings: ElasticsearchSettings, corpus: Corpus) -> float:
    """Bulk requests alone, with bodies made before, into an index that is being loaded."""
    made = prepare(corpus.documents(BARE_DOCUMENTS))
    bodies = [found for found in made if isinstance(found, Prepared)]
    async with connect(settings) as client:
        await client.indices.create(
            index="bare-1",
            aliases={"bare": {}},
            settings=index_settings(loading=True, mapped=True),
            mappings=index_mappings(builder="bench"),
        )
        started = time.perf_counter()
        outcomes = await BulkWriter(client).write("bare", bodies, refresh=False)
        rate = len(outcomes) / (time.perf_counter() - started)
        await client.indices.delete(index="bare-1")
    report("bare bulk", size=str(BARE_DOCUMENTS), documents_per_second=round(rate))
    return rate


async def measure_worker(index: ElasticsearchCatalogIndex, corpus: Corpus, bare: float) -> None:
    """Changed rows as the index worker takes them: read, encoded, written, found on return, ticked off."""
    with tempfile.TemporaryDirectory(prefix="nutmeg-bench-") as folder:
        store = catalog_store(sqlite_url(Path(folder) / "catalog.sqlite3"))
        await store.open()
        try:
            ledger = IndexBacklog(store)
            worker = IndexWorker(store, ledger, index, Metrics(), engine="elasticsearch")
            await worker.run_once()
            documents = list(corpus.documents(WARM_UP_DOCUMENTS + WORKER_DOCUMENTS))
            await work_off(store, worker, documents[:WARM_UP_DOCUMENTS])
            took, cpu = await work_off(store, worker, documents[WARM_UP_DOCUMENTS:])
        finally:
            await store.close()
    report(
        "worker",
        size=str(WORKER_DOCUMENTS),
        documents_per_second=round(WORKER_DOCUMENTS / took),
        ratio_to_bare=round(WORKER_DOCUMENTS / took / bare, 3),
        worker_cpu_us=round(cpu / WORKER_DOCUMENTS * 1e6),
    )


async def work_off(
    store: Store, worker: IndexWorker, documents: Sequence[SearchDocument]
) -> tuple[float, float]:
    """Write rows that the index has not, let the worker index them; seconds it took, and processor time."""
    for batch in batches(documents, ROWS_AT_ONCE):
        async with store.unit_of_work() as work:
            await work.connection.execute(insert(DATASETS), rows_of(batch, indexed_revision=0))
    started, cpu = time.perf_counter(), time.process_time()
    indexed = 0
    while number := await worker.run_once():
        indexed += number
    if indexed != len(documents):
        raise RuntimeError(f"{indexed} of {len(documents)} documents were indexed")
    return time.perf_counter() - started, time.process_time() - cpu


async def measure_rebuild(
    index: ElasticsearchCatalogIndex, corpus: Corpus, documents: int, bare: float
) -> None:
    """A whole catalogue into a new index. Making the documents up is taken off the time."""
    making = 0.0

    async def stream() -> AsyncIterator[SearchDocument]:
        nonlocal making
        for number in range(documents):
            began = time.perf_counter()
            made = corpus.document(number)
            making += time.perf_counter() - began
            yield made

    started = time.perf_counter()
    await index.rebuild(stream())
    took = time.perf_counter() - started
    rate = documents / (took - making)
    report(
        "rebuild",
        size=str(documents),
        documents_per_second=round(rate),
        documents_per_second_with_making=round(documents / took),
        ratio_to_bare=round(rate / bare, 3),
    )


async def measure_changes(index: ElasticsearchCatalogIndex, corpus: Corpus) -> None:
    """One changed document at a time, until a write of it returns: then it is found."""
    found = []
    for number in range(CHANGES):
        changed = corpus.document(number, revision=1_000 + number)
        started = time.perf_counter()
        await index.upsert([changed])
        found.append(time.perf_counter() - started)
    report("change searchable", changes=str(CHANGES), **percentiles(found))


def batches(documents: Iterable[SearchDocument], size: int) -> Iterable[list[SearchDocument]]:
    """Documents in lists of at most ``size``."""
    left = iter(documents)
    while batch := list(islice(left, size)):
        yield batch


if __name__ == "__main__":
    asyncio.run(main())
