"""A filter value that does not exist is told with those that do."""

import pytest

from shared.http.known_values import require_known_values
from shared.http.problems import ProblemError


def test_known_values_pass() -> None:
    require_known_values("format", ["CSV", "CSV"], {"CSV", "JSON"})
    require_known_values("format", [], [])


def test_an_unknown_one_is_told_with_those_there_are_the_most_alike_first() -> None:
    with pytest.raises(ProblemError) as caught:
        require_known_values("format", ["CVS", "JSON"], ["GeoJSON", "JSON", "CSV"])
    (error,) = caught.value.errors
    assert caught.value.status == 422
    assert (error.parameter, error.code) == ("format", "unknown_value")
    assert error.cure == "Use one of CSV, JSON, GeoJSON."


def test_many_are_not_all_told_and_a_long_one_is_not_repeated_whole() -> None:
    with pytest.raises(ProblemError) as caught:
        require_known_values("agency", ["x" * 5_000], [f"agency {number:03}" for number in range(120)])
    assert "(and 70 more)" in caught.value.errors[0].cure
    assert len(caught.value.errors[0].detail) < 200
