"""Quality's worker in a cluster: ``python -m services.quality.entrypoints.worker``."""

from services.quality.bootstrap import bootstrap_cluster
from services.quality.settings import QualitySettings
from shared.process.running import run_worker

if __name__ == "__main__":
    run_worker(bootstrap_cluster, QualitySettings)
