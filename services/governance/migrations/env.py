"""Alembic environment of governance."""

from services.governance.migrations.tables import METADATA
from shared.store.migrations import run_environment

run_environment(METADATA)
