"""What the store's driver promises beside being quick: nothing is left open, and no row is missed."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.store.sqlite_driver import ROWS_AT_ONCE_MAX, ThriftyConnection, open_connection

ROWS = 2 * ROWS_AT_ONCE_MAX + 7


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[ThriftyConnection]:
    """A connection to a table of ``ROWS`` numbers, with transactions of our own."""
    opened = await open_connection(tmp_path / "rows.sqlite3", isolation_level=None)
    cursor = opened.cursor()
    await cursor.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY)")
    opened.begin_with_next("BEGIN")
    await cursor.executemany("INSERT INTO rows VALUES (?)", [(number,) for number in range(ROWS)])
    await opened.commit()
    yield opened
    await opened.close()


def others(tmp_path: Path) -> sqlite3.Connection:
    """A second connection, which waits for no lock."""
    return sqlite3.connect(tmp_path / "rows.sqlite3", timeout=0)


async def test_all_rows_of_a_long_result_come_in_order(connection: ThriftyConnection) -> None:
    cursor = connection.cursor()
    await cursor.execute("SELECT number FROM rows ORDER BY number")
    assert [number for (number,) in await cursor.fetchall()] == list(range(ROWS))
    assert cursor.description[0][0] == "number"


@pytest.mark.parametrize("size", [1, 7, ROWS_AT_ONCE_MAX, ROWS_AT_ONCE_MAX + 1])
async def test_portions_of_any_size_leave_no_row_out(connection: ThriftyConnection, size: int) -> None:
    cursor = connection.cursor()
    await cursor.execute("SELECT number FROM rows ORDER BY number")
    found: list[int] = []
    while portion := await cursor.fetchmany(size):
        assert len(portion) <= size
        found += [number for (number,) in portion]
    assert found == list(range(ROWS))
    assert await cursor.fetchone() is None


async def test_the_count_of_changed_rows_and_the_last_id_are_told(connection: ThriftyConnection) -> None:
    cursor = connection.cursor()
    await cursor.execute("DELETE FROM rows WHERE number < 5")
    assert cursor.rowcount == 5
    await cursor.execute("INSERT INTO rows VALUES (99999)")
    assert cursor.lastrowid == 99999


async def test_a_transaction_begins_with_its_first_statement(
    connection: ThriftyConnection, tmp_path: Path
) -> None:
    connection.begin_with_next("BEGIN IMMEDIATE")
    assert not connection.in_transaction
    await connection.cursor().execute("SELECT 1")
    with others(tmp_path) as other, pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("DELETE FROM rows")
    other.close()
    await connection.commit()
    assert not connection.in_transaction


async def test_a_transaction_without_a_statement_leaves_nothing_to_the_next(
    connection: ThriftyConnection,
) -> None:
    connection.begin_with_next("BEGIN IMMEDIATE")
    await connection.commit()
    await connection.cursor().execute("SELECT 1")
    assert not connection.in_transaction


async def test_a_statement_that_fails_leaves_a_transaction_that_rolls_back(
    connection: ThriftyConnection,
) -> None:
    connection.begin_with_next("BEGIN IMMEDIATE")
    cursor = connection.cursor()
    await cursor.execute("DELETE FROM rows WHERE number = 0")
    with pytest.raises(sqlite3.IntegrityError):
        await cursor.execute("INSERT INTO rows VALUES (1)")
    await connection.rollback()
    assert not connection.in_transaction
    await cursor.execute("SELECT count(*) FROM rows")
    assert await cursor.fetchone() == (ROWS,)


async def test_a_statement_that_nobody_waits_for_any_more_is_rolled_back_too(
    connection: ThriftyConnection,
) -> None:
    connection.begin_with_next("BEGIN IMMEDIATE")
    abandoned = asyncio.create_task(connection.cursor().execute("DELETE FROM rows WHERE number = 0"))
    await asyncio.sleep(0)
    abandoned.cancel()
    await asyncio.gather(abandoned, return_exceptions=True)
    await connection.rollback()
    cursor = connection.cursor()
    await cursor.execute("SELECT count(*) FROM rows")
    assert await cursor.fetchone() == (ROWS,)
    assert not connection.in_transaction
