"""One server for all processes of a test session (pytest-xdist starts several), started when first asked for.

A *keeper* process owns the server and stops it when nobody uses it any more. Users hold a shared ``flock``,
which the kernel drops with them, so that a killed test session leaves nothing running.
"""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from tests.servers.elasticsearch import Elasticsearch
from tests.servers.jars import cache_directory
from tests.servers.kafka import Kafka
from tests.servers.missing import ServerMissingError
from tests.servers.postgres import Postgres
from tests.servers.processes import ServerError

__all__ = ["KINDS", "AnyServer", "keep", "shared_server"]

ROOT = Path(__file__).parents[2]
LOOK_SECONDS = 0.2
STOP_SECONDS_MAX = 60
_KEEPERS: dict[tuple[str, Path], subprocess.Popen[str]] = {}


class AnyServer(Protocol):
    """What the three have in common."""

    @property
    def address(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def close(self) -> None: ...


KINDS: dict[str, Callable[[Path], AnyServer]] = {
    "kafka": Kafka,
    "elasticsearch": Elasticsearch,
    "postgres": lambda _cache: Postgres(),
}


@contextmanager
def shared_server(kind: str, folder: Path, cache: Path) -> Iterator[str]:
    """Yield the address of the session's server of one kind; ``folder`` is the session's own.

    Raises ``ServerMissingError`` where the machine lacks something, ``ServerError`` if it does not start.
    """
    with _users(kind, folder) as users:
        with _starting(kind, folder):
            fcntl.flock(users, fcntl.LOCK_SH)
            place = folder / f"{kind}.address"
            if not place.exists():
                place.write_text(_start_keeper(kind, folder, cache))
            address = place.read_text()
        yield address
        fcntl.flock(users, fcntl.LOCK_UN)
        is_last = _locks_alone(users)
    if is_last and (kind, folder) in _KEEPERS:
        _KEEPERS.pop((kind, folder)).wait(STOP_SECONDS_MAX)


def keep(kind: str, folder: Path) -> None:
    """Start a server, say its address or the failure on stdout as JSON, and stop it once nobody uses it."""
    try:
        server = KINDS[kind](cache_directory())
        try:
            server.start()
            print(json.dumps({"address": server.address}), flush=True)
            while not _is_unused(kind, folder):
                time.sleep(LOOK_SECONDS)
        finally:
            server.close()
    except ServerMissingError as error:
        print(json.dumps({"missing": str(error)}), flush=True)
    except ServerError as error:
        print(json.dumps({"failed": str(error)}), flush=True)


def _start_keeper(kind: str, folder: Path, cache: Path) -> str:
    """Return the address of a new server."""
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.servers", "keep", kind, str(folder)],
        cwd=ROOT,
        env={**os.environ, "NUTMEG_SERVERS_CACHE": str(cache)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _KEEPERS[kind, folder] = keeper
    assert keeper.stdout is not None
    with keeper.stdout:
        line = keeper.stdout.readline()
    answer = json.loads(line) if line else {"failed": f"the keeper of {kind} ended without a word"}
    if "missing" in answer:
        raise ServerMissingError(answer["missing"])
    if "failed" in answer:
        raise ServerError(answer["failed"])
    return str(answer["address"])


def _is_unused(kind: str, folder: Path) -> bool:
    """Tell whether nobody uses the server any more; then nobody will: the next user starts a new one."""
    with _starting(kind, folder), _users(kind, folder) as users:
        if not _locks_alone(users):
            return False
        (folder / f"{kind}.address").unlink(missing_ok=True)
        return True


def _users(kind: str, folder: Path) -> IO[str]:
    return (folder / f"{kind}.users").open("a")


@contextmanager
def _starting(kind: str, folder: Path) -> Iterator[None]:
    with (folder / f"{kind}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _locks_alone(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
