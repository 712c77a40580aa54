"""Index directories on disk: one generation answers, a new one is built aside, one rename swaps them.

``CURRENT`` names the generation that answers and says whether it is complete. It is replaced by an atomic
rename, after the new generation's files were committed (tantivy syncs them); so a process killed at any
moment finds either the old complete generation or the new one. Directories that ``CURRENT`` doesn't name
are remains of an unfinished rebuild, and go at the next start.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import tantivy

from services.catalog.search.tantivy.schema import SCHEMA_VERSION, build_schema, register_analysis

_CURRENT = "CURRENT"
_PREFIX = "generation-"


@dataclass(frozen=True, slots=True)
class TantivyGeneration:
    """One opened index. ``needs_rebuild`` tells why it may lack documents, None when it is complete."""

    name: str
    path: Path
    index: tantivy.Index
    schema: tantivy.Schema
    needs_rebuild: str | None


class GenerationDirectory:
    """The folder of one catalogue index."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def open_current(self) -> TantivyGeneration:
        """The generation that answers, or a new empty one where that is missing, older or unreadable.

        An unreadable index is never repaired: catalog's rows are the truth, and building anew is safe.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        name, complete, reason = self._read_current()
        if name is not None:
            self._remove_all_but(name)
            try:
                return self._open(name, None if complete else "It was never filled from the catalogue.")
            except (OSError, ValueError) as error:
                reason = f"The index could not be opened: {error}"
        made = self.create(reason)
        self.make_current(made, complete=False)
        self._remove_all_but(made.name)
        return made

    def create(self, needs_rebuild: str | None = None) -> TantivyGeneration:
        """A new empty generation beside the others."""
        numbers = [int(path.name.removeprefix(_PREFIX)) for path in self._generations()]
        name = f"{_PREFIX}{max(numbers, default=0) + 1:06d}"
        (self._root / name).mkdir()
        return self._open(name, needs_rebuild)

    def make_current(self, generation: TantivyGeneration, *, complete: bool) -> None:
        """Let this generation answer from now on, also after a crash of the machine."""
        body = {"generation": generation.name, "schema_version": SCHEMA_VERSION, "complete": complete}
        beside = self._root / f"{_CURRENT}.new"
        with beside.open("w", encoding="utf-8") as file:
            json.dump(body, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._root / _CURRENT)
        folder = os.open(self._root, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def remove(self, generation: TantivyGeneration) -> None:
        """Delete a generation's files. Searches under way keep theirs open until they end."""
        shutil.rmtree(generation.path, ignore_errors=True)

    def _read_current(self) -> tuple[str | None, bool, str]:
        """The current generation's name, whether it is complete, and the reason where there is none."""
        path = self._root / _CURRENT
        if not path.exists():
            return None, False, "The index is new."
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            name, version, complete = body["generation"], body["schema_version"], body["complete"]
        except (ValueError, KeyError, TypeError):
            return None, False, "The index's own record of its state was unreadable."
        if version != SCHEMA_VERSION:
            return None, False, f"The index is of version {version}, this program writes {SCHEMA_VERSION}."
        if not (isinstance(name, str) and name.startswith(_PREFIX) and (self._root / name).is_dir()):
            return None, False, "The index's files are missing."
        return name, complete is True, ""

    def _open(self, name: str, needs_rebuild: str | None) -> TantivyGeneration:
        path = self._root / name
        schema = build_schema()
        index = tantivy.Index(schema, path=str(path))
        index.config_reader(reload_policy="manual")
        register_analysis(index)
        index.reload()
        return TantivyGeneration(name, path, index, schema, needs_rebuild)

    def _generations(self) -> list[Path]:
        found = self._root.glob(f"{_PREFIX}*")
        return [path for path in found if path.name.removeprefix(_PREFIX).isdigit()]

    def _remove_all_but(self, name: str) -> None:
        for path in self._generations():
            if path.name != name:
                shutil.rmtree(path, ignore_errors=True)
