"""Usage, running, with two datasets and the people of ``usage_system``."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.clock import SimulatedClock
from tests.services.usage.usage_system import UsageSystem, running
from tests.support.databases import Databases


@pytest.fixture
async def system(tmp_path: Path, clock: SimulatedClock, databases: Databases) -> AsyncIterator[UsageSystem]:
    async with running(tmp_path, clock, database_url=await databases.url("usage")) as started:
        await started.hire()
        await started.register("roads", "schools")
        yield started
