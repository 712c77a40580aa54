"""Alembic environment of notify."""

from services.notify.migrations.tables import METADATA
from shared.store.migrations import run_environment

run_environment(METADATA)
