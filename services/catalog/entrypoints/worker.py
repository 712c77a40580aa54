"""Catalog's worker in a cluster: ``python -m services.catalog.entrypoints.worker``."""

from services.catalog.bootstrap import bootstrap_cluster
from services.catalog.settings import CatalogSettings
from shared.process.running import run_worker

if __name__ == "__main__":
    run_worker(bootstrap_cluster, CatalogSettings)
