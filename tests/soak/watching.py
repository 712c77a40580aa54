"""What the processes of a cluster tell of themselves: how far behind they are, what they put aside."""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import httpx

from tests.support.cluster import Cluster

__all__ = ["Standing", "standing_in", "standing_of", "wait_for"]

SERIES = re.compile(r"^(nutmeg_\w+)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)
LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Standing:
    """Sums over all workers of a cluster."""

    lag_records: int
    lag_seconds: float
    outbox_records: int
    work_pending: int
    dead_letters: int
    published: int

    @property
    def is_idle(self) -> bool:
        return self.lag_records == self.outbox_records == self.work_pending == 0


def standing_of(cluster: Cluster) -> Standing:
    """Ask every worker. Raises ``httpx.HTTPError`` if one doesn't answer."""
    texts = [
        httpx.get(f"http://127.0.0.1:{process.port}/metrics", timeout=30).raise_for_status().text
        for name, process in cluster.processes.items()
        if "-worker" in name
    ]
    return standing_in(texts)


def standing_in(texts: Iterable[str]) -> Standing:
    """Read metrics in Prometheus's text format, one text for each worker."""
    series = [(name, float(value)) for text in texts for name, value in SERIES.findall(text)]

    def values(wanted: str) -> list[float]:
        return [value for name, value in series if name == wanted]

    return Standing(
        lag_records=_sum(values("nutmeg_consumer_lag_records")),
        lag_seconds=max(values("nutmeg_consumer_lag_seconds"), default=0.0),
        outbox_records=_sum(values("nutmeg_outbox_records")),
        work_pending=_sum(values("nutmeg_work_pending")),
        dead_letters=_sum(values("nutmeg_dead_letters_total")),
        published=_sum(values("nutmeg_relay_published_total")),
    )


def wait_for(look: Callable[[], bool], what: str, *, seconds_max: float) -> None:
    """Return once ``look`` finds it. Raises ``TimeoutError`` with ``what``."""
    until = time.monotonic() + seconds_max
    while not look():
        if time.monotonic() > until:
            raise TimeoutError(f"waited {seconds_max:.0f} s in vain for {what}")
        time.sleep(LOOK_SECONDS)


def _sum(values: Iterable[float]) -> int:
    return int(sum(values))
