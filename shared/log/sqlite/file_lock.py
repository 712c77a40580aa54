"""Locks between processes that free themselves when their holder dies, also by ``kill -9``.

``flock`` belongs to the open file, so the kernel drops it with the process; a file with a process id in it
would outlive its writer. The id is written all the same, only to name the holder in the message.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from shared.errors import LogBusyError

__all__ = ["FileLock", "lock_directory"]

DIRECTORY_LOCK_NAME = "nutmeg.lock"


class FileLock:
    """An exclusive ``flock`` on a file. ``what`` names the locked thing in messages."""

    def __init__(self, path: Path, *, what: str) -> None:
        self.path = path
        self.what = what
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock at once. Raises ``LogBusyError`` naming the holder if somebody has it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise LogBusyError(
                f"{self.what} is in use by process {holder}; stop that process, "
                f"or find the holder with: fuser {self.path}"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def release(self) -> None:
        """Give the lock back. Idempotent. The file stays: without it, two processes could lock two files."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        if not self.held:
            self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lock_directory(directory: Path) -> FileLock:
    """Take a data directory for this process. Raises ``LogBusyError`` if another process works in it."""
    lock = FileLock(directory / DIRECTORY_LOCK_NAME, what=f"data directory {directory}")
    lock.acquire()
    return lock
