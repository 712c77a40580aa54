"""A process that starts before its servers answers probes and waits, and ends when it is told to."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from shared.process.settings import ProcessSettings
from tests.architecture.project import EVENT_SERVICES, PROJECT_ROOT
from tests.deploy.files import compose_processes, image_environment

SECONDS_MAX = 90
UNKNOWN, CLOSED = "postgres.invalid:5432", "127.0.0.1:1"


@contextmanager
def started(name: str, database: str, data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a process of the compose file with its own command and settings, but for where its servers are."""
    process = compose_processes()[name]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    moved = {
        key: value.replace("@postgres:5432", f"@{database}").replace("kafka:9092", "127.0.0.1:1")
        for key, value in process.environment.items()
    }
    here = {"NUTMEG_HOST": "127.0.0.1", "NUTMEG_PORT": str(port), "NUTMEG_DATA_DIR": str(data_dir)}
    running = subprocess.Popen(
        [sys.executable, *process.command[1:]],
        cwd=PROJECT_ROOT,
        env={"PATH": os.environ["PATH"], **image_environment(), **moved, **here},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield running, f"http://127.0.0.1:{port}"
    finally:
        running.kill()
        running.communicate()


def answer(running: subprocess.Popen[str], url: str, name: str) -> httpx.Response:
    """Ask by the name of the edge, which hands on what it was asked by, until there is an answer."""
    ends_at = time.monotonic() + SECONDS_MAX
    while time.monotonic() < ends_at and running.poll() is None:
        try:
            return httpx.get(url, headers={"Host": "edge:8080"}, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"{name} does not answer at {url}")


def line_with(running: subprocess.Popen[str], word: str) -> str:
    """Return the first line of the log that has ``word``."""
    assert running.stderr is not None
    return next(line for line in running.stderr if word in line)


@pytest.mark.parametrize(
    ("name", "database"),
    [
        pytest.param("catalog-api", UNKNOWN, id="api, unknown name"),
        pytest.param("usage-worker", UNKNOWN, id="worker, unknown name"),
        pytest.param("usage-worker", CLOSED, id="worker, closed port"),
    ],
)
def test_a_process_waits_for_its_database_alive_and_not_ready(
    name: str, database: str, tmp_path: Path
) -> None:
    service = name.split("-")[0]
    with started(name, database, tmp_path) as (running, url):
        assert f"the store of {service} is away" in line_with(running, "cannot start yet")
        assert answer(running, f"{url}/healthz", name).status_code == 200
        ready = answer(running, f"{url}/readyz", name)
        assert (ready.status_code, len(ready.json()["causes"])) == (503, 1)
        running.send_signal(signal.SIGTERM)
        assert running.wait(ProcessSettings.model_fields["stop_seconds"].default + SECONDS_MAX) == 0


def test_operations_waits_for_databases_and_says_which_are_not_open(tmp_path: Path) -> None:
    with started("operations", CLOSED, tmp_path) as (running, url):
        assert "is away" in line_with(running, "cannot start yet")
        assert answer(running, f"{url}/healthz", "operations").status_code == 200
        ready = answer(running, f"{url}/readyz", "operations")
        assert ready.status_code == 503
        assert sorted(ready.json()["causes"]) == [
            f"{name} is not open yet" for name in sorted(EVENT_SERVICES)
        ]
        assert answer(running, f"{url}/api/v1/ops/status", "operations").status_code == 401
        described = answer(running, f"{url}/api/v1/openapi.json", "operations").json()
        assert {"/api/v1/datasets", "/api/v1/ops/status"} <= described["paths"].keys()
        running.send_signal(signal.SIGTERM)
        assert running.wait(ProcessSettings.model_fields["stop_seconds"].default + SECONDS_MAX) == 0
