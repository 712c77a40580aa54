"""Usage's api in a cluster: ``python -m services.usage.entrypoints.serve``."""

from services.usage.bootstrap import bootstrap_cluster
from services.usage.settings import UsageSettings, UsageStreamSettings
from shared.process.running import run_api

if __name__ == "__main__":
    run_api(bootstrap_cluster, UsageSettings, UsageStreamSettings)
