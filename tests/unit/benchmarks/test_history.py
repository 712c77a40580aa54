"""The history of measurements keeps every figure with its case and its conditions."""

import csv
from pathlib import Path

from tests.benchmarks.history import COLUMNS, append, conditions, figures


def test_each_number_of_a_case_is_a_figure() -> None:
    output = 'warming up\n{"case": "batches", "synchronous": true, "per_second": 38123.4567, "events": 500}\n'
    case = {"benchmark": "bench_log", "case": "case=batches synchronous=True"}
    assert list(figures("bench_log", output)) == [
        {**case, "figure": "per_second", "value": "38123.5"},
        {**case, "figure": "events", "value": "500"},
    ]


def test_figures_are_added_beneath_the_earlier_ones_with_their_conditions(tmp_path: Path) -> None:
    history = tmp_path / "history.csv"
    measured = conditions()
    for value in ("1", "2"):
        append(history, measured, [{"benchmark": "b", "case": "", "figure": "f", "value": value}])
    with history.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["value"] for row in rows] == ["1", "2"]
    assert tuple(rows[0]) == COLUMNS
    assert all(rows[0][name] == measured[name] != "" for name in measured)
