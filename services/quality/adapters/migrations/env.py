"""Alembic environment of quality."""

from services.quality.adapters.tables import METADATA
from shared.store.migrations import run_environment

run_environment(METADATA)
