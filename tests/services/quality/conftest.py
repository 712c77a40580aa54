"""A portal and a running service for every test that asks."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.clock import SimulatedClock
from tests.services.quality.quality_system import Portal, QualitySystem, running, serving
from tests.support.databases import Databases


@pytest.fixture
async def portal() -> AsyncIterator[Portal]:
    async with serving() as started:
        yield started


@pytest.fixture
async def system(
    tmp_path: Path, clock: SimulatedClock, portal: Portal, databases: Databases
) -> AsyncIterator[QualitySystem]:
    async with running(tmp_path, clock, portal, database_url=await databases.url("quality")) as started:
        yield started
