"""Profile jobs: broken links, slow and poisonous files, killed workers."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from services.quality.profiling.domain.files import FetchedFile
from services.quality.profiling.domain.jobs import ProfileJob, ProfilingFailure, ProfilingRules, after_failure
from shared.clock import SimulatedClock
from shared.jobs.parking import PARKED_BECAUSE
from tests.services.quality.quality_system import (
    Portal,
    QualitySystem,
    csv_of,
    dataset_id,
    running,
)

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
RETRY = timedelta(seconds=31)


async def test_a_link_is_broken_after_two_failures_and_its_repair_is_noticed_by_itself(
    system: QualitySystem, portal: Portal
) -> None:
    portal.files["/roads.csv"] = csv_of(10)
    await system.register("roads", has_file=True)
    portal.broken["/roads.csv"] = 404
    await system.change("roads", modified="2026-03-01")
    assert await system.alerts() == []
    await system.pass_time(RETRY)
    ((word, kind, alert),) = await system.alerts()
    assert (word, kind) == ("opened", "link-broken")
    assert "404" in alert.cause
    overall = (await system.measurements("roads", "overall"))[-1]
    assert {one.dimension: one.score for one in overall.dimensions}["accessibility"] == 0.0

    portal.broken.clear()
    await system.pass_time(timedelta(hours=7))
    assert await system.alert_words() == ["opened link-broken", "resolved link-broken"]
    assert (await system.job("roads")).state == "done"
    counted = partial(system.metrics.value, "nutmeg_alerts_total", service="quality", kind="link-broken")
    assert (counted(change="opened"), counted(change="resolved")) == (1, 1)


async def test_one_failure_is_enough_where_the_setting_says_so(
    tmp_path: Path, clock: SimulatedClock, portal: Portal
) -> None:
    async with running(tmp_path, clock, portal, link_failures_min=1) as system:
        portal.files["/roads.csv"] = csv_of(10)
        await system.register("roads", has_file=True)
        del portal.files["/roads.csv"]
        await system.change("roads", modified="2026-03-01")
        assert await system.alert_words() == ["opened link-broken"]


async def test_a_link_that_was_broken_when_first_seen_is_part_of_the_baseline(
    tmp_path: Path, clock: SimulatedClock, portal: Portal
) -> None:
    async with running(tmp_path, clock, portal, link_failures_min=1) as system:
        await system.register("roads", has_file=True)
        assert (await system.job("roads")).state == "failed"
        assert await system.alerts() == []
        await system.update_file("roads", csv_of(10))
        portal.files.clear()
        await system.change("roads", modified="2026-03-01")
        assert await system.alert_words() == ["opened link-broken"]


async def test_a_server_in_trouble_is_tried_again_later_and_given_up_without_an_alert(
    tmp_path: Path, clock: SimulatedClock, portal: Portal
) -> None:
    async with running(tmp_path, clock, portal, attempts_max=3) as system:
        portal.files["/roads.csv"] = csv_of(10)
        await system.register("roads", has_file=True)
        portal.broken["/roads.csv"] = 503
        await system.change("roads", modified="2026-03-01")
        await system.pass_time(timedelta(seconds=31))
        await system.pass_time(timedelta(seconds=61))
        job = await system.job("roads")
        assert (job.state, job.attempts, job.next_attempt_at) == ("failed", 3, None)
        assert "503" in job.reason
        assert await system.alerts() == []


async def test_a_poisonous_file_fails_with_its_reason_and_the_others_go_on(
    system: QualitySystem, portal: Portal
) -> None:
    portal.files |= {"/good.csv": csv_of(10), "/bad.csv": csv_of(10), "/other.csv": csv_of(10)}
    await system.register("good", "bad", "other", has_file=True)
    portal.files["/bad.csv"] = b"\x00\xff\xfe\x00\x01\x02PK\x03\x04" * 500
    portal.files["/other.csv"] = csv_of(11)
    await system.change("bad", modified="2026-03-01")
    await system.change("other", modified="2026-03-01")
    job = await system.job("bad")
    assert (job.state, job.next_attempt_at) == ("failed", None)
    assert job.reason
    assert [one.row_count for one in await system.measurements("other", "profile")] == [10, 11]
    assert await system.alert_words() == ["opened data-unreadable"]
    counted = partial(system.metrics.value, "nutmeg_quality_measurements_total", kind="file")
    assert (counted(outcome="profiled"), counted(outcome="unreadable")) == (4, 1)
    await system.update_file("bad", csv_of(10))
    assert await system.alert_words() == ["opened data-unreadable", "resolved data-unreadable"]


async def kill_while_fetching(tmp_path: Path, clock: SimulatedClock, portal: Portal) -> None:
    """Ask for a profile, and stop in the midst of it: nothing is finished, the lease is not given back."""
    portal.files["/roads.csv"] = csv_of(10)
    async with running(tmp_path, clock, portal, source=DyingSource()) as system:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await system.register("roads", has_file=True)
        await system.runner.stop(grace_seconds=0.01)


async def test_a_job_whose_process_was_killed_is_done_as_soon_as_it_starts_again(
    tmp_path: Path, clock: SimulatedClock, portal: Portal
) -> None:
    await kill_while_fetching(tmp_path, clock, portal)
    async with running(tmp_path, clock, portal) as system:
        await system.settle()
        job = await system.job("roads")
        assert (job.state, job.attempts) == ("done", 2)
        assert [one.row_count for one in await system.measurements("roads", "profile")] == [10]


@pytest.mark.parametrize(("kills", "state"), [(1, "done"), (2, "parked")])
async def test_a_job_on_which_two_processes_died_is_parked_until_an_operator_releases_it(
    tmp_path: Path, clock: SimulatedClock, portal: Portal, kills: int, state: str
) -> None:
    await kill_while_fetching(tmp_path, clock, portal)
    with closing(sqlite3.connect(tmp_path / "quality.db")) as connection, connection:
        connection.execute("UPDATE profile_jobs SET unended_attempts = ?", [kills])
    async with running(tmp_path, clock, portal) as system:
        await system.settle()
        assert (await system.job("roads")).state == state
        (queue,) = system.runner.service.queues
        assert await queue.parked_count() == (state == "parked")
        if state == "parked":
            (job,) = await queue.parked(10)
            assert (job.job_id, job.reason) == (dataset_id("roads"), PARKED_BECAUSE)
            assert job.subject.endswith("/roads.csv")
            # What is said of the dataset anew changes nothing in the file that kills.
            quality, url = system.quality, (await system.job("roads")).url
            async with quality.service.store.unit_of_work() as work:
                await quality.context.profiling.jobs.request(work, {job.job_id: (url, "text/csv")})
            await system.settle()
            assert (await system.job("roads")).state == "parked"
            assert await queue.release(job.job_id)
            assert not await queue.release(job.job_id)
            await system.settle()
        job_now = await system.job("roads")
        assert (job_now.state, job_now.unended_attempts) == ("done", 0)
        assert [one.row_count for one in await system.measurements("roads", "profile")] == [10]


async def test_an_orderly_stop_is_counted_as_no_death(
    tmp_path: Path, clock: SimulatedClock, portal: Portal
) -> None:
    await kill_while_fetching(tmp_path, clock, portal)
    with closing(sqlite3.connect(tmp_path / "quality.db")) as connection:
        assert connection.execute("SELECT attempts, unended_attempts FROM profile_jobs").fetchall() == [
            (1, 0)
        ]


async def test_a_job_asked_for_again_while_it_runs_is_run_again_and_tells_the_newer_file(
    system: QualitySystem, portal: Portal
) -> None:
    portal.files["/roads.csv"] = csv_of(10)
    portal.gate = asyncio.Event()
    registering = asyncio.create_task(system.register("roads", has_file=True))
    await until(system, lambda job: job is not None and job.leased_until is not None)
    changing = asyncio.create_task(system.change("roads", modified="2026-03-01"))
    await until(system, lambda job: job.revision == 2)
    portal.files["/roads.csv"] = csv_of(12)
    portal.gate.set()
    await registering
    await changing
    assert (await system.job("roads")).state == "done"
    assert [one.row_count for one in await system.measurements("roads", "profile")] == [12]


@pytest.mark.parametrize("access_level", ["restricted public", "non-public"])
async def test_data_that_is_not_public_is_never_fetched(
    system: QualitySystem, portal: Portal, access_level: str
) -> None:
    portal.files["/roads.csv"] = csv_of(10)
    await system.register("roads", has_file=True, access_level=access_level)
    assert await system.job("roads") is None
    assert portal.asked == []


def job(**fields: object) -> ProfileJob:
    given = {
        "dataset_id": dataset_id("roads"),
        "url": "https://data.example/roads.csv",
        "media_type": "text/csv",
        "revision": 1,
        "state": "waiting",
        "attempts": 1,
        "link_failures": 0,
        "requested_at": NOW,
        "next_attempt_at": NOW,
        **fields,
    }
    return ProfileJob(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 30), (2, 60), (5, 480)])
def test_pauses_between_tries_double(attempts: int, seconds: int) -> None:
    after, broken = after_failure(
        job(attempts=attempts), ProfilingFailure("No answer."), ProfilingRules(), NOW
    )
    assert broken is None
    assert after.next_attempt_at == NOW + timedelta(seconds=seconds)


def test_a_failure_that_time_does_not_cure_is_not_tried_again() -> None:
    after, broken = after_failure(
        job(), ProfilingFailure("Too large.", is_permanent=True), ProfilingRules(), NOW
    )
    assert broken is None
    assert (after.state, after.reason, after.next_attempt_at) == ("failed", "Too large.", None)


async def until(system: QualitySystem, is_so: Callable[[Any], bool]) -> None:
    """Wait until the job of roads is as wanted; the test's own timeout ends a vain wait."""
    while not is_so(await system.job("roads")):  # noqa: ASYNC110 - the row is in a database
        await asyncio.sleep(0.01)


class DyingSource:
    """A source at which a worker hangs until it is killed."""

    @asynccontextmanager
    async def fetch(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> AsyncIterator[FetchedFile]:
        await asyncio.Event().wait()
        yield FetchedFile(None, url, etag, last_modified)

    async def sha256(self, path: Path) -> str:
        return str(path)
