"""Operations of a cluster: ``python -m services.host.entrypoints.serve``. Pages, API, and what the API is."""

from services.host.cluster import SERVICE_SETTINGS
from services.host.operations_process import serve_operations
from shared.process.running import run_process

if __name__ == "__main__":
    run_process(serve_operations, *SERVICE_SETTINGS)
