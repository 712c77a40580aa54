"""Search at full size: offered load on the index itself, without HTTP.

``python -m tests.benchmarks.search_load DIRECTORY [--documents 433000] [--seconds 20]`` builds the index
where it is missing, then ten clients offer 50 searches a second, 80 % selective and 20 % broad, each with
facets. Latency counts from the moment a request was due, so a slow answer can't hide those behind it.
"""

import argparse
import asyncio
import random
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path

from services.catalog.adapters.tantivy_index import TantivyCatalogIndex
from services.catalog.domain.cursor import CursorCodec
from services.catalog.domain.search import SearchDocument, SearchQuery
from tests.benchmarks.corpus import SUBJECTS, Corpus

CLIENTS = 10
REQUESTS_PER_SECOND = 50
BROAD_SHARE = 0.2
BROAD = ("data", "records", "report", "state", "public health data", "county", "annual", "", *SUBJECTS[:20])


async def main() -> None:
    """Build where needed, run the load, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--documents", type=int, default=433_000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--changing", action="store_true", help="Write a document every second meanwhile.")
    chosen = parser.parse_args()
    corpus = Corpus()
    index = await TantivyCatalogIndex.open(chosen.directory, codec=CursorCodec("benchmark"))
    if (await index.status()).documents != chosen.documents:
        started = time.perf_counter()
        await index.rebuild(_stream(corpus, chosen.documents))
        took = time.perf_counter() - started
        print(f"rebuild: {chosen.documents} documents, {chosen.documents / took:.0f} a second")
    requests = _requests(corpus, chosen.seconds * REQUESTS_PER_SECOND)
    latencies: dict[str, list[float]] = {"selective": [], "broad": []}
    writer = asyncio.create_task(_change(index, corpus)) if chosen.changing else None
    started = time.perf_counter()
    clients = [_client(index, requests[n::CLIENTS], n, started, latencies) for n in range(CLIENTS)]
    cpu_before = time.process_time()
    await asyncio.gather(*clients)
    took = time.perf_counter() - started
    cpu = (time.process_time() - cpu_before) / took
    if writer is not None:
        writer.cancel()
    for kind, found in latencies.items():
        found.sort()
        shares = {
            name: found[int(len(found) * part)] for name, part in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        }
        print(kind, len(found), {name: f"{value * 1000:.1f} ms" for name, value in shares.items()})
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(requests) / took:.1f} requests a second, {cpu:.2f} cores, peak memory {memory_mb:.0f} MB")
    await index.close()


def _requests(corpus: Corpus, count: int) -> list[tuple[str, SearchQuery]]:
    source = random.Random(99)
    selective = corpus.selective_queries(count)
    return [
        ("broad", SearchQuery(source.choice(BROAD)))
        if source.random() < BROAD_SHARE
        else ("selective", SearchQuery(selective[at]))
        for at in range(count)
    ]


async def _client(
    index: TantivyCatalogIndex,
    requests: list[tuple[str, SearchQuery]],
    number: int,
    started: float,
    latencies: dict[str, list[float]],
) -> None:
    for at, (kind, query) in enumerate(requests):
        due = started + (at * CLIENTS + number) / REQUESTS_PER_SECOND
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await index.search(query)
        latencies[kind].append(time.perf_counter() - due)


async def _change(index: TantivyCatalogIndex, corpus: Corpus) -> None:
    """Each write makes a new commit, so no facet count is reused for longer than a second."""
    revision = 2
    while True:
        await index.upsert([corpus.document(revision, revision=time.time_ns() // 1_000_000)])
        revision += 1
        await asyncio.sleep(1)


async def _stream(corpus: Corpus, count: int) -> AsyncIterator[SearchDocument]:
    for document in corpus.documents(count):
        yield document


if __name__ == "__main__":
    asyncio.run(main())
