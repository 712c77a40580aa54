"""A whole Nutmeg as a state runs it: each service's api and worker as processes over three real servers."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.support.installation import NUTMEG, free_port

__all__ = ["SERVICES", "Cluster", "run_cluster"]

SERVICES = ("catalog", "governance", "notify", "quality", "usage")
OPERATIONS = "operations"
ROUTES = (
    ("/ops", OPERATIONS),
    ("/docs", OPERATIONS),
    ("/api/v1/ops", OPERATIONS),
    ("/api/v1/openapi.json", OPERATIONS),
    ("/api/v1/quality", "quality"),
    ("/quality", "quality"),
    ("/api/v1/usage", "usage"),
    ("/api/v1/inbox", "notify"),
    ("/inbox", "notify"),
    ("/api/v1/directory", "governance"),
    ("/api/v1/tokens", "governance"),
    ("/api/v1/people", "governance"),
    ("/api/v1/sign-in-codes", "governance"),
    ("/api/v1/sharing-requests", "governance"),
    ("/sign-", "governance"),
    ("/sharing-requests", "governance"),
    ("/directory", "governance"),
    ("/", "catalog"),
)
"""Which service answers what: the first prefix that fits. An ingress has the same map."""

START_SECONDS_MAX = 240.0
STOP_SECONDS_MAX = 60.0
COMMAND_SECONDS_MAX = 180.0


@dataclass
class Process:
    """One api or worker, and the port it answers on."""

    name: str
    port: int
    popen: subprocess.Popen[bytes]


@dataclass
class Cluster:
    """Starts processes with the same settings; ``api`` and ``worker`` by service."""

    folder: Path
    environment: dict[str, str]
    processes: dict[str, Process] = field(default_factory=dict)
    token: str = ""

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the command line with the cluster's settings."""
        return subprocess.run(
            [NUTMEG, *arguments],
            env=self._environment(environment),
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )

    def start(self, service: str, part: str, *, replica: str = "") -> Process:
        """Start one process, or again one that ended, on its port of before; it need not be ready yet."""
        module = f"services.{service}.entrypoints.{'serve' if part == 'api' else part}"
        return self._start(f"{service}-{part}{replica}", module)

    def start_operations(self) -> Process:
        """Start what shows the whole to operators."""
        return self._start(OPERATIONS, "services.host.entrypoints.serve")

    def _start(self, name: str, module: str) -> Process:
        port = self.processes[name].port if name in self.processes else free_port()
        with (self.folder / f"{name}.log").open("ab") as log:
            popen = subprocess.Popen(
                [sys.executable, "-m", module],
                env=self._environment(
                    {
                        "NUTMEG_PORT": str(port),
                        "NUTMEG_KAFKA_REPLICA": f"{name}-1",
                        # As in containers: no process sees another's files.
                        "NUTMEG_DATA_DIR": str(self.folder / name),
                    }
                ),
                stdout=log,
                stderr=log,
            )
        self.processes[name] = Process(name, port, popen)
        return self.processes[name]

    def kill(self, name: str) -> None:
        """``kill -9``: nothing gets a chance to be finished. Its place stays, for :meth:`start`."""
        self.processes[name].popen.kill()
        self.processes[name].popen.wait(STOP_SECONDS_MAX)

    def wait_until_ready(self) -> None:
        """Return once every process says so. Raises ``AssertionError`` with the log of one that ended."""
        until = time.monotonic() + START_SECONDS_MAX
        waiting = dict(self.processes)
        while waiting:
            for name, process in list(waiting.items()):
                assert process.popen.poll() is None, self.log(name)
                if self._is_ready(process):
                    del waiting[name]
            assert time.monotonic() < until, {name: self.log(name) for name in waiting}
            time.sleep(0.1)

    def client(self, token: str | None = None) -> httpx.Client:
        """A client of the whole, by default the operator's; ``""`` is anonymous. Paths find their service."""
        secret = self.token if token is None else token
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        names = {**{name: f"{name}-api" for name in SERVICES}, OPERATIONS: OPERATIONS}
        apis = {service: name for service, name in names.items() if name in self.processes}
        mounts = _Ingress({name: self.processes[api].port for name, api in apis.items()})
        return httpx.Client(base_url="http://127.0.0.1", headers=headers, timeout=120, transport=mounts)

    def log(self, name: str) -> str:
        """The end of what a process wrote."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-4_000:]

    def stop(self) -> dict[str, int]:
        """Ask all to stop; return their exit codes. What does not stop is killed."""
        for process in self.processes.values():
            if process.popen.poll() is None:
                process.popen.send_signal(signal.SIGTERM)
        codes = {}
        for name, process in self.processes.items():
            try:
                codes[name] = process.popen.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.popen.kill()
                codes[name] = process.popen.wait()
        self.processes.clear()
        return codes

    def _is_ready(self, process: Process) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{process.port}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        return {**os.environ, "NO_COLOR": "1", "TERM": "dumb", **self.environment, **more}


class _Ingress(httpx.HTTPTransport):
    """Sends each request to the api that answers its path."""

    def __init__(self, ports: dict[str, int]) -> None:
        super().__init__()
        self._ports = ports

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        service = next(name for prefix, name in ROUTES if request.url.path.startswith(prefix))
        request.url = request.url.copy_with(port=self._ports[service])
        return super().handle_request(request)


def first_token(cluster: Cluster) -> str:
    """Let the first operator in."""
    return cluster.run("operator-token").stdout.strip()


@contextmanager
def run_cluster(
    folder: Path,
    *,
    kafka: str,
    postgres: str,
    elasticsearch: str,
    services: Sequence[str] = SERVICES,
    prepare: Callable[[Cluster], str] = first_token,
    has_operations: bool = False,
    has_stream: bool = False,
    **environment: str,
) -> Iterator[Cluster]:
    """Start apis, workers and what is asked for over new databases and topics; all ends with the block.

    ``prepare`` runs before any process starts, and returns the operator's token.
    """
    name = f"cluster_{uuid4().hex[:8]}"
    databases = [f"{name}_{service}" for service in SERVICES]
    cluster = Cluster(
        folder,
        {
            "NUTMEG_DATABASE_URL": f"{postgres}/{name}_{{service}}",
            "NUTMEG_SIGNING_KEY": secrets.token_hex(32),
            "NUTMEG_DATA_DIR": str(folder),
            "NUTMEG_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "NUTMEG_KAFKA_PREFIX": f"{name}.",
            "NUTMEG_KAFKA_REPLICATION_FACTOR": "1",
            "NUTMEG_CATALOG_ELASTICSEARCH_URL": elasticsearch,
            "NUTMEG_CATALOG_ELASTICSEARCH_INDEX_PREFIX": name.replace("_", "-"),
            **environment,
        },
    )
    asyncio.run(_each(postgres, [f"CREATE DATABASE {database}" for database in databases]))
    try:
        for command in (("migrate", "--profile", "cluster"), ("topics", "create")):
            done = cluster.run(*command)
            assert done.returncode == 0, done.stderr
        cluster.token = prepare(cluster)
        for service in services:
            for part in ("api", "worker"):
                cluster.start(service, part)
        if has_stream:
            cluster.start("usage", "stream")
        if has_operations:
            cluster.start_operations()
        cluster.wait_until_ready()
        yield cluster
    finally:
        cluster.stop()
        drops = [f"DROP DATABASE IF EXISTS {database} WITH (FORCE)" for database in databases]
        asyncio.run(_each(postgres, drops))
        httpx.delete(f"{elasticsearch}/{name.replace('_', '-')}*", timeout=30)


async def _each(postgres: str, statements: Sequence[str]) -> None:
    assert urlsplit(postgres).hostname == "127.0.0.1"
    engine = create_async_engine(f"{postgres}/postgres", isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            for statement in statements:
                await connection.execute(text(statement))
    finally:
        await engine.dispose()
