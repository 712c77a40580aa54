"""The table that tests of the log are laid on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.clock import Clock
from tests.support.databases import Databases
from tests.support.log_bench import Bench, open_bench


@pytest.fixture
async def bench(tmp_path: Path, clock: Clock, databases: Databases) -> AsyncIterator[Bench]:
    """A log, a ledger, its relay and its loops."""
    async with open_bench(tmp_path, clock, database_url=await databases.url("ledger")) as opened:
        yield opened
