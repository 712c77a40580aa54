"""The soak judges by these: growth of memory, what workers tell, what the load has to come to, results."""

import csv
import os
import random
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path
from uuid import UUID

import orjson
import pytest

from services.catalog.dcat.domain.records import ParsedRecord, SourceDefaults, parse_record
from tests.benchmarks.corpus import Corpus
from tests.soak.feed import record_of, write_feed
from tests.soak.load import DATASETS, HITS_PER_SECOND, Feed, Hits
from tests.soak.processes import growth_of, processor_seconds, resident_mib
from tests.soak.results import COLUMNS, Findings, append_results
from tests.soak.watching import standing_in

HOUR = 3600
EVERY = 15


def hour_of(mib_per_hour: float, *, begin: float = 100.0) -> tuple[list[float], list[float]]:
    """Samples of an hour with noise and a peak now and then."""
    source = random.Random(7)
    seconds = [float(number) for number in range(0, HOUR, EVERY)]
    mib = [
        begin + mib_per_hour * at / HOUR + source.uniform(-1, 1) + (60 if source.random() < 0.05 else 0)
        for at in seconds
    ]
    return seconds, mib


@pytest.mark.parametrize(("mib_per_hour", "too_much"), [(0, False), (5, False), (20, True), (-20, False)])
def test_steady_growth_is_found_among_noise_and_peaks(mib_per_hour: float, too_much: bool) -> None:
    growth = growth_of(*hour_of(mib_per_hour))
    assert growth.mib_per_hour == pytest.approx(mib_per_hour, abs=1.5)
    assert growth.is_too_much is too_much


def test_growth_of_a_large_process_is_judged_by_its_share() -> None:
    assert not growth_of(*hour_of(20, begin=1000)).is_too_much


def test_what_a_process_takes_while_it_warms_up_is_no_growth() -> None:
    seconds, mib = hour_of(0)
    warm = [value - 50 if at < HOUR / 5 else value for at, value in zip(seconds, mib, strict=True)]
    assert not growth_of(seconds, warm).is_too_much


def test_too_few_samples_are_not_judged() -> None:
    with pytest.raises(ValueError, match="at least two"):
        growth_of([0.0, 15.0], [1.0, 2.0])


def test_memory_and_processor_time_of_a_process_have_those_of_its_children() -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as parent:
        named = {"one": os.getpid(), "two": parent.pid}
        both = resident_mib(named)
        assert both["one"] > both["two"] > 0
        assert processor_seconds(named)["one"] > 0
    assert resident_mib({"two": parent.pid}) == {"two": 0.0}
    assert processor_seconds({"two": parent.pid}) == {"two": 0.0}


def test_the_standing_of_workers_is_summed() -> None:
    first = """nutmeg_consumer_lag_records{group="a",partition="0",topic="t"} 3.0
nutmeg_consumer_lag_seconds{group="a",partition="0",topic="t"} 0.5
nutmeg_outbox_records{service="catalog"} 2.0
"""
    second = """nutmeg_consumer_lag_records{group="b",partition="1",topic="t"} 4.0
nutmeg_consumer_lag_seconds{group="b",partition="1",topic="t"} 1.5
nutmeg_relay_published_total{service="usage"} 1.2e+06
"""
    standing = standing_in([first, second])
    assert (standing.lag_records, standing.lag_seconds, standing.outbox_records) == (7, 1.5, 2)
    assert (standing.published, standing.dead_letters, standing.is_idle) == (1_200_000, 0, False)
    assert standing_in([]).is_idle


def test_in_each_round_of_the_feed_every_dataset_changes_once_and_half_of_them_lose_their_text() -> None:
    feed = Feed()
    before = orjson.loads(feed.document())["dataset"]
    changed = sum(feed.change() for _ in range(3))
    after = orjson.loads(feed.document())["dataset"]
    assert changed == DATASETS == len(after)
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert sum(feed.is_poor(number) for number in range(DATASETS)) == DATASETS / 2 == sum(feed.toggles)


def test_hits_come_from_ever_new_visitors_and_are_counted_beside_the_product() -> None:
    hits = Hits([UUID(int=number) for number in range(5)])
    sent = [*hits.batch(), *hits.batch()]
    assert len({hit["visitor"]["address"] for hit in sent}) == 2 * HITS_PER_SECOND == hits.sent
    columns = {"view": "views", "download": "downloads", "api-call": "api_calls"}
    assert hits.expected == Counter((UUID(hit["dataset_id"]), columns[hit["kind"]]) for hit in sent)


def test_each_record_of_the_large_feed_is_taken_and_says_what_the_corpus_says(tmp_path: Path) -> None:
    defaults = SourceDefaults("Somebody", "Team", "team@example.gov", date(2026, 3, 2))
    path = tmp_path / "feed.json"
    told: list[int] = []
    size_bytes = write_feed(path, 50, told.append)
    records = orjson.loads(path.read_bytes())["dataset"]
    assert (len(records), told, size_bytes) == (50, [0], path.stat().st_size)
    for raw, document in zip(records, Corpus().documents(50), strict=True):
        record = parse_record(raw, defaults=defaults)
        assert isinstance(record, ParsedRecord), record
        assert (record.identifier, record.title) == (document.identifier, document.title)
        assert record_of(document)["accessLevel"] == record.access_level


def test_results_say_what_was_measured_where_and_whether_it_is_as_it_should_be(tmp_path: Path) -> None:
    found = Findings("index", "5 datasets")
    found.add("rate", 1234.5678, "datasets/s")
    append_results(tmp_path / "results.csv", found)
    found.must_be("missing", 1, 0, "datasets")
    found.must_hold("all is well", False)
    append_results(tmp_path / "results.csv", found)
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["figure"], row["value"]) for row in rows] == [
        ("rate", "1234.57"),
        ("rate", "1234.57"),
        ("missing", "1"),
    ]
    begun, load, verdict = rows[0]["conditions"].split("; ")
    assert (begun, verdict) == ("5 datasets", "passed")
    assert load.startswith("load average ")
    assert rows[1]["conditions"].endswith("; failed: missing: 1 datasets, and should be 0; all is well")
