"""How fast Elasticsearch is filled and searched. Run: ``python -m tests.benchmarks.bench_elasticsearch``.

Starts a server of its own (one node, heap of 512 MB). ``--documents 433000`` measures at the full size. The
rates of writing are told beside that of bare bulk requests with the same bodies in the same run, since a rate
alone says more about the machine; ``load`` is the machine's load average when a figure was taken.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import time
from collections.abc import AsyncIterator, Iterable
from itertools import islice

from services.catalog.adapters.elasticsearch_client import ElasticsearchSettings, connect
from services.catalog.adapters.elasticsearch_index import ElasticsearchCatalogIndex
from services.catalog.adapters.elasticsearch_schema import index_mappings, index_settings
from services.catalog.adapters.elasticsearch_writing import BulkWriter, Prepared, prepare
from services.catalog.domain.cursor import CursorCodec
from services.catalog.domain.search import SearchDocument, SearchQuery
from tests.benchmarks.corpus import Corpus
from tests.benchmarks.search_load import BROAD, BROAD_SHARE, CLIENTS, REQUESTS_PER_SECOND
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.jars import cache_directory

DOCUMENTS = 100_000
BARE_DOCUMENTS = 10_000
LIVE_DOCUMENTS = 10_000
LIVE_BATCH = 500
SEARCH_SECONDS = 20
CHANGES = 100


def report(name: str, **figures: object) -> None:
    """Print one case with its figures."""
    print(json.dumps({"name": name, **figures, "load": round(os.getloadavg()[0], 1)}), flush=True)


async def main() -> None:
    """Measure writing, then searching, then how soon a change is found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    documents: int = parser.parse_args().documents
    server = Elasticsearch(cache_directory())
    try:
        server.start()
        settings = ElasticsearchSettings((server.address,), index_prefix="bench", timeout_seconds=60)
        corpus = Corpus()
        bare = await measure_bare(settings, corpus)
        index = ElasticsearchCatalogIndex(settings, codec=CursorCodec("benchmark"))
        try:
            await measure_live(index, corpus, bare)
            await measure_rebuild(index, corpus, documents, bare)
            await measure_search(index, corpus, documents)
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
            settings=index_settings(loading=True),
            mappings=index_mappings(builder="bench"),
        )
        started = time.perf_counter()
        outcomes = await BulkWriter(client).write("bare", bodies, refresh=False)
        rate = len(outcomes) / (time.perf_counter() - started)
        await client.indices.delete(index="bare-1")
    report("bare bulk", documents=BARE_DOCUMENTS, documents_per_second=round(rate))
    return rate


async def measure_live(index: ElasticsearchCatalogIndex, corpus: Corpus, bare: float) -> None:
    """Batches as the index worker writes them: analysed, versioned, and searchable on return."""
    documents = list(corpus.documents(LIVE_DOCUMENTS))
    started = time.perf_counter()
    for batch in batches(documents, LIVE_BATCH):
        await index.upsert(batch)
    rate = len(documents) / (time.perf_counter() - started)
    report(
        "upsert",
        documents=LIVE_DOCUMENTS,
        documents_per_second=round(rate),
        ratio_to_bare=round(rate / bare, 3),
    )


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
        documents=documents,
        documents_per_second=round(rate),
        documents_per_second_with_making=round(documents / took),
        ratio_to_bare=round(rate / bare, 3),
    )


async def measure_search(index: ElasticsearchCatalogIndex, corpus: Corpus, documents: int) -> None:
    """Ten clients offer 50 searches a second with facets; latency counts from when a request was due."""
    count = SEARCH_SECONDS * REQUESTS_PER_SECOND
    source = random.Random(99)
    selective = corpus.selective_queries(count)
    requests = [
        ("broad", SearchQuery(source.choice(BROAD)))
        if source.random() < BROAD_SHARE
        else ("selective", SearchQuery(selective[at]))
        for at in range(count)
    ]
    latencies: dict[str, list[float]] = {"selective": [], "broad": []}
    started = time.perf_counter()

    async def client(number: int) -> None:
        for at, (kind, query) in enumerate(requests[number::CLIENTS]):
            due = started + (at * CLIENTS + number) / REQUESTS_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await index.search(query)
            latencies[kind].append(time.perf_counter() - due)

    await asyncio.gather(*map(client, range(CLIENTS)))
    for kind, found in latencies.items():
        report(f"search {kind}", documents=documents, searches=len(found), **percentiles(found))


async def measure_changes(index: ElasticsearchCatalogIndex, corpus: Corpus) -> None:
    """One changed document at a time, until a write of it returns: then it is found."""
    found = []
    for number in range(CHANGES):
        changed = corpus.document(number, revision=1_000 + number)
        started = time.perf_counter()
        await index.upsert([changed])
        found.append(time.perf_counter() - started)
    report("change searchable", changes=CHANGES, **percentiles(found))


def percentiles(seconds: list[float]) -> dict[str, float]:
    """The median and the 95th percentile in milliseconds."""
    cuts = statistics.quantiles(seconds, n=20)
    return {"p50_ms": round(cuts[9] * 1_000, 1), "p95_ms": round(cuts[18] * 1_000, 1)}


def batches(documents: Iterable[SearchDocument], size: int) -> Iterable[list[SearchDocument]]:
    """Documents in lists of at most ``size``."""
    left = iter(documents)
    while batch := list(islice(left, size)):
        yield batch


if __name__ == "__main__":
    asyncio.run(main())
