"""Governance's worker in a cluster: ``python -m services.governance.entrypoints.worker``."""

from services.governance.bootstrap import bootstrap_cluster
from services.governance.settings import GovernanceSettings
from shared.process.running import run_worker

if __name__ == "__main__":
    run_worker(bootstrap_cluster, GovernanceSettings)
