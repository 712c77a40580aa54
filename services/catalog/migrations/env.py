"""Alembic environment of catalog."""

from services.catalog.migrations.tables import METADATA
from shared.store.migrations import run_environment

run_environment(METADATA)
