"""What a soak found, as CSV: one row per figure, with its commit, machine and conditions."""

import csv
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.benchmarks.history import conditions

__all__ = ["COLUMNS", "Figure", "Findings", "append_results", "write_table"]

COLUMNS = ("commit", "machine", "date", "part", "figure", "value", "unit", "conditions")
GIBIBYTE = 1024**3


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that a part measured."""

    figure: str
    value: float
    unit: str


@dataclass
class Findings:
    """What one part measured, and in ``failures`` what should not be so, in words."""

    part: str
    conditions: str
    figures: list[Figure] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, figure: str, value: float, unit: str) -> None:
        """Note a figure."""
        self.figures.append(Figure(figure, value, unit))

    def must_be(self, figure: str, value: float, expected: float, unit: str) -> None:
        """Note a figure that has only one right value."""
        self.add(figure, value, unit)
        if value != expected:
            self.failures.append(f"{figure}: {value:g} {unit}, and should be {expected:g}")

    def must_hold(self, statement: str, holds: bool) -> None:
        """Note a failure unless the statement holds."""
        if not holds:
            self.failures.append(statement)


def append_results(path: Path, found: Findings) -> None:
    """Add rows to the results, and their header if the file is new."""
    measured = conditions()
    kept = {"commit": measured["commit"], "machine": _machine(measured), "date": measured["at"]}
    verdict = "failed: " + "; ".join(found.failures) if found.failures else "passed"
    # A figure of a machine that did other things too says less, and should say so.
    load = f"load average {os.getloadavg()[2]:.1f} over the last 15 minutes"
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        for figure in found.figures:
            row = asdict(figure) | {"part": found.part, "value": f"{figure.value:.6g}"}
            writer.writerow({**kept, **row, "conditions": f"{found.conditions}; {load}; {verdict}"})


def write_table(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Write samples as CSV, one column for each name that any row has."""
    names = sorted({name for row in rows for name in row}, key=lambda name: (name != "seconds", name))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)


def _machine(measured: dict[str, str]) -> str:
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    memory = f"{memory_bytes / GIBIBYTE:.0f} GiB"
    system = f"{platform.system()}, Python {measured['python']}"
    return f"{measured['cores']} cores of {measured['processor']}, {memory}, {system}"
