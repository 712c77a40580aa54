"""Kills and torn files, with exact counts: lost 0, repeats 0 in the consumer's tables."""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select

from shared.clock import SimulatedClock, SystemClock
from shared.consuming.waiting_events import WaitingRecords
from shared.errors import InvalidEventError, LogBusyError
from shared.events.envelope import Event
from shared.log.sqlite.event_log import FILE_NAME, SQLiteEventLog
from shared.log.sqlite.file_lock import FileLock, lock_directory
from tests.support.ledger_process import READY, is_poison
from tests.support.ledger_service import COUNTING, dataset_id
from tests.support.log_bench import Bench, open_bench, until

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parent.parent.parent
WAL_HEADER_BYTES = 32
WAL_FRAME_BYTES = 24 + 4096


async def start_process(directory: Path, *arguments: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.ledger_process",
        str(directory),
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while not (line := await process.stdout.readline()).startswith(READY.encode()):
            assert line, (await process.communicate())[1].decode()[-3000:]
    return process


def waiting_rows(directory: Path) -> int:
    """How many records wait for data, read beside a process that may be running."""
    database = sqlite3.connect(directory / "ledger.sqlite3")
    try:
        (count,) = database.execute("SELECT count(*) FROM waiting_events").fetchone()
        return int(count)
    finally:
        database.close()


async def test_ten_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    moments = random.Random(20260302)
    for _ in range(10):
        process = await start_process(tmp_path)
        await asyncio.sleep(moments.uniform(0.02, 0.5))
        os.kill(process.pid, signal.SIGKILL)
        await process.communicate()
        assert process.returncode == -signal.SIGKILL
    process = await start_process(tmp_path)
    await until(lambda: waiting_rows(tmp_path) > 0, seconds=120)
    os.kill(process.pid, signal.SIGKILL)
    await process.communicate()
    process = await start_process(tmp_path, "20")
    _, errors = await asyncio.wait_for(process.communicate(), 150)
    assert process.returncode == 0, errors.decode()[-3000:]

    async with open_bench(tmp_path, SystemClock()) as bench:
        outbox = bench.ledger.store.tables.outbox
        async with bench.ledger.store.read() as connection:
            statement = select(outbox.c.topic, func.count().label("rows")).group_by(outbox.c.topic)
            emitted: dict[str, int] = {row.topic: row.rows for row in await connection.execute(statement)}
        hits_emitted = emitted["usage.hits"]
        assert hits_emitted > 1_000
        expected = {
            str(dataset_id(f"hit {number}")): 1 for number in range(hits_emitted) if not is_poison(number)
        }
        assert await bench.ledger.hits() == expected
        poison = {f"{number:08}" for number in range(hits_emitted) if is_poison(number)}
        letters = (await bench.operator().list(topic="usage.hits", limit=10_000)).items
        assert {view.letter.source.key for view in letters} == poison
        assert len(letters) == len(poison)
        # What waited for its data through all the kills is counted above, once, like any other.
        assert (await WaitingRecords(bench.ledger.store, COUNTING.name).summary()).records == 0
        states = await bench.ledger.states()
        assert max(version for version, _ in states.values()) == hits_emitted // 20
        assert await bench.lag_records() == 0
        assert await bench.real_log.verify() == []


async def test_locks_free_themselves_when_their_holder_is_killed(tmp_path: Path) -> None:
    process = await start_process(tmp_path)
    other = SQLiteEventLog(tmp_path / "log", clock=SystemClock())
    with pytest.raises(LogBusyError, match=f"in use by process {process.pid}"):
        await other.open()
    os.kill(process.pid, signal.SIGKILL)
    await process.communicate()
    await other.open()
    consumer = await other.consumer(COUNTING.name, COUNTING.topics)
    await consumer.close()
    await other.close()


def test_a_data_directory_belongs_to_one_holder_at_a_time(tmp_path: Path) -> None:
    lock = lock_directory(tmp_path)
    with pytest.raises(LogBusyError, match="data directory"):
        lock_directory(tmp_path)
    lock.release()
    lock.release()
    with lock_directory(tmp_path) as again:
        assert again.held
    with FileLock(tmp_path / "other.lock", what="another thing"):
        pass


def image_of(log: Path, target: Path) -> Path:
    """Copy the log as a crash would leave it: the file and its write-ahead log."""
    target.mkdir(parents=True)
    for name in (FILE_NAME, FILE_NAME + "-wal"):
        if (log / name).exists():
            shutil.copyfile(log / name, target / name)
    return target


def put_back(image: Path, log: Path) -> None:
    shutil.rmtree(log)
    shutil.copytree(image, log)


def frames(image: Path) -> int:
    return ((image / (FILE_NAME + "-wal")).stat().st_size - WAL_HEADER_BYTES) // WAL_FRAME_BYTES


def cut(image: Path, frames_left: int) -> None:
    os.truncate(image / (FILE_NAME + "-wal"), WAL_HEADER_BYTES + frames_left * WAL_FRAME_BYTES)


def refuse_poison(event: Event) -> None:
    if event.subject.startswith("poison"):
        raise InvalidEventError("poison")


async def do_day(bench: Bench, day: int) -> None:
    """Ten hits, two states and one poison, published and consumed in several steps."""
    for step in range(5):
        await bench.ledger.emit_hits([f"day {day} hit {step}", f"day {day} other {step}"])
        await bench.ledger.emit_state("s", 10 * day + step, 10 * day + step)
        await bench.relay.publish_all()
    await bench.ledger.emit_hits([f"day {day} poison"], bucket=f"poison {day}")
    await bench.consume()


@asynccontextmanager
async def bench_at(directory: Path, clock: SimulatedClock) -> AsyncIterator[Bench]:
    async with open_bench(directory, clock) as bench:
        bench.ledger.ports.before = refuse_poison
        yield bench


async def assert_exact(bench: Bench, days: int) -> None:
    expected = {
        str(dataset_id(f"day {day} {kind} {step}")): 1
        for day in range(1, days + 1)
        for kind in ("hit", "other")
        for step in range(5)
    }
    assert await bench.ledger.hits() == expected
    assert await bench.ledger.states() == {"s": (10 * days + 4, 10 * days + 4)}
    letters = (await bench.operator().list(topic="usage.hits")).items
    assert {view.letter.source.key for view in letters} == {f"poison {day}" for day in range(1, days + 1)}
    assert await bench.lag_records() == 0
    assert await bench.real_log.verify() == []


async def test_a_tail_that_was_not_acknowledged_costs_nothing(tmp_path: Path, clock: SimulatedClock) -> None:
    log = tmp_path / "log"
    async with bench_at(tmp_path, clock) as bench:
        await do_day(bench, 1)
        # A transaction that never commits, too large for the cache, so that it stands in the file's tail.
        connection = sqlite3.connect(log / FILE_NAME, isolation_level=None)
        connection.execute("PRAGMA cache_size = 2")
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO records (partition_id, key, headers, value, published_at) "
            "VALUES (1, ?, x'5b5d', ?, 0)",
            [(f"torn {n}", b"x" * 3000) for n in range(200)],
        )
        image = image_of(log, tmp_path / "image")
        connection.execute("ROLLBACK")
        connection.close()
    assert b"torn 1" in (image / (FILE_NAME + "-wal")).read_bytes()
    with (image / (FILE_NAME + "-wal")).open("ab") as wal:
        wal.write(random.Random(1).randbytes(WAL_FRAME_BYTES + 100))
    put_back(image, log)
    async with bench_at(tmp_path, clock) as bench:
        assert await bench.relay.check_history() == 0
        await bench.consume()
        await assert_exact(bench, 1)
        await do_day(bench, 2)
        await assert_exact(bench, 2)


@pytest.mark.parametrize("left", [0.97, 0.8, 0.55, 0.3, 0.0])
async def test_an_acknowledged_tail_torn_off_the_file_is_noticed_and_sent_again(
    tmp_path: Path, clock: SimulatedClock, left: float
) -> None:
    log = tmp_path / "log"
    async with bench_at(tmp_path, clock) as bench:
        await do_day(bench, 1)
        await do_day(bench, 2)
        image = image_of(log, tmp_path / "image")
    cut(image, int(frames(image) * left))
    put_back(image, log)
    async with bench_at(tmp_path, clock) as bench:
        epochs = await bench.log.epochs()
        ends_before = {topic: await bench.log.end_offsets(topic) for topic in COUNTING.topics}
        marks = bench.ledger.store.tables.log_marks
        async with bench.ledger.store.read() as connection:
            rows = await connection.execute(select(marks.c.topic, marks.c.acknowledged_offset))
            acknowledged = {row.topic: row.acknowledged_offset for row in rows}
        lost = [t for t in COUNTING.topics if max(ends_before[t].values()) <= acknowledged[t]]
        resent = await bench.relay.check_history()
        assert (resent > 0) == bool(lost)
        assert ((await bench.log.epochs()) != epochs) == (bool(lost) and left > 0)
        await bench.consume()
        await assert_exact(bench, 2)
        await do_day(bench, 3)
        await assert_exact(bench, 3)
        assert await bench.relay.check_history() == 0


async def test_an_older_copy_of_the_log_is_noticed_and_what_it_lacks_is_sent_again(
    tmp_path: Path, clock: SimulatedClock
) -> None:
    log = tmp_path / "log"
    async with bench_at(tmp_path, clock) as bench:
        await do_day(bench, 1)
        image = image_of(log, tmp_path / "image")
        await do_day(bench, 2)
    put_back(image, log)
    async with bench_at(tmp_path, clock) as bench:
        assert await bench.relay.check_history() == 22 + 10
        assert bench.metrics.resent_count == 32
        # Offsets of the lost tail are given out again, now to other records: nobody passes over them.
        await do_day(bench, 3)
        await assert_exact(bench, 3)
    async with bench_at(tmp_path, clock) as bench:
        assert await bench.relay.check_history() == 0


async def test_a_deleted_log_is_noticed_and_the_last_day_is_sent_again(
    tmp_path: Path, clock: SimulatedClock
) -> None:
    async with bench_at(tmp_path, clock) as bench:
        await do_day(bench, 1)
    shutil.rmtree(tmp_path / "log")
    async with bench_at(tmp_path, clock) as bench:
        assert await bench.relay.check_history() == 16
        await bench.consume()
        await assert_exact(bench, 1)


async def test_a_damaged_file_is_told_by_verify(tmp_path: Path, clock: SimulatedClock) -> None:
    async with bench_at(tmp_path, clock) as bench:
        await do_day(bench, 1)
        assert await bench.real_log.verify() == []
    connection = sqlite3.connect(tmp_path / "log" / FILE_NAME)
    connection.execute("UPDATE partitions SET end_offset = 1 WHERE topic = 'usage.hits'")
    connection.commit()
    connection.close()
    async with bench_at(tmp_path, clock) as bench:
        problems = await bench.real_log.verify()
        assert any("usage.hits/0 ends at 1" in problem for problem in problems)
        assert any(COUNTING.name in problem for problem in problems)
