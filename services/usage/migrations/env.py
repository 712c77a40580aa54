"""Alembic environment of usage."""

from services.usage.migrations.tables import METADATA
from shared.store.migrations import run_environment

run_environment(METADATA)
