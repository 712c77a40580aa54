"""Alembic environment of quality."""

from services.quality.migrations.tables import METADATA
from shared.store.migrations import run_environment

run_environment(METADATA)
