"""Alembic environment of governance."""

from services.governance.adapters.tables import METADATA
from shared.store.migrations import run_environment

run_environment(METADATA)
