"""The profiler's own process: reads one request per line, answers one line, and is made to be killed.

Run as ``python -m services.quality.profiling.duckdb.child``. A file is untrusted: it is read by a process
with a memory limit, without a network, without extensions and with access to that one file. The process ends
with its parent, at the end of its input, and by itself when a request takes longer than it may.
"""

import json
import os
import re
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

import duckdb

from services.quality.profiling.duckdb.data_file import DataFile, NotATableError, open_data_file
from services.quality.profiling.duckdb.exits import EXIT_OUT_OF_MEMORY, EXIT_OVERDUE
from services.quality.profiling.duckdb.table_profile import profile_table

NICENESS = 5
WATCH_SECONDS = 0.05
DEADLINE_MARGIN_SECONDS = 5.0
"""The parent kills at the timeout; the process ends itself a little later, should the parent be gone."""
RESIDENT_MARGIN_MB = 192
"""Memory of the interpreter, of DuckDB's code and of the copies that DuckDB does not count."""
MESSAGE_CHARACTERS_MAX = 300

_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MB = 1024 * 1024


class ResourceWatch:
    """Ends the process when its parent is gone, or the request takes more time or memory than it may.

    DuckDB lets other threads run while it works.
    """

    def __init__(self) -> None:
        self._parent_id = os.getppid()
        self._deadline: float | None = None
        self._resident_bytes_max: int | None = None

    def start(self) -> None:
        """ResourceWatch from a thread of its own, for as long as the process lives."""
        threading.Thread(target=self._run, daemon=True, name="watch").start()

    def allow(self, timeout_seconds: float, memory_mb: int) -> None:
        """A request begins; it may take so much."""
        self._deadline = time.monotonic() + timeout_seconds + DEADLINE_MARGIN_SECONDS
        self._resident_bytes_max = (memory_mb + RESIDENT_MARGIN_MB) * _MB

    def rest(self) -> None:
        """The request is answered."""
        self._deadline = None
        self._resident_bytes_max = None

    def _run(self) -> None:
        while True:
            time.sleep(WATCH_SECONDS)
            deadline, resident_bytes_max = self._deadline, self._resident_bytes_max
            if os.getppid() != self._parent_id or (deadline is not None and time.monotonic() > deadline):
                os._exit(EXIT_OVERDUE)
            if resident_bytes_max is not None and _resident_bytes() > resident_bytes_max:
                os._exit(EXIT_OUT_OF_MEMORY)


def _resident_bytes() -> int:
    """Memory that this process really holds; 0 where the system does not tell.

    Address space says nothing here: DuckDB reserves many times what it uses, and a limit on it
    (``RLIMIT_AS``) crashes the process on wide tables that need little memory.
    """
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def connect(
    data: DataFile, work_dir: Path, memory_mb: int, spill_bytes_max: int
) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "memory_limit": f"{memory_mb}MiB",
            "temp_directory": str(work_dir / "spill"),
            "max_temp_directory_size": f"{spill_bytes_max}B",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
        },
    )
    path = str(data.path).replace("'", "''")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    connection.execute(f"SET allowed_paths = ['{path}']")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _profile(request: dict[str, Any]) -> dict[str, Any]:
    work_dir = Path(request["work_dir"])
    size_bytes_max = int(request["size_bytes_max"])
    data = open_data_file(Path(request["path"]), request["media_type"], work_dir, size_bytes_max)
    connection = connect(data, work_dir, int(request["memory_mb"]), 4 * size_bytes_max)
    try:
        fields = profile_table(
            connection, data, rows_max=int(request["rows_max"]), columns_max=int(request["columns_max"])
        )
    finally:
        connection.close()
    return {
        **fields,
        "size_bytes": data.size_bytes,
        "sha256": data.sha256,
        "format": data.format,
        "encoding": data.encoding,
    }


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """``{"profile": …}``, or ``{"error": "unreadable" | "memory", "message": …}`` for a bad file."""
    try:
        return {"profile": _profile(request)}
    except (MemoryError, duckdb.OutOfMemoryException):
        return {"error": "memory", "message": ""}
    except NotATableError as error:
        return {"error": "unreadable", "message": f"The file {error}."}
    except duckdb.Error as error:
        first_line = re.sub(r"^[A-Z][A-Za-z ]* Error: ", "", str(error).partition("\n")[0])
        words = re.sub(rf"{re.escape(request['work_dir'])}/\w+", "the file", first_line)
        return {
            "error": "unreadable",
            "message": f"The file cannot be read. {words[:MESSAGE_CHARACTERS_MAX]}",
        }
    except OSError as error:
        return {"error": "unreadable", "message": f"The file cannot be opened: {error.strerror or error}"}


def serve(requests: BinaryIO, answers: BinaryIO, watch: ResourceWatch) -> None:
    """Say that all is loaded, then answer until the input ends."""
    _send(answers, {"ready": True})
    for line in requests:
        request = json.loads(line)
        watch.allow(float(request["timeout_seconds"]), int(request["memory_mb"]))
        _send(answers, answer(request))
        watch.rest()


def _send(answers: BinaryIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    answers.flush()


def main() -> None:
    """Keep the pipe to the parent for answers alone: whatever a library prints goes to standard error."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    duckdb.connect(":memory:").execute("SELECT 1").close()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    watch = ResourceWatch()
    watch.start()
    serve(sys.stdin.buffer, answers, watch)


if __name__ == "__main__":
    main()
