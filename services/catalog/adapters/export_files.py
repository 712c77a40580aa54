"""The public catalogue as a file that is written anew only when the catalogue changed."""

import asyncio
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.adapters.sql_datasets import CATALOGUE_REVISION
from services.catalog.adapters.tables import COUNTERS, DATASETS
from services.catalog.domain.dcat_export import Installation, export_catalog, export_dataset
from shared.datasets.read_model import visible_to
from shared.events.catalog import DatasetState
from shared.identity.viewer import ANONYMOUS
from shared.store.engine import Store

__all__ = ["ExportFiles"]

DATASETS_PER_PAGE = 200


class ExportFiles:
    """Writes ``/data.json`` (DCAT-US 1.1) into ``folder`` and hands out the file."""

    def __init__(self, store: Store, folder: Path, installation: Installation) -> None:
        self._store = store
        self._folder = folder
        self._installation = installation
        self._writing = asyncio.Lock()

    async def catalogue(self) -> tuple[Path, str]:
        """The file of today's public catalogue, and its ETag."""
        async with self._writing, self._store.read() as connection:
            revision = await connection.scalar(
                select(COUNTERS.c.value).where(COUNTERS.c.name == CATALOGUE_REVISION)
            )
            name = f"data-{revision or 0}-{self._fingerprint()}.json"
            path = self._folder / name
            if not path.exists():
                await self._write(connection, path)
            return path, f'"{path.stem}"'

    async def _write(self, connection: AsyncConnection, path: Path) -> None:
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        head, tail = export_catalog((), self._installation)
        with await asyncio.to_thread(partial.open, "wb") as file:
            file.write(head)
            separator = b"\n"
            after: str | None = None
            while True:
                page = (
                    select(DATASETS.c.dataset_id, DATASETS.c.state)
                    .where(visible_to(ANONYMOUS, DATASETS))
                    .order_by(DATASETS.c.dataset_id)
                    .limit(DATASETS_PER_PAGE)
                )
                if after is not None:
                    page = page.where(DATASETS.c.dataset_id > after)
                rows = (await connection.execute(page)).all()
                if not rows:
                    break
                await asyncio.to_thread(self._write_page, file, [row.state for row in rows], separator)
                separator = b",\n"
                after = rows[-1].dataset_id
            file.write(tail)
        partial.replace(path)
        # The one before may be on its way to somebody who was given its path a moment ago.
        kept = sorted(self._folder.glob("data-*.json"), key=lambda file: file.stat().st_mtime)[-2:]
        for old in self._folder.glob("data-*.json"):
            if old not in kept:
                old.unlink(missing_ok=True)

    def _write_page(self, file: IO[bytes], documents: Iterable[object], separator: bytes) -> None:
        for document in documents:
            state = DatasetState.model_validate(document)
            file.write(separator + orjson.dumps(export_dataset(state, self._installation)))
            separator = b",\n"

    def _fingerprint(self) -> str:
        return hashlib.sha256(repr(self._installation).encode()).hexdigest()[:12]
