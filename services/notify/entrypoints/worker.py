"""Notify's worker in a cluster: ``python -m services.notify.entrypoints.worker``."""

from services.notify.bootstrap import bootstrap_cluster
from services.notify.settings import NotifySettings
from shared.process.running import run_worker

if __name__ == "__main__":
    run_worker(bootstrap_cluster, NotifySettings)
