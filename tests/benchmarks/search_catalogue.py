"""Catalogues of any size for the search benchmarks: rows and index made straight from the corpus, and kept.

Harvesting 433,000 datasets takes half an hour and is measured elsewhere. Here the rows are written as
harvests would have left them, in a process of their own while the index is filled from the same documents.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event, insert

from services.catalog.bootstrap import MIGRATIONS
from services.catalog.datasets.domain.entry import CatalogEntry
from services.catalog.datasets.repository.rows import row_of
from services.catalog.migrations.tables import DATASETS, DELIVERY, METADATA
from services.catalog.search.domain.cursor import SearchCursorCodec
from services.catalog.search.domain.search import SearchDocument
from services.catalog.search.elasticsearch.client import ElasticsearchSettings
from services.catalog.search.elasticsearch.index import ElasticsearchCatalogIndex
from services.catalog.search.tantivy.index import TantivyCatalogIndex
from services.catalog.search.tantivy.schema import SCHEMA_VERSION
from services.host.data_directory import DataDirectory
from shared.clock import SystemClock
from shared.events.catalog import Column, DatasetState, Distribution
from shared.store.engine import Store, sqlite_url
from tests.benchmarks.corpus import Corpus

ROWS_AT_ONCE = 2_000
ROWS_SECONDS_MAX = 600.0
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
CODEC = SearchCursorCodec("benchmark")


class KeptCatalogue:
    """A data directory with the first ``documents`` of the corpus; what is there already is used again."""

    def __init__(self, folder: Path, documents: int) -> None:
        self.documents = documents
        self.data_dir = folder / f"search-{documents}"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        # An older form of the tables is brought up to date by the server that opens them.
        self._rows = _Part(self.data_dir / "rows.made", f"{documents}")
        self._index = _Part(self.data_dir / "index.made", f"{documents} {SCHEMA_VERSION}")

    def make_rows(self) -> BaseProcess | None:
        """Begin to write the rows in another process; None where they are there."""
        if self._rows.is_made:
            return None
        for path in self.data_dir.glob("catalog.sqlite3*"):
            path.unlink()
        process = get_context("spawn").Process(target=write_rows, args=(self.data_dir, self.documents))
        process.start()
        return process

    def await_rows(self, process: BaseProcess | None) -> None:
        """Wait for the rows. Raises ``RuntimeError`` where they could not be made in time."""
        if process is None:
            return
        process.join(ROWS_SECONDS_MAX)
        if process.exitcode != 0:
            process.kill()
            raise RuntimeError("the rows of the catalogue could not be made")
        self._rows.note()

    async def fill_tantivy(self) -> bool:
        """Fill the index of the data directory; False where it is there."""
        if self._index.is_made:
            return False
        shutil.rmtree(self.data_dir / "index", ignore_errors=True)
        index = await TantivyCatalogIndex.open(self.data_dir / "index", codec=CODEC)
        await index.rebuild(stream(self.documents))
        await index.close()
        self._index.note()
        return True

    async def fill_elasticsearch(self, settings: ElasticsearchSettings) -> None:
        """Fill the index of a server, which forgets it when it is closed."""
        index = ElasticsearchCatalogIndex(settings, codec=CODEC)
        await index.rebuild(stream(self.documents))
        await index.close()


class _Part:
    """Whether a part was made to its end, in the form that is wanted now."""

    def __init__(self, mark: Path, form: str) -> None:
        self._mark = mark
        self._form = form

    @property
    def is_made(self) -> bool:
        return self._mark.exists() and self._mark.read_text() == self._form

    def note(self) -> None:
        self._mark.write_text(self._form)


async def stream(documents: int) -> AsyncIterator[SearchDocument]:
    """The documents, with a turn of the event loop now and then."""
    for number, document in enumerate(Corpus().documents(documents)):
        if number % 100 == 0:
            await asyncio.sleep(0)
        yield document


def write_rows(data_dir: Path, documents: int) -> None:
    """Write the rows as harvests would have left them, already marked as indexed."""
    path = DataDirectory(data_dir).database("catalog")
    asyncio.run(_make_tables(path))
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def lose_all_on_a_crash(connection: Any, _record: Any) -> None:
        # A half-written file is made anew.
        connection.execute("PRAGMA synchronous=OFF")

    left = Corpus().documents(documents)
    while batch := list(islice(left, ROWS_AT_ONCE)):
        with engine.begin() as connection:
            connection.execute(insert(DATASETS), rows_of(batch))
    engine.dispose()


def rows_of(documents: Sequence[SearchDocument], *, indexed_revision: int = 1) -> list[dict[str, Any]]:
    """Rows of ``datasets`` that have these documents."""
    return [row_of(entry(document), ()) | {"indexed_revision": indexed_revision} for document in documents]


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


def catalog_store(url: str) -> Store:
    """Catalog's own store at an address."""
    return Store(
        url, service="catalog", metadata=METADATA, tables=DELIVERY, migrations=MIGRATIONS, clock=SystemClock()
    )


async def _make_tables(path: Path) -> None:
    store = catalog_store(sqlite_url(path))
    await store.open()
    await store.close()
