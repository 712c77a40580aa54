"""What every test may count on: this host only, no settings from outside, time and real input as fixtures.

The socket guard itself is pytest-socket, switched on in pyproject.toml.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.clock import SimulatedClock

pytest_plugins = [
    "tests.servers.fixtures",
    "tests.support.conformance_count",
    "tests.support.databases",
    "tests.support.distribution",
]
REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """Take every ``NUTMEG_…`` variable away, so that a developer's shell changes no result."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("NUTMEG_")]:
            patch.delenv(name)
        yield


@pytest.fixture
def clock() -> SimulatedClock:
    """A Monday morning; move it with ``advance``."""
    return SimulatedClock(datetime(2026, 3, 2, 9, tzinfo=UTC))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The real open-data files, which are not part of the project. Skips, loudly, where they are absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(
            "REAL INPUT NOT TESTED: the folder ../shared/data (seen from the project) is absent; "
            "put the real feeds there to run this test"
        )
    return REAL_DATA
