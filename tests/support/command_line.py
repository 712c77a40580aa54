"""Runs the real command line in processes of their own, as people and scripts do."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from services.host.data_directory import DataDirectory

PROJECT_ROOT = Path(__file__).parents[2]
COMMAND_SECONDS = 150
START_SECONDS = 150


def nutmeg(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``nutmeg`` to its end."""
    return subprocess.run(
        _command(*arguments),
        cwd=PROJECT_ROOT,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


@contextmanager
def serving(
    *arguments: str | Path, data_dir: Path, ready: str
) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """Run a serving command until it has printed ``ready``; yield it with an operator's client."""
    process = subprocess.Popen(
        _command(*arguments),
        cwd=PROJECT_ROOT,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        _wait_for(process, ready)
        directory = DataDirectory(data_dir)
        address = directory.read_server()
        assert address is not None
        headers = {"Authorization": f"Bearer {directory.read_admin_token()}"}
        with httpx.Client(base_url=address.base_url, headers=headers, timeout=60, trust_env=False) as client:
            yield process, client
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        if process.stdout is not None:
            process.stdout.close()


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _command(*arguments: str | Path) -> list[str]:
    start = "from services.host.cli.app import main; main()"
    return [sys.executable, "-c", start, *(str(argument) for argument in arguments)]


def _environment() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("NUTMEG_")}


def _wait_for(process: "subprocess.Popen[str]", words: str) -> None:
    assert process.stdout is not None
    until = time.monotonic() + START_SECONDS
    for line in process.stdout:
        if words in line:
            return
        assert time.monotonic() < until, f"not ready within {START_SECONDS} s"
    raise AssertionError(f"it ended with {process.wait()} before it was ready")
