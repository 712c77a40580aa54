"""Usage's worker in a cluster: ``python -m services.usage.entrypoints.worker``."""

from services.usage.bootstrap import bootstrap_cluster
from services.usage.settings import UsageSettings, UsageStreamSettings
from shared.process.running import run_worker

if __name__ == "__main__":
    run_worker(bootstrap_cluster, UsageSettings, UsageStreamSettings)
