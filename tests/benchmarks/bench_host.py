"""Start-up, memory and recovery of ``nutmeg up``. Run: ``python -m tests.benchmarks.bench_host``.

Start-up is told as a ratio to importing the two libraries that every such server imports, so that a slow
machine does not make it look slow.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.host_in_process import feed_of
from tests.support.installation import Installation

RUNS = 5
DATASETS = 1_245
REST_SECONDS = 5.0
HARVESTED_SECONDS = 1.0
IMPORTS = "import fastapi, sqlalchemy"


def report(name: str, value: float, unit: str, **conditions: object) -> None:
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit, **conditions}), flush=True)


def keep_bytecode(folder: Path) -> None:
    """Let the processes begun from here on keep compiled modules, as an installation does."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder)


def importing_seconds() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    return time.perf_counter() - started


def starting_seconds(data_dir: Path) -> float:
    """From the command to ``/readyz`` saying so."""
    installation = Installation(data_dir)
    started = time.perf_counter()
    installation.start()
    seconds = time.perf_counter() - started
    installation.stop()
    return seconds


def measure_recovery(data_dir: Path) -> None:
    """Kill the server in the middle of a harvest; until it is ready again, and until all is done."""
    installation = Installation(data_dir)
    installation.start()
    try:
        feed = feed_of(*(f"killed {number}" for number in range(DATASETS)))
        with installation.client() as client:
            client.post("/api/v1/harvests", params={"source": "killed"}, json=feed, timeout=60)
        time.sleep(HARVESTED_SECONDS)
        installation.kill()
        started = time.perf_counter()
        installation.start()
        report("recover_ready", time.perf_counter() - started, "s from the start after kill -9")
        installation.wait_until_idle(600)
        report("recover_all_done", time.perf_counter() - started, "s, the harvest finished and drained")
    finally:
        installation.stop()


def memory_mb(pid: int) -> float:
    """Resident memory of a process and its children, what they share counted in part (PSS)."""
    pids = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        pids += [int(child) for child in (task / "children").read_text().split()]
    total_kb = 0
    for each in pids:
        lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        total_kb += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total_kb / 1024


def measure_memory(data_dir: Path) -> None:
    """Empty; then with as many datasets as four real feeds have, once all is handled and at rest."""
    installation = Installation(data_dir)
    installation.start()
    try:
        if installation.process is None:
            raise RuntimeError("the server is gone")
        time.sleep(REST_SECONDS)
        report("memory_idle", memory_mb(installation.process.pid), "MB", datasets="0")
        feed = feed_of(*(f"dataset {number}" for number in range(DATASETS)))
        with installation.client() as client:
            started = time.perf_counter()
            client.post("/api/v1/harvests", params={"wait": "true"}, json=feed, timeout=600)
            installation.wait_until_idle(600)
            seconds = time.perf_counter() - started
        report("harvest_all_services", DATASETS / seconds, "datasets/s, every service drained")
        time.sleep(REST_SECONDS)
        report("memory_idle", memory_mb(installation.process.pid), "MB", datasets=str(DATASETS))
    finally:
        installation.stop()


def main() -> None:
    """Measure in a folder that is thrown away; the best of several runs counts."""
    with tempfile.TemporaryDirectory(prefix="nutmeg-bench-") as folder:
        keep_bytecode(Path(folder) / "bytecode")
        importing_seconds()  # compiles what the others find compiled
        importing = min(importing_seconds() for _ in range(RUNS))
        report("import_fastapi_sqlalchemy", importing, "s")
        data_dir = Path(folder) / "data"
        report("start_first", starting_seconds(data_dir), "s, an empty directory")
        again = min(starting_seconds(data_dir) for _ in range(RUNS))
        report("start_again", again, "s, an existing directory")
        report("start_ratio", again / importing, "times the imports")
        measure_memory(data_dir)
        measure_recovery(data_dir)


if __name__ == "__main__":
    main()
