"""One hour at 200 events a second through every service: no growth of memory, and every count exact."""

from pathlib import Path

from tests.soak.checks import check_counts, check_rest
from tests.soak.load import DATASETS, EVENTS_PER_SECOND
from tests.soak.processes import growth_of
from tests.soak.results import Findings, write_table
from tests.soak.running import BACKLOG, Run, put_under_load, running_whole, settle, wait_until_idle
from tests.soak.showing import Shown

__all__ = ["run_steady"]

JUDGED_MINUTES_MIN = 20.0
"""Memory is judged from here on; in less time a process has not settled."""


def run_steady(minutes: float, output: Path, shown: Shown) -> Findings:
    """Run it. ``output`` gets the samples of memory as ``steady_memory.csv``."""
    found = Findings(
        "steady",
        f"{minutes:g} minutes at {EVENTS_PER_SECOND:.0f} events/s over 5 apis and 5 workers, "
        f"one Kafka broker, PostgreSQL, Elasticsearch; {DATASETS} datasets; servers and load on one machine",
    )
    with running_whole(shown) as run:
        settle(run, shown)
        try:
            put_under_load(run, minutes * 60, shown)
        finally:
            write_table(output / "steady_memory.csv", run.samples)
        shown.tell("waiting until all is handled")
        wait_until_idle(run.cluster)
        published = check_rest(found, run.cluster)
        check_counts(found, run.cluster, run.feed, run.hits, run.mail.message_ids)
        found.add("published in all", published, "events")
        found.add("published rate", published / (minutes * 60), "events/s")
        found.add("latest start of a batch", run.late_seconds_max, "s")
        found.add("lag at most", run.most("lag_records"), "records")
        found.add("lag in time at most", run.most("lag_seconds"), "s")
    _judge_memory(found, run, minutes)
    return found


def _judge_memory(found: Findings, run: Run, minutes: float) -> None:
    """Growth of each of Nutmeg's processes is a figure and judged; the servers' is a figure alone."""
    seconds = [row["seconds"] for row in run.samples]
    for name in run.samples[0]:
        if name in {"seconds", *BACKLOG}:
            continue
        growth = growth_of(seconds, [row[name] for row in run.samples])
        found.add(f"memory of {name}", growth.median_mib, "MiB")
        found.add(f"memory growth of {name}", growth.mib_per_hour, "MiB/h")
        if minutes >= JUDGED_MINUTES_MIN and not name.startswith("server "):
            found.must_hold(
                f"{name} grows by {growth.mib_per_hour:.1f} MiB/h, {growth.share_per_hour:.0%}",
                not growth.is_too_much,
            )
