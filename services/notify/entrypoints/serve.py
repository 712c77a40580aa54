"""Notify's api in a cluster: ``python -m services.notify.entrypoints.serve``."""

from services.notify.bootstrap import bootstrap_cluster
from services.notify.settings import NotifySettings
from shared.process.running import run_api

if __name__ == "__main__":
    run_api(bootstrap_cluster, NotifySettings)
