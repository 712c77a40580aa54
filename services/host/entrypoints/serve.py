"""Operations of a cluster: ``python -m services.host.entrypoints.serve``. Pages, API, and what the API is."""

import asyncio

from services.host.bootstrap_cluster import SERVICE_SETTINGS, bootstrap_operations
from shared.process.context import ProcessContext
from shared.process.running import run_process, serve_until
from shared.telemetry.logging import configure_logging

__all__ = ["serve_operations"]

NAME = "operations"


async def serve_operations(ground: ProcessContext, ended: asyncio.Event) -> None:
    """Answer operators until ``ended`` is set."""
    configure_logging(NAME, level=ground.settings.log_level)
    process = bootstrap_operations(ground)
    try:
        await serve_until(ended, ground, process.app, NAME, process.operations.open)
    finally:
        await process.close()


if __name__ == "__main__":
    run_process(serve_operations, *SERVICE_SETTINGS)
