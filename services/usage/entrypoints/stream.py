"""Usage's stream processor in a cluster: ``python -m services.usage.entrypoints.stream``."""

from services.usage.bootstrap import bootstrap_stream
from services.usage.settings import UsageSettings, UsageStreamSettings
from shared.process.running import run_worker

if __name__ == "__main__":
    run_worker(bootstrap_stream, UsageSettings, UsageStreamSettings, part="stream")
