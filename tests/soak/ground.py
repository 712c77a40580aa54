"""The real servers that a soak stands on: its own, gone with it."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.elasticsearch import Elasticsearch
from tests.servers.jars import cache_directory
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres

__all__ = ["Ground", "folder_of_its_own", "real_servers"]


@dataclass(frozen=True, slots=True)
class Ground:
    """Three running servers, and a folder."""

    kafka: Kafka
    postgres: Postgres
    elasticsearch: Elasticsearch
    folder: Path

    def pids(self) -> dict[str, int]:
        """The process of each server, by name."""
        servers = [*self.kafka.brokers, self.postgres.server, self.elasticsearch.server]
        return {f"server {server.name}": server.pid for server in servers if server.pid is not None}


@contextmanager
def folder_of_its_own() -> Iterator[Path]:
    """A temporary folder; it goes with the block."""
    with tempfile.TemporaryDirectory(prefix="nutmeg-soak-") as name:
        yield Path(name)


@contextmanager
def real_servers(*, brokers: int = 1, elasticsearch_heap_mb: int = 512) -> Iterator[Ground]:
    """Start Kafka (512 MB of heap each), PostgreSQL and Elasticsearch; all end with the block."""
    cache = cache_directory()
    with ExitStack() as closing:
        folder = closing.enter_context(folder_of_its_own())
        servers = (
            Kafka(cache, brokers=brokers),
            Postgres(),
            Elasticsearch(cache, heap_mb=elasticsearch_heap_mb),
        )
        for server in servers:
            closing.callback(server.close)
        for server in servers:
            server.start()
        yield Ground(*servers, folder)
