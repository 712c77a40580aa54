"""Profiles files with DuckDB in a process of its own: reused while all goes well, killed when not."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Never

from services.quality.profiling.domain.files import (
    ProfileLimits,
    ProfileMemoryError,
    ProfilerUnavailableError,
    ProfileTimeoutError,
    UnreadableDataError,
)
from services.quality.profiling.domain.profile import ColumnProfile, CommonValue, Profile
from services.quality.profiling.duckdb.exits import EXIT_OUT_OF_MEMORY
from shared.clock import Clock, SystemClock

_CHILD_COMMAND = (sys.executable, "-P", "-m", "services.quality.profiling.duckdb.child")
_PROJECT_ROOT = Path(__file__).resolve().parents[3]
FILES_PER_PROCESS_MAX = 50
START_TIMEOUT_SECONDS = 30.0
ANSWER_BYTES_MAX = 32 * 1024 * 1024
STDERR_CHARACTERS_SHOWN = 300
_MEMORY_EXITS = frozenset({EXIT_OUT_OF_MEMORY, -signal.SIGKILL, -signal.SIGABRT, -signal.SIGBUS})
"""How a process ends that needs too much memory: by its own watch, by the system, or by its allocator."""


class DuckDBProfiler:
    """One file at a time; the first call starts the process. Call :meth:`close` at the end."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        files_per_process_max: int = FILES_PER_PROCESS_MAX,
        work_dir: Path | None = None,
        command: Sequence[str] = _CHILD_COMMAND,
    ) -> None:
        """``work_dir`` takes copies and spilled rows for the time of one profile; default: the system's.

        ``command`` starts the process; another one can stand in for it in a test.
        """
        self._clock = clock or SystemClock()
        self._files_per_process_max = files_per_process_max
        self._work_dir = work_dir
        self._command = tuple(command)
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._files = 0
        self._closed = False

    @property
    def process_id(self) -> int | None:
        """The process that waits for the next file, if one does."""
        return self._process.pid if self._process is not None else None

    async def profile(
        self, source: Path | bytes, media_type: str | None = None, limits: ProfileLimits | None = None
    ) -> Profile:
        """See :class:`~services.quality.profiling.domain.files.Profiler`.

        Waits for its turn outside ``timeout_seconds``.
        """
        async with self._lock:
            job_dir = Path(await asyncio.to_thread(tempfile.mkdtemp, "", "nutmeg-profile-", self._work_dir))
            try:
                path = await asyncio.to_thread(_lay_ready, source, job_dir)
                return await self._profile(path, media_type, limits or ProfileLimits(), job_dir)
            finally:
                await asyncio.to_thread(shutil.rmtree, job_dir, True)

    async def close(self) -> None:
        """End the process for good; profiles under way or waiting get ``ProfilerUnavailableError``."""
        self._closed = True
        await self._kill()

    async def _profile(
        self, path: Path, media_type: str | None, limits: ProfileLimits, job_dir: Path
    ) -> Profile:
        request = {
            "path": str(path),
            "work_dir": str(job_dir),
            "media_type": media_type,
            "memory_mb": limits.memory_mb,
            "timeout_seconds": limits.timeout_seconds,
            "rows_max": limits.rows_max,
            "columns_max": limits.columns_max,
            "size_bytes_max": limits.size_bytes_max,
        }
        answered = False
        try:
            answer = await self._ask(request, limits)
            answered = "profile" in answer
        finally:
            # A process that failed, or whose answer nobody waits for, is not trusted with another file.
            if not answered or self._files >= self._files_per_process_max:
                await self._kill()
        if not answered:
            _raise(answer, limits)
        return _profile_from(answer["profile"], self._clock.now())

    async def _ask(self, request: dict[str, Any], limits: ProfileLimits) -> dict[str, Any]:
        process = await self._running_process()
        self._files += 1
        try:
            async with asyncio.timeout(limits.timeout_seconds):
                line = await _exchange(process, json.dumps(request).encode() + b"\n")
        except TimeoutError as error:
            raise ProfileTimeoutError(
                f"The file could not be profiled within {limits.timeout_seconds:g} seconds. Publish it in "
                "smaller parts, or raise the time limit."
            ) from error
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = await process.wait()
        if self._process is not process:
            raise ProfilerUnavailableError("The profiler was closed.")
        if code in _MEMORY_EXITS:
            return {"error": "memory"}
        crash = UnreadableDataError(f"The file makes the reader crash (exit code {code}).")
        crash.add_note(await _last_words(process))
        raise crash

    async def _running_process(self) -> asyncio.subprocess.Process:
        if self._closed:
            raise ProfilerUnavailableError("The profiler is closed.")
        if self._process is not None and self._process.returncode is None:
            return self._process
        environment = {
            name: value for name in ("PATH", "LANG", "TMPDIR") if (value := os.environ.get(name)) is not None
        }
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**environment, "PYTHONPATH": str(_PROJECT_ROOT)},
                limit=ANSWER_BYTES_MAX,
                start_new_session=True,
            )
        except OSError as error:
            raise ProfilerUnavailableError(f"The profiler's process does not start: {error}.") from error
        self._files = 0
        if self._closed:
            raise ProfilerUnavailableError("The profiler was closed.")
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                ready = await _exchange(self._process, b"")
        except TimeoutError as error:
            raise ProfilerUnavailableError(
                f"The profiler's process is not ready after {START_TIMEOUT_SECONDS:g} seconds."
            ) from error
        if not ready:
            raise ProfilerUnavailableError(
                f"The profiler's process ends at once. {await _last_words(self._process)}"
            )
        return self._process

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await asyncio.shield(process.wait())


async def _exchange(process: asyncio.subprocess.Process, request: bytes) -> bytes:
    """Send, and read one line; empty when the process ended, or broke the protocol."""
    if process.stdin is None or process.stdout is None:
        raise ProfilerUnavailableError("The profiler's process has no pipes.")
    try:
        process.stdin.write(request)
        await process.stdin.drain()
        return await process.stdout.readline()
    except (ConnectionError, ValueError):
        return b""


async def _last_words(process: asyncio.subprocess.Process) -> str:
    if process.stderr is None:
        return ""
    words = await process.stderr.read()
    return words.decode(errors="replace").strip()[-STDERR_CHARACTERS_SHOWN:]


def _lay_ready(source: Path | bytes, job_dir: Path) -> Path:
    """A plain name of our own: DuckDB would read ``*`` and ``?`` in a path as a pattern."""
    path = job_dir / "source"
    if isinstance(source, bytes):
        path.write_bytes(source)
        return path
    if not source.is_file():
        raise UnreadableDataError(f"There is no file at {source}.")
    path.symlink_to(source.resolve())
    return path


def _raise(answer: dict[str, Any], limits: ProfileLimits) -> Never:
    if answer.get("error") == "memory":
        raise ProfileMemoryError(
            f"Profiling the file needs more than {limits.memory_mb} MB of memory. Publish it in smaller "
            "parts, or raise the memory limit."
        )
    raise UnreadableDataError(str(answer.get("message") or "The file cannot be read."))


def _profile_from(fields: dict[str, Any], profiled_at: datetime) -> Profile:
    columns = tuple(
        ColumnProfile(
            **{
                **column,
                "examples": tuple(column["examples"]),
                "commonest": tuple(CommonValue(**one) for one in column.get("commonest", ())),
            }
        )
        for column in fields["columns"]
    )
    preview = tuple(tuple(row) for row in fields["preview"])
    return Profile(**{**fields, "columns": columns, "preview": preview, "profiled_at": profiled_at})
