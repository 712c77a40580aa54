"""What the host itself keeps in a data directory: the lock, two secrets, and where a server answers."""

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from shared.log.sqlite.file_lock import FileLock, lock_directory

__all__ = ["DataDirectory", "ServerAddress"]

OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where the server of a data directory answers, as written to ``server.json``."""

    pid: int
    port: int
    base_url: str
    local_url: str
    """The address on this machine; ``base_url`` may be a proxy's."""


class DataDirectory:
    """Paths below one directory, and the small files among them. Secrets are readable by their owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    @property
    def signing_key(self) -> Path:
        return self.path / "signing-key"

    @property
    def admin_token(self) -> Path:
        return self.path / "admin-token"

    @property
    def demo_state(self) -> Path:
        return self.path / "demo.json"

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def mail(self) -> Path:
        return self.path / "mail"

    @property
    def index(self) -> Path:
        return self.path / "index"

    @property
    def _server(self) -> Path:
        return self.path / "server.json"

    def database(self, service: str) -> Path:
        """Return the file of one service's database."""
        return self.path / f"{service}.sqlite3"

    def create(self) -> None:
        """Make the directory, and let nobody but its owner read what is in it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (self.path, *self._entries()):
            mode = stat.S_IMODE(path.stat().st_mode)
            # A signing key that others could read is for a person to look into: it may have been read.
            if mode & OTHERS and path != self.signing_key:
                path.chmod(mode & ~OTHERS)

    def _entries(self) -> Iterator[Path]:
        """Yield what stands in the directory and in the log's; what lies deeper is out of reach with them."""
        for folder in (self.path, self.log):
            if folder.is_dir():
                yield from (path for path in folder.iterdir() if not path.is_symlink())

    def lock(self) -> FileLock:
        """Take the directory for this process. Raises ``LogBusyError`` naming the process that has it."""
        self.create()
        return lock_directory(self.path)

    def read_admin_token(self) -> str | None:
        """Return the first operator's token, or ``None`` before the first start."""
        try:
            return self.admin_token.read_text().strip() or None
        except FileNotFoundError:
            return None

    def write_admin_token(self, token: str) -> None:
        """Keep the token in a file of mode 0600, whole or not at all."""
        _write_secret(self.admin_token, token + "\n")

    def write_server(self, port: int, base_url: str, local_url: str) -> None:
        """Tell commands where the server of this directory answers."""
        address = ServerAddress(os.getpid(), port, base_url, local_url)
        _write_secret(self._server, json.dumps(asdict(address)) + "\n")

    def remove_server(self) -> None:
        """Take that back. Idempotent."""
        self._server.unlink(missing_ok=True)

    def read_server(self) -> ServerAddress | None:
        """Return what the last server wrote. It counts only while its process holds the lock."""
        try:
            return ServerAddress(**json.loads(self._server.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None


def _write_secret(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
