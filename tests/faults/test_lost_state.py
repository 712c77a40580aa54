"""A database or the log lost, old, damaged, read-only or full: told in words, and mended where it can be.

One installation is made, with a copy of it from the day before; each test breaks a copy of its own.
"""

import asyncio
import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.host.bootstrap import bootstrap_host, directory_at_rest
from services.host.operations.commands.losses import accept_losses
from services.host.settings import HostSettings
from shared.clock import SimulatedClock
from shared.consuming.log_agreement import LOG
from shared.errors import DamagedFileError, LostStateError, SchemaError
from shared.log.sqlite.file import SCHEMA_VERSION
from shared.outbox.loss_acceptance import AcceptedLoss
from shared.store.health import Storage
from tests.support.host_in_process import RunningHost, feed_of, run_host

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

SERVICES = ("catalog", "governance", "notify", "quality", "usage")
STORAGES = (*SERVICES, LOG)
HITS = 20
BYTES_PER_PAGE = 4096


def path_of(data_dir: Path, storage: str) -> Path:
    return data_dir / "log" / "log.sqlite3" if storage == LOG else data_dir / f"{storage}.sqlite3"


def copy_of(installation: Path, target: Path) -> Path:
    shutil.copytree(installation, target)
    return target


def lose(data_dir: Path, storage: str) -> None:
    for suffix in ("", "-wal", "-shm"):
        path = path_of(data_dir, storage)
        path.with_name(path.name + suffix).unlink(missing_ok=True)


async def accept(
    settings: HostSettings, what: str, *, by: str = "somebody", reason: str = "No backup was kept."
) -> list[AcceptedLoss]:
    async with directory_at_rest(settings) as (stores, log):
        return await accept_losses(stores, log, what, by=by, reason=reason)


def put_back(data_dir: Path, older: Path, storage: str) -> None:
    lose(data_dir, storage)
    shutil.copyfile(path_of(older, storage), path_of(data_dir, storage))


def ask(data_dir: Path, storage: str, statement: str) -> Any:
    with closing(sqlite3.connect(path_of(data_dir, storage))) as connection:
        found = connection.execute(statement).fetchall()
        connection.commit()
    return found


async def do_day(running: RunningHost, day: int) -> None:
    """A dataset with a steward, hits on all, a request, and the message that follows from it."""
    await running.import_csv("stewardships", f"identifier,steward_email\nd{day},steward@example.gov\n")
    await running.idle()
    await running.harvest(feed_of(f"d{day}", accessLevel="restricted public", rights="Ask."), f"day {day}")
    await running.idle()
    ids = sorted((await running.dataset_ids()).values())
    at = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    hits = [
        {
            "dataset_id": ids[number % len(ids)],
            "kind": "view",
            "occurred_at": at,
            "visitor": {"address": f"{day}.{number}", "user_agent": "Mozilla/5.0 Firefox/132.0"},
        }
        for number in range(HITS)
    ]
    answer = await running.client.post("/api/v1/usage/hits:batch", json={"hits": hits})
    assert answer.json()["accepted"] == HITS, answer.text
    wish = {"dataset_id": ids[0], "purpose": "To study roads.", "data_wanted": "All rows."}
    assert (await running.client.post("/api/v1/sharing-requests", json=wish)).status_code == 201
    await running.idle()


async def views(running: RunningHost) -> int:
    ((count,),) = await running.rows("usage", "SELECT SUM(views) FROM rollups WHERE granularity = 'day'")
    return int(count or 0)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a stopped installation after two days, and a copy from after the first."""
    folder = tmp_path_factory.mktemp("installation")

    async def make() -> None:
        async with run_host(folder / "data") as running:
            await do_day(running, 1)
        copy_of(folder / "data", folder / "older")
        async with run_host(folder / "data") as running:
            await do_day(running, 2)

    asyncio.run(make())
    return folder / "data", folder / "older"


async def refusal(data_dir: Path, error: type[Exception]) -> str:
    with pytest.raises(error) as raised:
        async with run_host(data_dir):
            pass
    words = str(raised.value)
    assert "\n" not in words
    return words


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("fault", ["lost", "old"])
async def test_a_database_that_lacks_what_the_log_remembers_is_refused_with_the_cure(
    installation: tuple[Path, Path], tmp_path: Path, service: str, fault: str
) -> None:
    data_dir = copy_of(installation[0], tmp_path / "data")
    if fault == "lost":
        lose(data_dir, service)
    else:
        put_back(data_dir, installation[1], service)
    words = await refusal(data_dir, LostStateError)
    assert f"the database of {service} is missing or older than the event log" in words
    assert "nutmeg restore" in words
    assert f"nutmeg accept-loss {service}" in words


async def test_a_database_that_was_refused_is_taken_once_it_is_put_back(
    installation: tuple[Path, Path], tmp_path: Path
) -> None:
    data_dir = copy_of(installation[0], tmp_path / "data")
    for service in SERVICES:
        put_back(data_dir, installation[1], service)
        await refusal(data_dir, LostStateError)
        put_back(data_dir, installation[0], service)
    async with run_host(data_dir) as running:
        assert (await running.client.get("/readyz")).json() == {"status": "ok", "causes": []}
        assert await views(running) == 2 * HITS


@pytest.mark.parametrize("fault", ["lost", "old"])
async def test_a_log_of_the_last_day_is_filled_again_from_the_outboxes(
    installation: tuple[Path, Path], tmp_path: Path, fault: str
) -> None:
    data_dir = copy_of(installation[0], tmp_path / "data")
    if fault == "lost":
        lose(data_dir, LOG)
    else:
        put_back(data_dir, installation[1], LOG)
    async with run_host(data_dir) as running:
        await running.idle()
        assert (await running.client.get("/readyz")).json()["status"] == "ok"
        assert await views(running) == 2 * HITS
        await do_day(running, 3)
        assert await views(running) == 3 * HITS
        assert await running.dead_letters() == []


async def test_a_log_that_lost_more_than_the_outboxes_hold_is_refused_until_the_loss_is_accepted(
    installation: tuple[Path, Path], tmp_path: Path
) -> None:
    data_dir = copy_of(installation[0], tmp_path / "data")
    async with run_host(data_dir, clock=SimulatedClock(datetime.now(UTC) + timedelta(days=2))) as running:
        for runner in running.host.runners:
            await runner.relay.prune()  # the runner's own may have been first
            name = runner.service.name
            assert await running.rows(name, "SELECT count(*) FROM outbox WHERE published_at IS NOT NULL") == [
                (0,)
            ]
    lose(data_dir, LOG)
    words = await refusal(data_dir, LostStateError)
    assert "the event log is missing or older than the database of" in words
    assert "nutmeg accept-loss log" in words
    lose(data_dir, LOG)
    accepted = await accept(HostSettings(data_dir=data_dir), LOG, reason="The disk is gone.")
    assert {loss.service for loss in accepted} == set(SERVICES)
    async with run_host(data_dir) as running:
        await running.idle()
        assert (await running.client.get("/readyz")).json()["status"] == "ok"
        assert await views(running) == 2 * HITS
        await do_day(running, 3)
        assert await views(running) == 3 * HITS


@pytest.mark.parametrize("fault", ["lost", "old"])
async def test_with_the_loss_accepted_usage_counts_again_what_the_log_holds_and_others_hear_of_it(
    installation: tuple[Path, Path], tmp_path: Path, fault: str
) -> None:
    data_dir = copy_of(installation[0], tmp_path / "data")
    if fault == "lost":
        lose(data_dir, "usage")
    else:
        put_back(data_dir, installation[1], "usage")
    settings = HostSettings(data_dir=data_dir)
    (accepted,) = await accept(settings, "usage")
    assert accepted.events["usage.hits"] == (2 * HITS if fault == "lost" else HITS)
    assert "usage.counting" in accepted.read_again
    assert await accept(settings, "usage", reason="Once more.") == []
    async with run_host(data_dir) as running:
        await running.idle()
        assert await views(running) == 2 * HITS
        await do_day(running, 3)
        assert await views(running) == 3 * HITS
        ((told,),) = await running.rows("catalog", "SELECT SUM(views) FROM usage_daily")
        assert told == 3 * HITS, "the catalogue takes the new counts for repeats of those that were lost"
        status = (await running.client.get("/api/v1/ops/status")).json()
        (loss,) = [loss for storage in status["storages"] for loss in storage["accepted_losses"]]
        assert (loss["by"], loss["reason"]) == ("somebody", "No backup was kept.")


async def test_a_database_that_only_heard_less_hears_it_again(
    installation: tuple[Path, Path], tmp_path: Path
) -> None:
    data_dir = copy_of(installation[0], tmp_path / "data")
    # Nothing was told since, only heard: the day before its offsets and its copy of the datasets.
    ask(
        data_dir,
        "usage",
        "UPDATE handled_offsets SET next_offset = 0 WHERE group_name = 'usage.directory'",
    )
    ask(data_dir, "usage", "DELETE FROM known_datasets")
    ask(data_dir, "usage", "DELETE FROM applied_versions WHERE group_name = 'usage.directory'")
    ask(data_dir, "usage", "DELETE FROM log_marks WHERE topic = 'notify.acknowledgements'")
    async with run_host(data_dir) as running:
        await running.idle()
        assert await running.rows("usage", "SELECT count(*) FROM known_datasets") == [(2,)]


async def test_the_index_keeps_what_a_lost_catalogue_forgot_until_it_is_built_anew(
    installation: tuple[Path, Path], tmp_path: Path
) -> None:
    data_dir = copy_of(installation[0], tmp_path / "data")
    lose(data_dir, "catalog")
    settings = HostSettings(data_dir=data_dir)
    await accept(settings, "catalog", reason="It is harvested again.")
    async with run_host(data_dir) as running:
        await running.idle()
        drift = (await running.client.post("/api/v1/catalog/reconcile")).json()
        assert (drift["extra"], drift["purged"]) == (2, 0)
        await running.client.post("/api/v1/catalog/reindex")
        drift = (await running.client.post("/api/v1/catalog/reconcile")).json()
        assert (drift["extra"], drift["purged"]) == (0, 0)


@pytest.mark.parametrize("storage", STORAGES)
async def test_a_damaged_file_is_refused_at_the_start(
    installation: tuple[Path, Path], tmp_path: Path, storage: str
) -> None:
    data_dir = copy_of(installation[0], tmp_path / "data")
    damage(path_of(data_dir, storage))
    words = await refusal(data_dir, DamagedFileError)
    assert f"{path_of(data_dir, storage)} is damaged" in words
    assert "nutmeg restore" in words


def damage(path: Path) -> None:
    """Overwrite half of the pages, and leave the first: it still looks like a database."""
    pages = path.stat().st_size // BYTES_PER_PAGE
    with path.open("r+b") as file:
        for page in range(2, pages, 2):
            file.seek(page * BYTES_PER_PAGE)
            file.write(os.urandom(BYTES_PER_PAGE))


@pytest.mark.parametrize("storage", STORAGES)
async def test_a_newer_schema_is_refused_at_the_start(
    installation: tuple[Path, Path], tmp_path: Path, storage: str
) -> None:
    data_dir = copy_of(installation[0], tmp_path / "data")
    ask(
        data_dir,
        storage,
        f"PRAGMA user_version = {SCHEMA_VERSION + 1}"
        if storage == LOG
        else "UPDATE alembic_version SET version_num = '9999'",
    )
    words = await refusal(data_dir, SchemaError)
    assert str(path_of(data_dir, storage)) in words
    assert "newer Nutmeg" in words


@pytest.mark.parametrize(
    "statement", ["DELETE FROM alembic_version", "DROP TABLE dead_letter_replays"], ids=["begun", "ended"]
)
async def test_a_migration_that_was_left_halfway_is_refused_at_the_start(
    installation: tuple[Path, Path], tmp_path: Path, statement: str
) -> None:
    data_dir = copy_of(installation[0], tmp_path / "data")
    ask(data_dir, "quality", statement)
    assert "left halfway" in await refusal(data_dir, SchemaError)


@pytest.mark.parametrize("storage", STORAGES)
async def test_damage_while_it_runs_is_found_by_the_daily_check(
    installation: tuple[Path, Path], tmp_path: Path, storage: str
) -> None:
    data_dir = copy_of(installation[0], tmp_path / "data")
    host = bootstrap_host(HostSettings(data_dir=data_dir))
    try:
        files: dict[str, Storage] = {
            LOG: host.file_log,
            **{each.service.name: each.service.store for each in host.runners},
        }
        damage(path_of(data_dir, storage))
        await host.check_files()
        assert {name for name, file in files.items() if file.damage is not None} == {storage}
        assert all(file.checked_at is not None for file in files.values())
    finally:
        await host.stop()


async def test_damage_is_told_wherever_operators_look(
    installation: tuple[Path, Path], tmp_path: Path
) -> None:
    data_dir = copy_of(installation[0], tmp_path / "data")
    async with run_host(data_dir) as running:
        running.host.runners[0].service.store.damage = "page 7 is never used"
        (cause,) = await storage_causes(running)
        assert "page 7 is never used" in cause
        assert "nutmeg restore" in cause
        assert await gauge(running, "nutmeg_storage_intact", running.host.runners[0].service.name) == 0.0


@pytest.mark.parametrize("storages", [SERVICES, (LOG,)], ids=["databases", "log"])
@pytest.mark.parametrize("fault", ["full", "read-only"])
async def test_what_takes_no_writes_is_told_and_goes_on_by_itself(
    installation: tuple[Path, Path], tmp_path: Path, storages: Sequence[str], fault: str
) -> None:
    data_dir = copy_of(installation[0], tmp_path / "data")
    async with run_host(data_dir) as running:
        assert await storage_causes(running) == []
        for storage in storages:
            await on_writer(running, storage, fill if fault == "full" else forbid)
            causes = await storage_causes(running)
            assert any(f"{name_of(storage)} cannot be written" in cause for cause in causes), causes
            assert await gauge(running, "nutmeg_storage_writable", storage) == 0.0
        assert (await running.client.get("/")).status_code == 200
        for storage in storages:
            await on_writer(running, storage, empty if fault == "full" else allow)
        assert await storage_causes(running) == []
        await do_day(running, 3)
        assert await views(running) == 3 * HITS


def name_of(storage: str) -> str:
    return "the event log" if storage == LOG else f"the database of {storage}"


def fill(connection: sqlite3.Connection) -> None:
    """Let SQLite meet the end of its room, as on a full disk, and use up what is left of it."""
    connection.execute("CREATE TABLE IF NOT EXISTS filler (bytes BLOB)")
    connection.execute("PRAGMA max_page_count = 1")
    with contextlib.suppress(sqlite3.OperationalError):
        while True:
            connection.execute("INSERT INTO filler VALUES (zeroblob(4000))")


def empty(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA max_page_count = 1000000")
    connection.execute("DROP TABLE filler")


def forbid(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = ON")


def allow(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = OFF")


async def on_writer(running: RunningHost, storage: str, act: Callable[[sqlite3.Connection], None]) -> None:
    """Run ``act`` on the very connection that writes, between its transactions."""
    if storage == LOG:
        log: Any = running.host.file_log
        await asyncio.to_thread(act, log._file._writer._connection)
        log._probed_at = None
        return
    (runner,) = [runner for runner in running.host.runners if runner.service.name == storage]
    store: Any = runner.service.store
    async with store._write_lock, store._writer.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        await driver._execute(lambda: act(driver._conn))
    store._probed_at = None


async def storage_causes(running: RunningHost) -> list[str]:
    """What ``/readyz`` and ``/ops`` tell of the files, which is the same."""
    ready = (await running.client.get("/readyz")).json()["causes"]
    status = (await running.client.get("/api/v1/ops/status")).json()
    causes = [cause for storage in status["storages"] for cause in storage["causes"]]
    assert set(causes) <= set(ready)
    page = (await running.client.get("/ops")).text
    assert all(storage["name"] in page for storage in status["storages"])
    return causes


async def gauge(running: RunningHost, name: str, storage: str) -> float:
    lines = (await running.client.get("/metrics")).text.splitlines()
    (value,) = [
        line.split()[-1] for line in lines if line.startswith(f'{name}{{storage="{name_of(storage)}"}}')
    ]
    return float(value)
