"""One running catalogue per test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.clock import SimulatedClock
from tests.support.catalog_service import RunningCatalog, running_catalog
from tests.support.databases import Databases


@pytest.fixture
async def running(
    tmp_path: Path, clock: SimulatedClock, databases: Databases
) -> AsyncIterator[RunningCatalog]:
    """A catalogue on an empty folder."""
    async with running_catalog(tmp_path, clock, database_url=await databases.url("catalog")) as started:
        yield started
