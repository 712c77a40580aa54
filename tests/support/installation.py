"""A whole Nutmeg as its users have it: the real command in a process of its own, on a free port."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

__all__ = ["Installation", "free_port", "run_demo", "run_installation"]

NUTMEG = Path(sys.executable).with_name("nutmeg")
START_SECONDS_MAX = 180.0
STOP_SECONDS_MAX = 60.0
COMMAND_SECONDS_MAX = 180.0


@dataclass
class Installation:
    """One data directory, and the server on it while it runs. ``environment`` holds ``NUTMEG_…`` settings.

    ``command`` is ``up``, or ``demo`` for the sample catalogue.
    """

    data_dir: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    command: str = "up"
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve; return once all is well. Raises ``AssertionError`` with the log if it ends."""
        self.port = self.port or free_port()
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        with (self.data_dir.parent / f"{self.data_dir.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [NUTMEG, self.command, "--data-dir", self.data_dir, "--port", str(self.port)],
                env=self._environment(),
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + START_SECONDS_MAX
        # One client: each makes a TLS context, which takes as much processor time as half a start.
        with httpx.Client(base_url=self.base_url, timeout=5) as client:
            while time.monotonic() < until:
                assert self.process.poll() is None, self.log()
                try:
                    ready = client.get("/readyz").json()["status"]
                    if ready == "ok" and self._is_filled():
                        return
                except httpx.TransportError:
                    pass
                time.sleep(0.05)
        raise AssertionError(f"not ready after {START_SECONDS_MAX:.0f} s:\n{self.log()}")

    def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def kill(self) -> None:
        """End it with SIGKILL: nothing gets a chance to be finished."""
        assert self.process is not None
        self.process.kill()
        self._ended()

    def client(self, token: str | None = None) -> httpx.Client:
        """Return a client of the API: with ``token``, else as the administrator; ``""`` is anonymous."""
        secret = self.admin_token if token is None else token
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        return httpx.Client(base_url=self.base_url, headers=headers, timeout=60)

    @property
    def admin_token(self) -> str:
        return (self.data_dir / "admin-token").read_text().strip()

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of the command line on this data directory."""
        return subprocess.run(
            [NUTMEG, *map(str, arguments), "--data-dir", str(self.data_dir)],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )

    def answer(self, *arguments: str | Path) -> Any:
        """Run a command with ``--json`` and return what it answers. It must succeed."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def wait_until_idle(self, timeout_seconds: float = 120.0) -> None:
        """Return once every event is handled and no work is due."""
        with self.client() as client:
            answer = client.post(
                "/api/v1/ops/drain",
                params={"timeout_seconds": timeout_seconds},
                timeout=timeout_seconds + 30,
            )
        assert answer.is_success, answer.text
        assert answer.json()["idle"], answer.json()["busy"]

    def log(self) -> str:
        """Return the end of what the server wrote."""
        path = self.data_dir.parent / f"{self.data_dir.name}.log"
        return path.read_text(errors="replace")[-4_000:] if path.exists() else ""

    def _is_filled(self) -> bool:
        """Whether a demo has its sample; others are filled by the tests."""
        if self.command != "demo":
            return True
        state: dict[str, Any] = json.loads((self.data_dir / "demo.json").read_text())
        return bool(state["is_loaded"])

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "NO_COLOR": "1", "TERM": "dumb", **self.environment}

    def _ended(self) -> int:
        assert self.process is not None
        code = self.process.wait(STOP_SECONDS_MAX)
        self.process = None
        return code


@contextmanager
def run_installation(data_dir: Path, **environment: str) -> Iterator[Installation]:
    """Serve on ``data_dir`` until the block ends; killed if it does not stop by itself."""
    yield from _served(Installation(data_dir, environment))


@contextmanager
def run_demo(data_dir: Path, **environment: str) -> Iterator[Installation]:
    """Serve the sample catalogue, filled, until the block ends."""
    yield from _served(Installation(data_dir, environment, command="demo"))


def _served(installation: Installation) -> Iterator[Installation]:
    installation.start()
    try:
        yield installation
    finally:
        if installation.process is not None:
            try:
                installation.stop()
            except subprocess.TimeoutExpired:
                installation.kill()
                raise


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
