"""Catalog's api in a cluster: ``python -m services.catalog.entrypoints.serve``."""

from services.catalog.bootstrap import bootstrap_cluster
from services.catalog.settings import CatalogSettings
from shared.process.running import run_api

if __name__ == "__main__":
    run_api(bootstrap_cluster, CatalogSettings)
