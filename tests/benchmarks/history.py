"""The history of measurements: one CSV row per figure, with its commit and machine."""

import csv
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

HISTORY = Path(__file__).with_name("history.csv")
COLUMNS = ("at", "commit", "python", "cores", "processor", "load", "benchmark", "case", "figure", "value")


def conditions() -> dict[str, str]:
    """Return what a figure is read with: when, which commit (``+``: changed since), which machine, how busy.

    Call it before the benchmark, so that ``load`` (processes, mean of a minute) is that of others.
    """
    commit = _git("rev-parse", "--short", "HEAD")
    changed = "+" if _git("status", "--porcelain", "--untracked-files=no") else ""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit + changed,
        "python": platform.python_version(),
        "cores": str(os.cpu_count()),
        "processor": _processor(Path("/proc/cpuinfo")),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def figures(benchmark: str, output: str) -> Iterator[dict[str, str]]:
    """Read a benchmark's JSON lines: numbers are figures, all else says which case they belong to."""
    for line in output.splitlines():
        if not line.startswith("{"):
            continue
        facts = json.loads(line)
        numbers = {name: value for name, value in facts.items() if _is_number(value)}
        case = " ".join(f"{name}={value}" for name, value in facts.items() if name not in numbers)
        for name, value in numbers.items():
            yield {"benchmark": benchmark, "case": case, "figure": name, "value": f"{value:.6g}"}


def append(path: Path, measured: Mapping[str, str], rows: list[dict[str, str]]) -> None:
    """Add rows to the history, and its header if it is new."""
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerows({**measured, **row} for row in rows)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def _processor(path: Path) -> str:
    names = [
        line.partition(":")[2].strip()
        for line in (path.read_text() if path.exists() else "").splitlines()
        if line.startswith("model name")
    ]
    return names[0] if names else platform.machine()
