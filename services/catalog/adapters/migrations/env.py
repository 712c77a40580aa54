"""Alembic environment of catalog."""

from services.catalog.adapters.tables import METADATA
from shared.store.migrations import run_environment

run_environment(METADATA)
