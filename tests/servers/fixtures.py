"""The real servers as pytest fixtures, started when a test first asks for one.

``real_kafka``, ``real_elasticsearch`` and ``real_postgres`` are addresses of servers that the whole session
shares: take names of your own (topics, indices, databases), and break nothing. A test that breaks things asks
``own_servers`` for servers of its module's own.

Where Java, Maven or PostgreSQL is missing, these tests skip and say so; where ``CI`` is set, they fail.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

from tests.servers.elasticsearch import Elasticsearch
from tests.servers.jars import cache_directory
from tests.servers.kafka import Kafka
from tests.servers.missing import ServerMissingError
from tests.servers.postgres import Postgres
from tests.servers.sharing import AnyServer, shared_server

__all__ = ["OwnServers", "own_servers", "real_elasticsearch", "real_kafka", "real_postgres"]

CACHE = pytest.StashKey[Path]()
S = TypeVar("S", bound=AnyServer)


def pytest_configure(config: pytest.Config) -> None:
    """Look up the cache before the suite takes every ``NUTMEG_…`` variable away."""
    config.stash[CACHE] = cache_directory()


class OwnServers:
    """Starts servers that nobody else uses; they end with the module that asked for them."""

    def __init__(self, cache: Path, closing: ExitStack) -> None:
        self._cache = cache
        self._closing = closing

    def kafka(self, *, brokers: int = 1, settings: dict[str, str] | None = None) -> Kafka:
        """Start a Kafka cluster."""
        try:
            return self._started(Kafka(self._cache, brokers=brokers, settings=settings))
        except ServerMissingError as error:
            _unavailable(error)

    def elasticsearch(self, *, settings: dict[str, str] | None = None) -> Elasticsearch:
        """Start an Elasticsearch node."""
        try:
            return self._started(Elasticsearch(self._cache, settings=settings))
        except ServerMissingError as error:
            _unavailable(error)

    def postgres(self, *, settings: dict[str, str] | None = None) -> Postgres:
        """Start a PostgreSQL server."""
        try:
            return self._started(Postgres(settings=settings))
        except ServerMissingError as error:
            _unavailable(error)

    def _started(self, server: S) -> S:
        self._closing.callback(server.close)
        server.start()
        return server


@pytest.fixture(scope="session")
def real_kafka(request: pytest.FixtureRequest) -> Iterator[str]:
    """``host:port`` of a Kafka broker."""
    yield from _shared("kafka", request)


@pytest.fixture(scope="session")
def real_elasticsearch(request: pytest.FixtureRequest) -> Iterator[str]:
    """``http://host:port`` of an Elasticsearch node."""
    yield from _shared("elasticsearch", request)


@pytest.fixture(scope="session")
def real_postgres(request: pytest.FixtureRequest) -> Iterator[str]:
    """SQLAlchemy's URL of a PostgreSQL server, without a database: append ``/`` and a name."""
    yield from _shared("postgres", request)


@pytest.fixture(scope="module")
def own_servers(request: pytest.FixtureRequest) -> Iterator[OwnServers]:
    """Servers of this module's own, to be stopped, killed and paused."""
    with ExitStack() as closing:
        yield OwnServers(request.config.stash[CACHE], closing)


def _shared(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    base = factory.getbasetemp()
    # Under pytest-xdist each worker has a folder of its own in the session's.
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    try:
        with shared_server(kind, folder, request.config.stash[CACHE]) as address:
            yield address
    except ServerMissingError as error:
        _unavailable(error)


def _unavailable(error: ServerMissingError) -> NoReturn:
    if os.environ.get("CI", "").lower() in {"", "0", "false"}:
        pytest.skip(f"REAL SERVERS NOT TESTED: {error}")
    pytest.fail(f"in CI the real servers are tested, never skipped: {error}")
