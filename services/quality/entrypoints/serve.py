"""Quality's api in a cluster: ``python -m services.quality.entrypoints.serve``."""

from services.quality.bootstrap import bootstrap_cluster
from services.quality.settings import QualitySettings
from shared.process.running import run_api

if __name__ == "__main__":
    run_api(bootstrap_cluster, QualitySettings)
