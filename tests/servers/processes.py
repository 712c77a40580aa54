"""Server processes that end with the process that started them, also when that is killed.

The kernel does this (``PR_SET_PDEATHSIG``), set by a few lines of Python that then become the server. It
watches the *thread* that started the process, so all are started from one thread that lives to the end.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["Server", "ServerError", "free_ports", "give_to", "server_directory", "unprivileged_user"]

UNPRIVILEGED_USER = "nobody"
LOG_BYTES_SHOWN = 2_000
ERROR_LINES_SHOWN = 5
READY_LOOK_SECONDS = 0.1
_STARTER = ThreadPoolExecutor(1, thread_name_prefix="servers")
_TIED = """
import ctypes, os, sys
user, signal_number, parent = (int(text) for text in sys.argv[1:4])
if user >= 0:
    import pwd
    os.setgroups([])
    os.setgid(pwd.getpwuid(user).pw_gid)
    os.setuid(user)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal_number)
if os.getppid() != parent:
    sys.exit(1)
os.execv(sys.argv[4], sys.argv[4:])
"""


class ServerError(Exception):
    """A server did not start or stop in time. The message ends with its log."""


class Server:
    """One server process with its log; it may be stopped, killed, paused and started again."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        directory: Path,
        is_ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        user: int | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = name
        self.log_path = directory / f"{name}.log"
        self._command = list(command)
        self._directory = directory
        self._is_ready = is_ready
        self._environment = {**os.environ, **(environment or {})}
        self._user = user
        self._stop_signal = stop_signal
        self._death_signal = death_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def start(self, *, seconds_max: float = 90.0) -> None:
        """Start, and return once it answers. Raises ``ServerError`` with the log's end if it doesn't."""
        self.begin()
        self.wait_until_ready(seconds_max=seconds_max)

    def begin(self) -> None:
        """Start without waiting."""
        self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        self._process = _STARTER.submit(self._spawn).result()

    def wait_until_ready(self, *, seconds_max: float = 90.0) -> None:
        """Return once it answers. Raises ``ServerError``."""
        until = time.monotonic() + seconds_max
        while not self._is_ready():
            if not self.is_running:
                raise ServerError(f"{self.name} ended while it started:\n{self.log_tail()}")
            if time.monotonic() > until:
                raise ServerError(f"{self.name} does not answer after {seconds_max} s:\n{self.log_tail()}")
            time.sleep(READY_LOOK_SECONDS)

    def stop(self, *, seconds_max: float = 40.0, by: signal.Signals | None = None) -> None:
        """Ask it to end, by its usual signal or another, and wait; kill it if it doesn't. Idempotent."""
        if self._process is None:
            return
        self.resume()
        self._signal(by or self._stop_signal)
        try:
            self._process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerError(f"{self.name} did not stop in {seconds_max} s:\n{self.log_tail()}") from None
        self._process = None

    def kill(self) -> None:
        """``kill -9``. Idempotent."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after a pause."""
        self._signal(signal.SIGCONT)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The number of the process while it runs."""
        return self._process.pid if self._process is not None and self.is_running else None

    def log_since_start(self) -> str:
        """Return what it logged since it was last started."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def log_tail(self) -> str:
        """Return the end of its log, and before it the first lines that tell of errors."""
        log = self.log_since_start()
        errors = [line for line in log.splitlines() if "ERROR" in line or "Exception" in line]
        return "\n".join([*errors[:ERROR_LINES_SHOWN], "…", log[-LOG_BYTES_SHOWN:]])

    def _spawn(self) -> subprocess.Popen[bytes]:
        tie = [str(-1 if self._user is None else self._user), str(int(self._death_signal)), str(os.getpid())]
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _TIED, *tie, *self._command],
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us, and we stop the servers in order
            )

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback address that nothing listens on just now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def unprivileged_user() -> int | None:
    """Return who runs servers that refuse root; ``None`` where we are not root anyway."""
    return pwd.getpwnam(UNPRIVILEGED_USER).pw_uid if os.geteuid() == 0 else None


def server_directory(name: str, user: int | None) -> Path:
    """Make a temporary directory that ``user`` may enter: pytest's own are closed to everybody else."""
    directory = Path(tempfile.mkdtemp(prefix=f"nutmeg-{name}-"))
    if user is not None:
        give_to(directory, user)
    return directory


def give_to(directory: Path, user: int) -> None:
    """Make ``user`` the owner of a directory and all that is in it."""
    group = pwd.getpwuid(user).pw_gid
    for path in (directory, *directory.rglob("*")):
        shutil.chown(path, user, group)
