from datetime import UTC, date, datetime, timedelta

import pytest

from shared.web import wording

NOW = datetime(2026, 3, 15, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [date(2026, 3, 12), datetime(2026, 3, 12, 23, 59, tzinfo=UTC), "2026-03-12", "2026-03-12T08:00:00Z"],
)
def test_dates_are_written_out(value: date | str) -> None:
    assert wording.long_date(value) == "12 March 2026"


def test_an_unknown_date_is_not_known() -> None:
    assert wording.long_date(None) == "not known"
    assert wording.ago("", NOW) == "not known"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (datetime(2026, 3, 12, 14, 5, 9, 123456, tzinfo=UTC), "2026-03-12T14:05:09+00:00"),
        (datetime(2026, 3, 12, 14, 5, 9, 999999), "2026-03-12T14:05:09+00:00"),  # noqa: DTZ001
        ("2026-03-12T14:05:09.123456Z", "2026-03-12T14:05:09+00:00"),
        ("2026-03-12", "2026-03-12"),
        (date(2026, 3, 12), "2026-03-12"),
    ],
)
def test_machines_read_moments_in_whole_seconds(value: date | str, written: str) -> None:
    assert wording.machine_time(value) == written


def test_a_text_that_is_no_date_is_refused() -> None:
    with pytest.raises(ValueError, match="soon"):
        wording.long_date("soon")


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (timedelta(seconds=59), "just now"),
        (timedelta(seconds=-59), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(minutes=59, seconds=59), "59 minutes ago"),
        (timedelta(hours=23), "23 hours ago"),
        (timedelta(hours=24), "yesterday"),
        (timedelta(hours=-30), "tomorrow"),
        (timedelta(days=3), "3 days ago"),
        (timedelta(days=59), "59 days ago"),
        (timedelta(days=60), "2 months ago"),
        (timedelta(days=729), "24 months ago"),
        (timedelta(days=730), "2 years ago"),
        (timedelta(hours=-2), "in 2 hours"),
        (timedelta(days=-10), "in 10 days"),
    ],
)
def test_distances_are_told_in_the_largest_whole_unit(distance: timedelta, words: str) -> None:
    assert wording.ago(NOW - distance, NOW) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("2026-03-15", "today"),
        ("2026-03-14", "yesterday"),
        ("2026-03-16", "tomorrow"),
        ("2026-03-05", "10 days ago"),
    ],
)
def test_dates_without_a_time_count_in_whole_days(value: str, words: str) -> None:
    assert wording.ago(value, NOW) == words


def test_a_time_without_an_offset_is_utc() -> None:
    assert wording.ago(datetime(2026, 3, 15, 8, 30), NOW) == "1 hour ago"  # noqa: DTZ001


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"),
        (1234567, "1,234,567"),
        (12345.678, "12,345.68"),
        (3.0, "3"),
        (100.0, "100"),
        (None, "not known"),
    ],
)
def test_numbers_are_grouped(value: float | None, words: str) -> None:
    assert wording.number(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (12.34, "12.3"),
        (999, "999"),
        (999.6, "1k"),
        (1_204, "1.2k"),
        (9_960, "10k"),
        (34_500_000, "34M"),
        (999_960, "1M"),
        (7.25e12, "7.2T"),
    ],
)
def test_chart_labels_have_at_most_five_characters(value: float, words: str) -> None:
    assert wording.compact_number(value) == words
    assert len(words) <= 5


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "not known"),
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (3_400_000, "3.4 MB"),
        (2e18, "2,000 PB"),
    ],
)
def test_sizes_are_in_decimal_units(value: float | None, words: str) -> None:
    assert wording.size(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "not known"),
        (0, "0%"),
        (0.001, "1%"),
        (0.825, "82%"),
        (0.9999, "99%"),
        (1, "100%"),
        (1.5, "150%"),
    ],
)
def test_only_all_is_100_percent_and_only_none_is_0(value: float | None, words: str) -> None:
    assert wording.percent(value) == words


def test_only_gaps_are_not_known() -> None:
    assert [wording.known(value) for value in (None, "", "  ", 0, False, "CSV")] == [
        "not known",
        "not known",
        "not known",
        0,
        False,
        "CSV",
    ]


def test_counts_agree_with_their_noun() -> None:
    assert wording.plural(1, "dataset") == "1 dataset"
    assert wording.plural(0, "dataset") == "0 datasets"
    assert wording.plural(1204, "agency", "agencies") == "1,204 agencies"
    assert wording.plural(None, "dataset") == "not known"
