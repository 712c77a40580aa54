"""Alembic environment of the tests' own service."""

from shared.store.migrations import run_environment
from tests.support.ledger_service import METADATA

run_environment(METADATA)
