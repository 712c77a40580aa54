"""Which tests stay together on one worker of pytest-xdist: those of a file that share something expensive.

xdist's own ``loadgroup`` finds no groups with pytest 9.2, whose items take no other node id: each worker then
started a whole cluster of its own.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

__all__ = ["FileScheduling", "pytest_xdist_make_scheduler", "scope_of"]

WHOLE_FILES = (
    "tests/cluster/",
    "tests/e2e/",
    "tests/faults/test_cluster_outages.py",
    "tests/faults/test_postgres_faults.py",
)


def scope_of(node: str) -> str:
    """Return what a test is handed out with: its file, or nothing but itself."""
    return node.partition("::")[0] if node.startswith(WHOLE_FILES) else node


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Hands out such a file as one portion, the largest first, and all other tests one by one."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling:
    """See xdist's hook of this name."""
    return FileScheduling(config, log)
