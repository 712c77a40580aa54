"""PostgreSQL, as the system has it (15 on Debian 12)."""

import glob
import shutil
import signal
import subprocess
from pathlib import Path

from tests.servers.missing import require_program
from tests.servers.processes import (
    Server,
    ServerError,
    free_ports,
    give_to,
    server_directory,
    unprivileged_user,
)

__all__ = ["Postgres"]

INSTALLED = "/usr/lib/postgresql/*/bin"
INITDB_SECONDS_MAX = 60
SUPERUSER = "postgres"


class Postgres:
    """One server with the databases that tests create. ``settings`` go to it as ``-c name=value``.

    Raises ``ServerMissingError`` where PostgreSQL is absent.
    """

    def __init__(self, *, settings: dict[str, str] | None = None) -> None:
        initdb, server, is_ready = (_program(name) for name in ("initdb", "postgres", "pg_isready"))
        user = unprivileged_user()
        self._directory = server_directory("postgres", user)
        (self._port,) = free_ports(1)
        data = self._directory / "data"
        _initialise([initdb, "-D", str(data), "-U", SUPERUSER], self._directory, user)
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self._directory),
            "max_connections": "200",
            "fsync": "off",  # what was written outlives kill -9 all the same; only a machine's crash loses it
            **(settings or {}),
        }
        given = [text for name, value in options.items() for text in ("-c", f"{name}={value}")]
        probe = [is_ready, "-q", "-h", "127.0.0.1", "-p", str(self._port)]
        self.server = Server(
            "postgres",
            [server, "-D", str(data), "-p", str(self._port), *given],
            directory=self._directory,
            is_ready=lambda: subprocess.run(probe, check=False).returncode == 0,
            user=user,
            stop_signal=signal.SIGINT,  # "fast": transactions are rolled back, clients sent away
            death_signal=signal.SIGQUIT,
        )
        if user is not None:
            self.server.log_path.touch()
            give_to(self._directory, user)

    @property
    def address(self) -> str:
        """SQLAlchemy's URL without a database: append ``/`` and a name. No password."""
        return f"postgresql+asyncpg://{SUPERUSER}@127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start, and return once it accepts connections."""
        self.server.start()

    def stop(self) -> None:
        """Stop; transactions in progress are rolled back."""
        self.server.stop()

    def stop_at_once(self) -> None:
        """Stop as for an emergency: backends end in the midst of what they do, and the log is replayed."""
        self.server.stop(by=signal.SIGQUIT)

    def kill(self) -> None:
        """``kill -9`` the postmaster; its backends notice and end."""
        self.server.kill()

    def pause(self) -> None:
        """Freeze the postmaster: no new connection is served."""
        self.server.pause()

    def resume(self) -> None:
        """Let it go on."""
        self.server.resume()

    def close(self) -> None:
        """Stop, and remove every file."""
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)


def _program(name: str) -> str:
    folders = sorted(glob.glob(INSTALLED), reverse=True)  # noqa: PTH207 - an absolute pattern
    return require_program(name, "postgresql", path=":".join(folders))


def _initialise(command: list[str], directory: Path, user: int | None) -> None:
    result = subprocess.run(
        [*command, "-A", "trust", "-E", "UTF8", "--no-sync"],
        cwd=directory,
        user=user,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INITDB_SECONDS_MAX,
        check=False,
    )
    if result.returncode != 0:
        raise ServerError(f"initdb failed:\n{result.stdout}{result.stderr}")
