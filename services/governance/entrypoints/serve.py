"""Governance's api in a cluster: ``python -m services.governance.entrypoints.serve``."""

from services.governance.bootstrap import bootstrap_cluster
from services.governance.settings import GovernanceSettings
from shared.process.running import run_api

if __name__ == "__main__":
    run_api(bootstrap_cluster, GovernanceSettings)
