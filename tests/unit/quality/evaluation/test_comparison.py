from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.quality.alerts.domain.findings import Finding
from services.quality.evaluation.domain.comparison import (
    compare_profiles,
    compare_with_dictionary,
    declared_type,
    next_baseline,
)
from services.quality.evaluation.domain.volume import RowCount, robust_z, volume_findings
from services.quality.profiling.domain.profile import Profile
from shared.events.catalog import Column
from tests.unit.quality.profiles import PROFILED_AT, column, profile

BASE = profile(
    column("town", minimum="Andover", maximum="Woodstock", distinct_estimate=169),
    column("opened", "date", minimum="2019-01-01", maximum="2020-01-01"),
    column("amount", "number", minimum="0.5", maximum="9.5"),
)


def history(*rows: int, days: int = 1) -> list[RowCount]:
    first = PROFILED_AT - len(rows) * days * timedelta(days=1)
    return [RowCount(first + position * timedelta(days=days), count) for position, count in enumerate(rows)]


def volume(baseline: int, now: int, *past: int) -> list[str]:
    found = volume_findings(baseline, RowCount(PROFILED_AT, now), history(*past))
    return [finding.kind for finding in found]


def kinds(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.kind for finding in findings]


def test_the_same_profile_again_has_no_findings() -> None:
    assert compare_profiles(BASE, BASE) == ()


@pytest.mark.parametrize(("now", "dropped"), [(0, True), (500, True), (501, False), (950, False)])
def test_half_of_the_rows_gone_is_told_without_any_history(now: int, dropped: bool) -> None:
    assert volume(1000, now) == (["row-count-dropped"] if dropped else [])


def test_a_smaller_drop_is_told_only_where_the_history_shows_that_it_is_unusual() -> None:
    assert volume(1000, 880, 1000, 1000, 1000, 1000, 1000, 1000) == ["row-count-dropped"]
    assert volume(1000, 880, 1000, 1000, 1000, 1000) == []
    assert volume(1000, 880, 1000, 850, 1010, 870, 1020, 1000) == []
    assert volume(1000, 905, 1000, 1000, 1000, 1000, 1000, 1000) == []


def test_a_spike_is_told_from_a_quarter_more_where_it_is_unusual_and_tenfold_always() -> None:
    assert volume(1000, 1300, 1000, 1001, 1002, 1003, 1004, 1005) == ["row-count-risen"]
    assert volume(1000, 1200, 1000, 1001, 1002, 1003, 1004, 1005) == []
    assert volume(1000, 1300) == []
    assert volume(1000, 10_000) == ["row-count-risen"]
    assert volume(3, 40) == []


def test_an_empty_file_that_was_always_empty_is_no_finding() -> None:
    assert volume(0, 0) == []
    assert volume(0, 10) == []


def test_steady_growth_is_no_anomaly() -> None:
    past = history(*(1000 + 100 * position for position in range(8)))
    score = robust_z(past, RowCount(PROFILED_AT, 1800))
    assert score is not None
    assert abs(score) < 3.5


def test_a_weekday_is_compared_with_the_same_weekday() -> None:
    week = [1000, 1000, 1000, 1000, 1000, 500, 500]
    past = history(*(week * 6))
    monday = past[-1].at + timedelta(days=1)
    score = robust_z(past, RowCount(monday, 1000))
    assert score is not None
    assert abs(score) < 3.5


@given(
    st.lists(st.integers(min_value=0, max_value=10**9), max_size=12),
    st.integers(min_value=0, max_value=10**9),
    st.integers(min_value=0, max_value=10**9),
)
def test_the_detector_never_fails_and_finds_at_most_one_thing(past: list[int], before: int, now: int) -> None:
    found = volume(before, now, *past)
    assert len(found) <= 1
    if before and now <= before // 2:
        assert found == ["row-count-dropped"]


def test_a_removed_column_breaks_and_an_added_one_does_not() -> None:
    removed = profile(*BASE.columns[:2])
    (broken,) = compare_profiles(BASE, removed)
    assert (broken.kind, broken.severity) == ("schema-broken", "error")
    assert "amount removed" in broken.cause
    (changed,) = compare_profiles(removed, BASE)
    assert (changed.kind, changed.severity) == ("schema-changed", "info")
    assert "amount added" in changed.cause


def test_a_renamed_column_is_recognised_by_its_name() -> None:
    renamed = profile(*BASE.columns[:2], column("amount_usd", "number", minimum="1", maximum="2"))
    (finding,) = compare_profiles(BASE, renamed)
    assert "amount renamed to amount_usd" in finding.cause
    assert [(one.expected, one.observed) for one in finding.evidence] == [("amount", "amount_usd")]


def test_a_renamed_column_is_recognised_by_its_values() -> None:
    municipality = column("municipality", minimum="Andover", maximum="Woodstock", distinct_estimate=169)
    (finding,) = compare_profiles(BASE, profile(municipality, *BASE.columns[1:]))
    assert "town renamed to municipality" in finding.cause


def test_a_column_of_another_type_is_removed_and_added_not_renamed() -> None:
    findings = compare_profiles(BASE, profile(*BASE.columns[:2], column("amount2", "string")))
    assert kinds(findings) == ["schema-broken", "schema-changed"]


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("integer", "string", "schema-broken"),
        ("string", "integer", "schema-broken"),
        ("datetime", "date", "schema-broken"),
        ("date", "datetime", "schema-changed"),
        ("integer", "number", "schema-changed"),
        ("number", "integer", "schema-changed"),
    ],
)
def test_a_changed_type_breaks_unless_every_reader_of_the_old_one_can_read_the_new(
    before: str, after: str, kind: str
) -> None:
    findings = compare_profiles(profile(column("x", before)), profile(column("x", after)))
    assert kinds(findings) == [kind]


def test_an_empty_column_has_no_type_to_compare() -> None:
    empty = profile(column("x", "string", null_count=1000))
    assert compare_profiles(empty, profile(column("x", "integer"))) == ()


def test_a_column_that_loses_its_values_is_found_by_name() -> None:
    emptied = profile(
        BASE.columns[0], column("opened", "date", null_count=400, blank_count=100), BASE.columns[2]
    )
    (finding,) = compare_profiles(BASE, emptied)
    assert (finding.kind, finding.column, finding.severity) == ("nulls-risen", "opened", "error")
    assert "50%" in finding.cause


@pytest.mark.parametrize(
    ("before", "after", "found"), [(0, 60, True), (0, 40, False), (300, 450, False), (300, 510, True)]
)
def test_only_a_rise_of_empty_cells_that_matters_is_told(before: int, after: int, found: bool) -> None:
    findings = compare_profiles(
        profile(column("x", null_count=before)), profile(column("x", null_count=after))
    )
    assert kinds(findings) == (["nulls-risen"] if found else [])


def test_chance_in_a_tiny_file_is_no_finding() -> None:
    before = profile(column("x", null_count=0), rows=6)
    assert compare_profiles(before, profile(column("x", null_count=2), rows=6)) == ()


def test_many_emptied_columns_are_one_finding() -> None:
    names = [f"c{position}" for position in range(30)]
    before = profile(*(column(name) for name in names))
    (finding,) = compare_profiles(before, profile(*(column(name, null_count=900) for name in names)))
    assert finding.column is None
    assert "30 columns" in finding.cause
    assert len(finding.evidence) == 20


def test_a_profile_that_left_columns_out_says_nothing_of_removed_ones() -> None:
    wide = profile(*BASE.columns, column_count=5000)
    assert compare_profiles(wide, profile(*BASE.columns[:1], column_count=5000)) == ()


def test_an_emptied_file_is_one_finding_and_not_also_a_broken_schema() -> None:
    assert kinds(compare_profiles(BASE, profile(rows=0))) == ["row-count-dropped"]


def test_the_baseline_stays_until_what_was_found_is_right_again() -> None:
    broken = profile(*BASE.columns, rows=300)
    findings = compare_profiles(BASE, broken)
    assert next_baseline(BASE, broken, findings) is BASE
    larger = profile(*BASE.columns, column("note"), rows=1010)
    assert next_baseline(BASE, larger, compare_profiles(BASE, larger)) is larger


def against(dictionary: list[Column], current: Profile = BASE) -> tuple[Finding, ...]:
    return compare_with_dictionary(current, dictionary)


DICTIONARY = [
    Column(name="town", type="string"),
    Column(name="opened_on", title="Opened", type="calendar_date"),
    Column(name="amount", type="number"),
]


def test_a_file_as_declared_has_no_finding_whether_by_name_or_by_title() -> None:
    assert against(DICTIONARY) == ()
    assert against([]) == ()
    assert against(DICTIONARY, profile(rows=0)) == ()


def test_declared_columns_missing_and_undeclared_ones_are_named() -> None:
    (finding,) = against([*DICTIONARY[:2], Column(name="county", type="text")])
    assert (finding.kind, finding.severity) == ("dictionary-broken", "warning")
    assert "county declared but not in the file" in finding.cause
    assert "amount in the file but not declared" in finding.cause


def test_undeclared_columns_alone_are_only_information() -> None:
    (finding,) = against(DICTIONARY[:2])
    assert finding.severity == "info"


def test_values_of_another_type_than_declared_are_a_finding_with_both_types() -> None:
    (finding,) = against([Column(name="town", type="integer"), *DICTIONARY[1:]])
    assert [(one.name, one.expected, one.observed) for one in finding.evidence] == [
        ("town", "integer", "string")
    ]


def test_text_accepts_any_value_and_an_unknown_type_word_is_no_promise() -> None:
    assert against([DICTIONARY[0], DICTIONARY[1], Column(name="amount", type="text")]) == ()
    assert against([DICTIONARY[0], DICTIONARY[1], Column(name="amount", type="blob-ish")]) == ()
    assert declared_type(" Calendar_Date ") == "datetime"
    assert declared_type(None) is None


def test_history_is_judged_at_the_time_it_was_measured() -> None:
    past = history(10, 20, 30)
    assert past[0].at < past[-1].at < PROFILED_AT
    assert robust_z(past, RowCount(datetime(2026, 1, 15, tzinfo=PROFILED_AT.tzinfo), 40)) is None
