"""Governance with its HTTP application, once on SQLite and once on PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.clock import SimulatedClock
from shared.identity.signing_key import SigningKey
from tests.support.databases import Databases
from tests.support.governance_desk import Desk, open_desk


@pytest.fixture
async def desk(tmp_path: Path, clock: SimulatedClock, databases: Databases) -> AsyncIterator[Desk]:
    key = SigningKey.load_or_create(tmp_path / "signing-key")
    async with open_desk(await databases.url("governance"), clock, key) as opened:
        yield opened
