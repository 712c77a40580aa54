"""What is tantivy's own: files, the one writer, restarts, kill -9."""

import asyncio
import json
import random
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from services.catalog.search.domain.cursor import SearchCursorCodec
from services.catalog.search.domain.index import CatalogIndexError, IndexLockedError
from services.catalog.search.domain.search import SearchDocument, SearchQuery, UpsertOutcome
from services.catalog.search.tantivy.index import TantivyCatalogIndex

CODEC = SearchCursorCodec("a secret of this test")
PROJECT_ROOT = Path(__file__).parent.parent.parent.parent

WRITER = """
import asyncio, sys
from pathlib import Path
from uuid import UUID
from services.catalog.search.tantivy.index import TantivyCatalogIndex
from services.catalog.search.domain.cursor import SearchCursorCodec
from services.catalog.search.domain.search import SearchDocument

async def documents(revision):
    for number in range(40):
        yield SearchDocument(UUID(int=number), revision, f"Wells {number} revision {revision}")

async def main(folder, revision):
    index = await TantivyCatalogIndex.open(folder, codec=SearchCursorCodec("x"))
    while True:
        revision += 1
        await index.upsert([document async for document in documents(revision)])
        print(revision, flush=True)
        if revision % 5 == 0:
            await index.rebuild(documents(revision))

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


def document(number: int, title: str, revision: int = 1) -> SearchDocument:
    return SearchDocument(UUID(int=number), revision, title)


async def opened(folder: Path) -> TantivyCatalogIndex:
    return await TantivyCatalogIndex.open(folder, codec=CODEC)


async def stream(*documents: SearchDocument) -> AsyncIterator[SearchDocument]:
    for each in documents:
        yield each


async def revisions(index: TantivyCatalogIndex) -> dict[int, int]:
    return {found.dataset_id.int: found.revision async for found in index.scan()}


async def test_a_new_index_asks_to_be_filled_and_a_rebuild_settles_it_for_good(tmp_path: Path) -> None:
    index = await opened(tmp_path)
    assert (await index.status()).needs_rebuild == "The index is new."
    await index.upsert([document(1, "Wells")])
    await index.close()
    index = await opened(tmp_path)
    assert (await index.status()).needs_rebuild is not None
    await index.rebuild(stream(document(1, "Wells")))
    await index.close()
    index = await opened(tmp_path)
    assert (await index.status()).needs_rebuild is None
    await index.close()


async def test_documents_and_revisions_outlive_a_restart(tmp_path: Path) -> None:
    index = await opened(tmp_path)
    await index.upsert([document(1, "Wells", revision=5)])
    await index.close()
    index = await opened(tmp_path)
    assert (await index.upsert([document(1, "Bridges", revision=4)]))[0].status == "stale"
    assert (await index.search(SearchQuery("wells"))).total == 1
    await index.close()


async def test_a_second_writer_is_told_who_holds_the_index(tmp_path: Path) -> None:
    first, second = await opened(tmp_path), await opened(tmp_path)
    await first.upsert([document(1, "Wells")])
    with pytest.raises(IndexLockedError, match="Another process writes"):
        await second.upsert([document(2, "Bridges")])
    await first.close()
    assert (await second.upsert([document(2, "Bridges")]))[0].status == "applied"
    await second.close()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda root: (root / "CURRENT").unlink(), id="the pointer is gone"),
        pytest.param(lambda root: (root / "CURRENT").write_text("{"), id="the pointer is torn"),
        pytest.param(lambda root: (root / "CURRENT").write_text('["x"]'), id="the pointer is something else"),
        pytest.param(
            lambda root: (root / "CURRENT").write_text(
                json.dumps({"generation": "generation-000001", "schema_version": 0, "complete": True})
            ),
            id="the schema is older",
        ),
        pytest.param(
            lambda root: (root / "CURRENT").write_text(
                json.dumps({"generation": "../elsewhere", "schema_version": 1, "complete": True})
            ),
            id="the pointer points elsewhere",
        ),
        pytest.param(
            lambda root: next(root.glob("generation-*/meta.json")).write_text("{"), id="the index is torn"
        ),
        pytest.param(
            lambda root: [path.unlink() for path in root.glob("generation-*/*.store")],
            id="a segment's file is gone",
        ),
    ],
)
async def test_spoilt_files_make_a_new_index_that_asks_for_a_rebuild(tmp_path: Path, spoil: object) -> None:
    assert callable(spoil)
    index = await opened(tmp_path)
    await index.rebuild(stream(document(1, "Wells")))
    await index.close()
    spoil(tmp_path)
    index = await opened(tmp_path)
    status = await index.status()
    assert (status.documents, status.needs_rebuild is not None) == (0, True)
    await index.rebuild(stream(document(1, "Wells")))
    assert (await index.search(SearchQuery("wells"))).total == 1
    assert len(list(tmp_path.glob("generation-*"))) == 1
    await index.close()


async def test_remains_of_an_unfinished_rebuild_go_at_the_next_start(tmp_path: Path) -> None:
    index = await opened(tmp_path)
    await index.upsert([document(1, "Wells")])
    await index.close()
    (tmp_path / "generation-000009").mkdir()
    (tmp_path / "generation-000009" / "half").write_text("x")
    index = await opened(tmp_path)
    assert (await index.search(SearchQuery("wells"))).total == 1
    assert [path.name for path in tmp_path.glob("generation-*")] == ["generation-000001"]
    await index.close()


async def test_two_rebuilds_at_once_are_refused(tmp_path: Path) -> None:
    index = await opened(tmp_path)

    async def rows() -> AsyncIterator[SearchDocument]:
        with pytest.raises(CatalogIndexError, match="already running"):
            await index.rebuild(stream())
        yield document(1, "Wells")

    assert (await index.rebuild(rows())).applied == 1
    await index.close()


async def test_a_cancelled_rebuild_leaves_the_old_index_and_no_files(tmp_path: Path) -> None:
    index = await opened(tmp_path)
    await index.upsert([document(1, "Wells")])
    waiting = asyncio.Event()

    async def rows() -> AsyncIterator[SearchDocument]:
        yield document(2, "Bridges")
        waiting.set()
        await asyncio.Event().wait()

    rebuilding = asyncio.create_task(index.rebuild(rows()))
    await waiting.wait()
    rebuilding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rebuilding
    assert (await index.search(SearchQuery("wells"))).total == 1
    assert len(list(tmp_path.glob("generation-*"))) == 1
    assert (await index.rebuild(stream(document(3, "Lakes")))).applied == 1
    await index.close()


async def test_a_cancelled_write_is_carried_over_to_the_index_being_rebuilt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = await opened(tmp_path)
    started, may_go_on = threading.Event(), threading.Event()
    write = index._live.writer.upsert

    def write_slowly(documents: Sequence[SearchDocument]) -> list[UpsertOutcome]:
        started.set()
        may_go_on.wait(10)
        return write(documents)

    monkeypatch.setattr(index._live.writer, "upsert", write_slowly)

    async def rows() -> AsyncIterator[SearchDocument]:
        yield document(1, "Wells")
        writing = asyncio.create_task(index.upsert([document(2, "Bridges")]))
        await asyncio.to_thread(started.wait, 10)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        may_go_on.set()

    report = await index.rebuild(rows())
    assert (report.applied, report.caught_up) == (1, 1)
    assert await revisions(index) == {1: 1, 2: 1}
    await index.close()


async def test_facet_counts_stay_exact_over_many_commits(tmp_path: Path) -> None:
    index = await opened(tmp_path)
    source = random.Random(3)
    expected: Counter[str] = Counter()
    for commit in range(25):
        batch = []
        for number in range(20):
            keywords = tuple({f"word {int(source.random() ** 3 * 400)}" for _ in range(6)})
            expected.update(keywords)
            found = document(commit * 100 + number, "Wells")
            batch.append(
                replace(found, keywords=keywords, agency_id=UUID(int=number), agency_name=f"A{number}")
            )
        await index.upsert(batch)
    page = await index.search(SearchQuery("wells", size=1))
    counted = {count.value: count.count for count in page.facets["keyword"]}
    assert counted == {value: expected[value] for value in counted}
    assert sorted(counted.values(), reverse=True) == sorted(expected.values(), reverse=True)[:20]
    assert {count.count for count in page.facets["agency"]} == {25}
    await index.close()


async def test_an_agency_being_renamed_is_one_value_with_all_its_datasets(tmp_path: Path) -> None:
    index = await opened(tmp_path)
    before = replace(document(1, "Wells"), agency_id=UUID(int=9), agency_name="Old Name")
    after = replace(document(2, "Wells too"), agency_id=UUID(int=9), agency_name="New Name")
    await index.upsert([before, after])
    (count,) = (await index.search(SearchQuery("wells"))).facets["agency"]
    assert (count.value, count.count) == (str(UUID(int=9)), 2)
    assert count.label in {"Old Name", "New Name"}
    await index.close()


async def test_searching_and_writing_leave_the_event_loop_free(tmp_path: Path) -> None:
    index = await opened(tmp_path)
    turns = 0
    done = False

    async def turn() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    await index.upsert([document(number, f"Wells {number}") for number in range(500)])
    after_write = turns
    await index.search(SearchQuery("wells"))
    done = True
    await turning
    assert after_write > 10
    assert turns > after_write
    await index.close()


@pytest.mark.faults
async def test_kill_9_at_any_moment_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    source = random.Random(7)
    answered = 0
    for _ in range(6):
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WRITER, str(tmp_path), str(answered)),
            cwd=PROJECT_ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdout is not None
        for _ in range(source.randrange(2, 9)):
            answered = int(await child.stdout.readline())
        await asyncio.sleep(source.random() * 0.2)
        child.kill()
        told = (await child.stdout.read()).split()
        await child.wait()
        answered = int(told[-1]) if told else answered
        index = await opened(tmp_path)
        held = await revisions(index)
        # One batch may have been committed without its answer having been heard.
        assert set(held) == set(range(40))
        assert len(set(held.values())) == 1
        assert set(held.values()) <= {answered, answered + 1}
        revision = held[0]
        page = await index.search(SearchQuery(f"wells revision {revision}", size=100))
        assert page.total == 40
        outcomes = await index.upsert([document(number, "Old", revision) for number in range(40)])
        assert {outcome.status for outcome in outcomes} == {"stale"}
        await index.close()
        answered = revision
