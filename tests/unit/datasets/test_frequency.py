"""Frequencies: ISO 8601, English, vocabularies, and rubbish."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.datasets.frequency import Cadence, describe, english_to_iso, parse_periodicity


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("Weekly", "R/P1W"),
        ("weekly ", "R/P1W"),
        ("Annual (R/P1Y)", "R/P1Y"),
        ("Annually (fiscal)", "R/P1Y"),
        ("R/P1Y", "R/P1Y"),
        ("r/p1y", "R/P1Y"),
        ("P1M", "R/P1M"),
        ("R/P0.33W", "R/P0.33W"),
        ("R/P3.5D", "R/P3.5D"),
        ("R/PT1S", "R/PT1S"),
        ("R/P1DT12H", "R/P1DT12H"),
        ("Bi-annually", "R/P6M"),
        ("Every weekday", "R/P1D"),
        ("No longer updated", "irregular"),
        ("Archived", "irregular"),
        ("Never", "irregular"),
        ("Not updated (historical only)", "irregular"),
        ("As needed", "irregular"),
        ("asNeeded", "irregular"),
        ("http://purl.org/cld/freq/threeTimesAYear", "R/P4M"),
        ("http://publications.europa.eu/resource/authority/frequency/QUARTERLY", "R/P3M"),
        ("fortnightly", "R/P2W"),
    ],
)
def test_each_known_form_has_its_iso_interval(text: str, iso: str) -> None:
    assert english_to_iso(text) == iso


@pytest.mark.parametrize(
    "text",
    [None, "", "unknown", "R/P", "R/PT", "P", "R/P0D", "R/P999999Y", "who knows", "w" * 5000, "R/1Y", "PM"],
)
def test_a_text_that_names_no_frequency_gives_nothing(text: str | None) -> None:
    assert english_to_iso(text) is None
    assert parse_periodicity(text) is None


@pytest.mark.parametrize(
    ("text", "cadence", "words"),
    [
        ("R/P1W", Cadence(timedelta(days=7), "periodic"), "every week"),
        ("R/P7D", Cadence(timedelta(days=7), "periodic"), "every week"),
        ("R/P1D", Cadence(timedelta(days=1), "periodic"), "every day"),
        ("Every weekday", Cadence(timedelta(days=1), "periodic", business_days=True), "every weekday"),
        ("R/P1Y", Cadence(timedelta(days=365.25), "periodic"), "every year"),
        ("R/P10Y", Cadence(timedelta(days=3652.5), "periodic"), "every 10 years"),
        ("R/P2M", Cadence(timedelta(days=60.875), "periodic"), "every 2 months"),
        ("R/P10D", Cadence(timedelta(days=10), "periodic"), "every 10 days"),
        ("R/P1.5D", Cadence(timedelta(hours=36), "periodic"), "every 1.5 days"),
        ("R/P0.5M", Cadence(timedelta(days=15.21875), "periodic"), "twice a month"),
        ("R/P3.5D", Cadence(timedelta(days=3.5), "periodic"), "twice a week"),
        ("R/PT1H", Cadence(timedelta(hours=1), "periodic"), "every hour"),
        ("R/PT6H", Cadence(timedelta(hours=6), "periodic"), "every 6 hours"),
        ("R/PT15M", Cadence(timedelta(minutes=15), "periodic"), "every 15 minutes"),
        ("R/PT10S", Cadence(timedelta(seconds=10), "periodic"), "every 10 seconds"),
        ("R/PT1S", Cadence(None, "continuous"), "continuously"),
        ("irregular", Cadence(None, "irregular"), "irregularly"),
        ("As needed", Cadence(None, "irregular"), "irregularly"),
        ("Not updated (historical only)", Cadence(None, "historical"), "never again (historical data)"),
    ],
)
def test_a_promise_is_read_and_told_in_words(text: str, cadence: Cadence, words: str) -> None:
    assert parse_periodicity(text) == cadence
    assert describe(cadence) == words


@settings(deadline=None)
@given(st.text(max_size=300) | st.from_regex(r"R/P[0-9YMWDTHS.]{0,20}", fullmatch=True))
def test_no_text_raises_and_what_is_read_reads_the_same_again(text: str) -> None:
    iso = english_to_iso(text)
    cadence = parse_periodicity(text)
    assert (iso is None) == (cadence is None)
    if iso is not None and cadence is not None:
        assert english_to_iso(iso) == iso
        assert describe(cadence)
