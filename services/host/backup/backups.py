"""Backups of a data directory: every file as it was at one moment, taken while a server works on it.

The moment is made with SQLite's own locks. Each database and the log is locked for writing, then read from
by a second connection, whose snapshot stays as it is however long the copying takes; then the locks go, after
some milliseconds. Files on their way (feeds, mail) get a second name at that moment. So a backup is what
``kill -9`` would have left: no database knows what another has lost, and a start goes on from there.

Left out is what is built anew (index, exports) and what belongs to a process (locks, its address).
"""

import contextlib
import hashlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from shared.bounded_json import JSONLimits, loads
from shared.errors import NutmegError
from shared.store.sqlite_integrity import damage_of

__all__ = ["Backup", "back_up", "check_backup", "restore_backup"]

FORMAT = 1
MANIFEST_LIMITS = JSONLimits(bytes_max=64 * 1024 * 1024, elements_max=5_000_000)
"""One entry for each mail and feed: far more than a directory holds."""
MANIFEST = "manifest.json"
DATABASES = "*.sqlite3"
LOG = Path("log", "log.sqlite3")
SECRETS = frozenset({"signing-key", "admin-token"})
LEFT_OUT = frozenset({"index", "exports", "log", "nutmeg.lock", "server.json"})
LINKS = ".backup"
LOCK_SECONDS = 2.0
"""So long it waits for one writer. Those it holds up meanwhile wait longer than that themselves."""
MOMENT_TRIES_MAX = 20
BETWEEN_TRIES_SECONDS = 0.2
PAGES_PER_STEP = 2_048
CHUNK_BYTES = 1024 * 1024

Progress = Callable[[str, int | None, int | None], None]


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds: the size and SHA-256 of each file, by its path in the data directory."""

    taken_at: str
    version: str
    has_secrets: bool
    files: dict[str, dict[str, Any]]

    @property
    def size_bytes(self) -> int:
        return sum(int(file["bytes"]) for file in self.files.values())

    def document(self) -> dict[str, Any]:
        """Return the manifest as it is written."""
        return {
            "format": FORMAT,
            "version": self.version,
            "taken_at": self.taken_at,
            "has_secrets": self.has_secrets,
            "size_bytes": self.size_bytes,
            "files": self.files,
        }


def back_up(data_dir: Path, folder: Path, *, with_secrets: bool, progress: Progress) -> Backup:
    """Write a backup of ``data_dir`` to ``folder``, which must not exist; it is there whole, or not at all.

    Raises ``NutmegError`` where there is nothing to back up, a copy is not whole, or a writer never pauses.
    """
    if not (data_dir / LOG).is_file():
        raise NutmegError(f"there is no Nutmeg in {data_dir}; name its directory with --data-dir")
    if folder.exists():
        raise NutmegError(f"{folder} exists already; name a folder that does not")
    folder = folder.resolve()
    beside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=0o700, parents=True)
    try:
        backup = _copy_moment(data_dir.resolve(), beside, with_secrets=with_secrets, progress=progress)
        # Written last: a folder without it is not whole.
        _write(beside / MANIFEST, orjson.dumps(backup.document(), option=orjson.OPT_INDENT_2))
        beside.rename(folder)
    except sqlite3.Error as error:
        raise NutmegError(f"{data_dir} cannot be backed up: {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return backup


def check_backup(folder: Path, *, progress: Progress) -> Backup:
    """Compare every file with the manifest. Raises ``NutmegError`` naming the first that differs."""
    backup = _read_manifest(folder)
    for number, (name, file) in enumerate(backup.files.items()):
        progress(f"Checking {name}", number, len(backup.files))
        path = folder / name
        if not path.is_file():
            raise NutmegError(f"{folder} lacks {name}: it is no whole backup")
        if (path.stat().st_size, _sha256(path)) != (file["bytes"], file["sha256"]):
            raise NutmegError(f"{path} is not what was backed up; use another backup")
    return backup


def restore_backup(folder: Path, data_dir: Path, *, progress: Progress) -> Backup:
    """Put a whole backup into a data directory that is empty or not there. The index is built at its start.

    Raises ``NutmegError`` if anything stands there, or the backup is not whole. It comes whole or not at all.
    """
    data_dir = data_dir.resolve()
    if data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir())):
        raise NutmegError(f"{data_dir} is not empty; restore into a new directory, or move that one away")
    backup = check_backup(folder, progress=progress)
    beside = data_dir.with_name(f".{data_dir.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=0o700, parents=True)
    try:
        for number, name in enumerate(backup.files):
            progress(f"Restoring {name}", number, len(backup.files))
            _copy_file(folder / name, beside / name)
        for empty in ("log", "mail"):
            (beside / empty).mkdir(mode=0o700, exist_ok=True)
        if data_dir.exists():
            data_dir.rmdir()
        beside.rename(data_dir)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return backup


def _copy_moment(data_dir: Path, folder: Path, *, with_secrets: bool, progress: Progress) -> Backup:
    databases = [*sorted(path.relative_to(data_dir) for path in data_dir.glob(DATABASES)), LOG]
    links = data_dir / LINKS
    shutil.rmtree(links, ignore_errors=True)
    try:
        with ExitStack() as stack:
            snapshots = _moment(stack, data_dir, databases, links)
            taken_at = datetime.now(UTC).isoformat(timespec="seconds")
            for name, snapshot in snapshots.items():
                _copy_database(snapshot, folder / name, str(name), progress)
        for path in _files(links):
            _copy_file(path, folder / path.relative_to(links))
        for secret in SECRETS if with_secrets else ():
            if (data_dir / secret).is_file():
                _copy_file(data_dir / secret, folder / secret)
    finally:
        shutil.rmtree(links, ignore_errors=True)
    progress("Adding up", None, None)
    files = {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for path in _files(folder)
    }
    return Backup(taken_at, version("nutmeg"), with_secrets, files)


def _moment(
    stack: ExitStack, data_dir: Path, databases: list[Path], links: Path
) -> dict[Path, sqlite3.Connection]:
    """Return a connection to each database, all of which see the same moment; link the other files."""
    for attempt in range(MOMENT_TRIES_MAX):
        with ExitStack() as locks:
            try:
                for name in databases:
                    locks.enter_context(_connected(data_dir / name)).execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                if attempt + 1 == MOMENT_TRIES_MAX:
                    raise
            else:
                snapshots = {name: stack.enter_context(_connected(data_dir / name)) for name in databases}
                for snapshot in snapshots.values():
                    snapshot.execute("BEGIN")
                    snapshot.execute("SELECT count(*) FROM sqlite_schema").fetchall()
                _link_files(data_dir, links)
                return snapshots
        time.sleep(BETWEEN_TRIES_SECONDS)
    raise AssertionError("unreachable")  # pragma: no cover


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)) as connection:
        try:
            yield connection
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _link_files(data_dir: Path, links: Path) -> None:
    links.mkdir(mode=0o700)
    for top in sorted(data_dir.iterdir()):
        if top.name in LEFT_OUT | SECRETS or top.name.startswith(".") or ".sqlite3" in top.name:
            continue
        for path in [top] if top.is_file() else _files(top):
            target = links / path.relative_to(data_dir)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Mail may be fetched, and a harvest may end, between the listing and this.
            with contextlib.suppress(FileNotFoundError):
                _link(path, target)


def _link(path: Path, target: Path) -> None:
    try:
        os.link(path, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(path, target)  # a file system without a second name for a file


def _copy_database(snapshot: sqlite3.Connection, target: Path, name: str, progress: Progress) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(target, b"")
    with contextlib.closing(sqlite3.connect(target)) as copy:
        snapshot.backup(
            copy,
            pages=PAGES_PER_STEP,
            progress=lambda _status, left, total: progress(f"Copying {name}", total - left, total),
        )
    if (damage := damage_of(target, thorough=False)) is not None:
        raise NutmegError(f"the copy of {name} is damaged ({damage}), and so is what it was copied from")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _copy_file(path: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with path.open("rb") as source, os.fdopen(descriptor, "wb") as copy:
        shutil.copyfileobj(source, copy, CHUNK_BYTES)
        copy.flush()
        os.fsync(copy.fileno())


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(folder: Path) -> Backup:
    try:
        document = loads((folder / MANIFEST).read_bytes(), MANIFEST_LIMITS)
        if document["format"] != FORMAT:
            raise NutmegError(
                f"{folder} was written by Nutmeg {document['version']}; restore it with that version"
            )
        backup = Backup(
            document["taken_at"], document["version"], document["has_secrets"], dict(document["files"])
        )
    except FileNotFoundError as error:
        raise NutmegError(f"{folder} has no {MANIFEST}: it is no whole backup") from error
    except (ValueError, KeyError, TypeError) as error:
        raise NutmegError(f"{folder / MANIFEST} cannot be read: it is no whole backup") from error
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in backup.files):
        raise NutmegError(f"{folder / MANIFEST} names files outside of its folder; it is no backup of ours")
    return backup
