"""How the conformance suite opens each engine. To add one: a context manager, and a line in ENGINES."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from services.catalog.adapters.tantivy_index import TantivyCatalogIndex
from services.catalog.domain.cursor import CursorCodec
from services.catalog.ports import CatalogIndex

CODEC = CursorCodec("the secret of the conformance suite")

Opener = Callable[[Path], AbstractAsyncContextManager[CatalogIndex]]


@asynccontextmanager
async def open_tantivy(folder: Path) -> AsyncIterator[CatalogIndex]:
    """A new tantivy index in a folder of the test's own."""
    index = await TantivyCatalogIndex.open(folder / "index", codec=CODEC)
    try:
        yield index
    finally:
        await index.close()


ENGINES: dict[str, Opener] = {"tantivy": open_tantivy}
