"""What processes take: memory over time, and whether that grows, and processor time."""

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

__all__ = [
    "FLOOR_MIB_PER_HOUR",
    "GROWTH_PER_HOUR_MAX",
    "Growth",
    "growth_of",
    "processor_seconds",
    "resident_mib",
]

PROC = Path("/proc")
KIBIBYTES_PER_MIBIBYTE = 1024
SECONDS_PER_HOUR = 3600.0
LEFT_OUT = 0.25
"""The first quarter: pools fill, caches warm, modules load when they are first needed."""
GROWTH_PER_HOUR_MAX = 0.10
FLOOR_MIB_PER_HOUR = 8.0
"""Less than this is never called growth: allocators round, and a sample is one moment."""


@dataclass(frozen=True, slots=True)
class Growth:
    """How a process's resident memory went, the first quarter of the time left out."""

    median_mib: float
    mib_per_hour: float

    @property
    def share_per_hour(self) -> float:
        return self.mib_per_hour / self.median_mib if self.median_mib else 0.0

    @property
    def is_too_much(self) -> bool:
        return self.mib_per_hour > FLOOR_MIB_PER_HOUR and self.share_per_hour > GROWTH_PER_HOUR_MAX


def growth_of(seconds: Sequence[float], mib: Sequence[float]) -> Growth:
    """Return the Theil-Sen slope: the median of the slopes between all pairs, which single peaks don't move.

    Raises ``ValueError`` with fewer than two samples behind the first quarter.
    """
    begin = seconds[0] + LEFT_OUT * (seconds[-1] - seconds[0])
    samples = [(at, value) for at, value in zip(seconds, mib, strict=True) if at >= begin]
    slopes = [
        (second[1] - first[1]) / (second[0] - first[0])
        for first, second in combinations(samples, 2)
        if second[0] > first[0]
    ]
    if not slopes:
        raise ValueError("samples: take at least two behind the first quarter of the time")
    median = statistics.median(value for _, value in samples)
    return Growth(median, statistics.median(slopes) * SECONDS_PER_HOUR)


def resident_mib(processes: Mapping[str, int]) -> dict[str, float]:
    """Return the resident memory of each process, by name, its children included; 0 for one that is gone."""
    children = _children()
    return {name: sum(_own_mib(each) for each in _family(pid, children)) for name, pid in processes.items()}


def processor_seconds(processes: Mapping[str, int]) -> dict[str, float]:
    """Return the processor time of each process so far, by name, with its children, also those that ended."""
    children = _children()
    return {
        name: sum(_own_seconds(each) for each in _family(pid, children)) for name, pid in processes.items()
    }


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (words := _stat(int(entry.name))):
            found.setdefault(int(words[1]), []).append(int(entry.name))
    return found


def _family(pid: int, children: Mapping[int, Sequence[int]]) -> list[int]:
    found = [pid]
    for each in found:
        found += children.get(each, ())
    return found


def _stat(pid: int) -> list[str]:
    """The words of ``/proc/PID/stat`` behind the name, from the state on; none for a process that is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _own_seconds(pid: int) -> float:
    ticks = sum(int(word) for word in _stat(pid)[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def _own_mib(pid: int) -> float:
    """PSS: what a family shares, as PostgreSQL its buffers, counts once. RSS where that is not told."""
    for name, label in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            lines = (PROC / str(pid) / name).read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith(label):
                return int(line.split()[1]) / KIBIBYTES_PER_MIBIBYTE
    return 0.0
