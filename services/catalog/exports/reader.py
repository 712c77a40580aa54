"""The public catalog as a file that is written anew only when the catalog changed."""

import asyncio
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.dcat.domain.export import Installation, export_catalog, export_dataset
from services.catalog.migrations.tables import CATALOG_REVISION, COUNTERS, DATASETS
from shared.datasets.read_model import visible_to
from shared.events.catalog import DatasetState
from shared.identity.viewer import ANONYMOUS
from shared.store.engine import Store

__all__ = ["CatalogExports"]

DATASETS_PER_PAGE = 200


class CatalogExports:
    """Writes ``/data.json`` (DCAT-US 1.1) into ``folder`` and hands out the file."""

    def __init__(self, store: Store, folder: Path, installation: Installation) -> None:
        self._store = store
        self._folder = folder
        self._installation = installation
        self._writing = asyncio.Lock()
        self._written: tuple[int, Path] | None = None

    async def catalog(self) -> tuple[Path, str]:
        """The file of today's public catalog, and its ETag.

        Both are named for the content and not for the catalog's revision, and an equal file is not touched:
        a hidden record that changes must not be told by a tag or a date.
        """
        async with self._writing, self._store.read() as connection:
            counted = await connection.scalar(
                select(COUNTERS.c.value).where(COUNTERS.c.name == CATALOG_REVISION)
            )
            revision = counted or 0
            if self._written is None or self._written[0] != revision or not self._written[1].exists():
                self._written = revision, await self._write(connection)
            path = self._written[1]
            return path, f'"{path.stem}"'

    async def _write(self, connection: AsyncConnection) -> Path:
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        partial = self._folder / "data.part"
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
        path = self._folder / f"data-{await asyncio.to_thread(_digest, partial)}.json"
        if path.exists():
            partial.unlink()
        else:
            partial.replace(path)
        # The one before may be on its way to somebody who was given its path a moment ago.
        for old in sorted(self._folder.glob("data-*.json"), key=lambda file: file.stat().st_mtime)[:-2]:
            if old != path:
                old.unlink(missing_ok=True)
        return path

    def _write_page(self, file: IO[bytes], documents: Iterable[object], separator: bytes) -> None:
        for document in documents:
            state = DatasetState.model_validate(document)
            file.write(separator + orjson.dumps(export_dataset(state, self._installation)))
            separator = b",\n"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
