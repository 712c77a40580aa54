"""What importing agencies reads does not grow with the agencies that are there."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from services.governance.bootstrap import Governance, bootstrap
from services.governance.commands.directory import ImportReport, import_agencies
from services.governance.domain.directory_import import parse_agencies
from services.governance.domain.granting import INSTALLATION
from services.governance.settings import GovernanceSettings
from shared.clock import SimulatedClock
from shared.identity.signing_key import SigningKey
from tests.support.databases import Databases

NEW_STATEMENTS_MAX = 20
"""For a new agency and its new officer: what is read, kept, told and noted."""
KNOWN_STATEMENTS_MAX = 10


@pytest.fixture
async def governance(
    tmp_path: Path, clock: SimulatedClock, databases: Databases
) -> AsyncIterator[Governance]:
    built = bootstrap(
        GovernanceSettings(),
        database_url=await databases.url("governance"),
        clock=clock,
        signing_key=SigningKey.load_or_create(tmp_path / "signing-key"),
    )
    await built.service.store.open()
    yield built
    await built.service.store.close()


def agencies_csv(count: int) -> str:
    rows = (f"A{n},Office {n},Bureau {n}|Board {n},officer{n}@example.gov\n" for n in range(count))
    return "code,name,aliases,data_officer_email\n" + "".join(rows)


@contextmanager
def statements_of(connection: Any) -> Iterator[list[str]]:
    """Every SQL statement that the connection carries out."""
    statements: list[str] = []

    def keep(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements.append(statement)

    event.listen(connection.sync_connection, "before_cursor_execute", keep)
    yield statements
    event.remove(connection.sync_connection, "before_cursor_execute", keep)


async def imported(governance: Governance, count: int) -> tuple[ImportReport, list[str]]:
    async with governance.service.store.unit_of_work() as work:
        with statements_of(work.connection) as statements:
            report = await import_agencies(
                work, governance.ports, parse_agencies(agencies_csv(count)), by=INSTALLATION
            )
    return report, statements


async def test_each_row_costs_the_same_few_statements_and_none_reads_a_whole_table(
    governance: Governance,
) -> None:
    report, statements = await imported(governance, 12)
    assert report.changed == 12
    assert 0 < len(statements) <= 12 * NEW_STATEMENTS_MAX
    again, repeated = await imported(governance, 12)
    assert again.changed == 0
    assert 0 < len(repeated) <= 12 * KNOWN_STATEMENTS_MAX
    reads = [text for text in statements + repeated if text.lstrip().startswith("SELECT")]
    assert reads
    assert [text for text in reads if not re.search(r"\sWHERE\s", text)] == []


async def test_an_officer_gets_the_role_for_the_agency_of_their_row(governance: Governance) -> None:
    await imported(governance, 3)
    async with governance.service.store.unit_of_work() as work:
        agencies = {one.code: one.agency_id for one in await governance.ports.directory.agencies(work)}
        for number in range(3):
            _, held = await governance.ports.directory.held_by_email(work, f"officer{number}@example.gov")
            assert [grant.agency_id for grant in held] == [agencies[f"A{number}"]]
            assert await governance.ports.directory.agency_id_of(work, f"A{number}") == agencies[f"A{number}"]
        assert await governance.ports.directory.agency_id_of(work, "A9") is None
