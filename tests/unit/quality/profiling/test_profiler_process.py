"""The profiler's process is bounded, killed for real, and never left behind."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import duckdb
import pytest
import pytest_asyncio
import uvloop

from services.quality.profiling.domain.files import (
    ProfileLimits,
    ProfileMemoryError,
    ProfilerUnavailableError,
    ProfileTimeoutError,
    UnreadableDataError,
)
from services.quality.profiling.duckdb import child
from services.quality.profiling.duckdb.data_file import DataFile
from services.quality.profiling.duckdb.exits import EXIT_OUT_OF_MEMORY, EXIT_OVERDUE
from services.quality.profiling.duckdb.profiler import DuckDBProfiler

PROJECT_ROOT = Path(__file__).parents[4]
SMALL = b"a,b\n1,2\n"
READY = "import sys, time, os, signal; print('{\"ready\": true}', flush=True); sys.stdin.readline(); "
HUNG = (sys.executable, "-c", READY + "time.sleep(600)")


@pytest_asyncio.fixture
async def profiler(tmp_path: Path) -> AsyncIterator[DuckDBProfiler]:
    work_dir = tmp_path / "work"
    work_dir.mkdir()
    profiler = DuckDBProfiler(work_dir=work_dir)
    yield profiler
    await profiler.close()
    assert list(work_dir.iterdir()) == []


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.csv"
    rows = "".join(f"{n},town {n * 7919 % 100_003},{n * 1.5}\n" for n in range(300_000))
    path.write_text("id,town,amount\n" + rows * 3)
    return path


def is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


async def begun(profiler: DuckDBProfiler) -> int:
    """The process id, once the profiler has one."""
    for _ in range(3_000):
        if profiler.process_id is not None:
            return profiler.process_id
        await asyncio.sleep(0.01)
    raise AssertionError("the profiler has started no process")


async def test_one_process_serves_file_after_file(profiler: DuckDBProfiler) -> None:
    await profiler.profile(SMALL, None)
    first = profiler.process_id
    await profiler.profile(SMALL, None)
    assert first is not None
    assert profiler.process_id == first


async def test_the_process_is_replaced_after_so_many_files() -> None:
    profiler = DuckDBProfiler(files_per_process_max=2)
    await profiler.profile(SMALL, None)
    first = profiler.process_id
    await profiler.profile(SMALL, None)
    assert first is not None
    assert not is_alive(first)
    await profiler.profile(SMALL, None)
    assert profiler.process_id != first
    await profiler.close()


async def test_files_at_the_same_time_take_turns(profiler: DuckDBProfiler) -> None:
    contents = [b"a\n" + b"1\n" * rows for rows in range(1, 9)]
    profiles = await asyncio.gather(*(profiler.profile(content, None) for content in contents))
    assert [profile.row_count for profile in profiles] == list(range(1, 9))


async def test_a_large_file_over_its_time_is_given_up_and_its_process_is_gone(
    profiler: DuckDBProfiler, large_file: Path
) -> None:
    await profiler.profile(SMALL, None)
    process_id = profiler.process_id
    assert process_id is not None
    with pytest.raises(ProfileTimeoutError, match=r"within 0\.2 seconds"):
        await profiler.profile(large_file, None, ProfileLimits(timeout_seconds=0.2))
    assert not is_alive(process_id)
    assert (await profiler.profile(SMALL, None)).row_count == 1


async def test_a_process_that_hangs_is_killed() -> None:
    profiler = DuckDBProfiler(command=HUNG)
    task = asyncio.create_task(profiler.profile(SMALL, None, ProfileLimits(timeout_seconds=0.5)))
    process_id = await begun(profiler)
    with pytest.raises(ProfileTimeoutError):
        await task
    assert not is_alive(process_id)
    assert profiler.process_id is None


async def test_a_cancelled_profile_leaves_no_process() -> None:
    profiler = DuckDBProfiler(command=HUNG)
    task = asyncio.create_task(profiler.profile(SMALL, None))
    process_id = await begun(profiler)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_alive(process_id)


async def test_closing_ends_a_profile_under_way() -> None:
    profiler = DuckDBProfiler(command=HUNG)
    task = asyncio.create_task(profiler.profile(SMALL, None))
    process_id = await begun(profiler)
    waiting = asyncio.create_task(profiler.profile(SMALL, None))
    await asyncio.sleep(0.2)
    await profiler.close()
    for pending in (task, waiting):
        with pytest.raises(ProfilerUnavailableError):
            await pending
    assert not is_alive(process_id)
    assert profiler.process_id is None


async def test_a_file_that_needs_more_memory_than_allowed_is_refused(
    profiler: DuckDBProfiler, large_file: Path
) -> None:
    with pytest.raises(ProfileMemoryError, match="more than 16 MB"):
        await profiler.profile(large_file, None, ProfileLimits(memory_mb=16))
    assert (await profiler.profile(SMALL, None)).row_count == 1


@pytest.mark.parametrize(
    ("death", "error", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", ProfileMemoryError, "memory"),
        (f"os._exit({EXIT_OUT_OF_MEMORY})", ProfileMemoryError, "memory"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", UnreadableDataError, "crash"),
        ("os._exit(3)", UnreadableDataError, "exit code 3"),
    ],
)
async def test_a_process_that_dies_on_a_file_blames_the_file(
    death: str, error: type[Exception], words: str
) -> None:
    profiler = DuckDBProfiler(command=(sys.executable, "-c", READY + death))
    with pytest.raises(error, match=words):
        await profiler.profile(SMALL, None)
    assert profiler.process_id is None


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ((sys.executable, "-c", "raise SystemExit('no duckdb here')"), "no duckdb here"),
        (("/nonexistent/python",), "does not start"),
    ],
)
async def test_a_process_that_never_starts_does_not_blame_the_file(
    command: tuple[str, ...], words: str
) -> None:
    profiler = DuckDBProfiler(command=command)
    with pytest.raises(ProfilerUnavailableError, match=words):
        await profiler.profile(SMALL, None)
    assert profiler.process_id is None


def test_the_process_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = (
        "import asyncio\n"
        "from services.quality.profiling.duckdb.profiler import DuckDBProfiler\n"
        "async def main():\n"
        "    profiler = DuckDBProfiler()\n"
        "    await profiler.profile(b'a\\n1\\n', None)\n"
        "    print(profiler.process_id, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=PROJECT_ROOT, text=True
    ) as parent:
        assert parent.stdout is not None
        process_id = int(parent.stdout.readline())
        assert is_alive(process_id)
        parent.kill()
    deadline = time.monotonic() + 20
    while is_alive(process_id) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(process_id)


@pytest.mark.parametrize(
    ("allowance", "work", "code"),
    [
        ("600, 64", "hoard = b'x' * (512 * 1024 * 1024)", EXIT_OUT_OF_MEMORY),
        ("-5, 1024", "pass", EXIT_OVERDUE),
    ],
)
def test_the_process_watches_its_own_memory_and_time(allowance: str, work: str, code: int) -> None:
    script = (
        "import time\n"
        "from services.quality.profiling.duckdb.child import ResourceWatch\n"
        "watch = ResourceWatch()\n"
        "watch.start()\n"
        f"watch.allow({allowance})\n"
        f"{work}\n"
        "time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT_ROOT, check=False, timeout=60)
    assert done.returncode == code


def test_the_reader_can_open_that_one_file_and_nothing_else(tmp_path: Path) -> None:
    allowed, secret = tmp_path / "allowed.csv", tmp_path / "secret.csv"
    for path in (allowed, secret):
        path.write_bytes(SMALL)
    data = DataFile(allowed, "csv", len(SMALL), "", "utf-8", is_blank=False)
    connection = child.connect(data, tmp_path, memory_mb=64, spill_bytes_max=1024 * 1024)
    with contextlib.closing(connection):
        assert connection.execute("SELECT count(*) FROM read_csv(?)", [str(allowed)]).fetchone() == (1,)
        for statement in (
            f"SELECT * FROM read_csv('{secret}')",
            "SELECT * FROM read_csv('https://example.org/x.csv')",
            f"COPY (SELECT 1) TO '{tmp_path / 'out.csv'}'",
            f"ATTACH '{tmp_path / 'other.db'}'",
            "INSTALL httpfs",
            "SET enable_external_access = true",
            f"SET allowed_paths = ['{secret}']",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)


def test_it_works_on_the_event_loop_that_the_host_uses() -> None:
    async def profile_once() -> int:
        profiler = DuckDBProfiler()
        try:
            return (await profiler.profile(SMALL, None)).row_count
        finally:
            await profiler.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(profile_once()) == 1


def test_limits_are_above_zero() -> None:
    with pytest.raises(ValueError, match="memory_mb"):
        ProfileLimits(memory_mb=0)
