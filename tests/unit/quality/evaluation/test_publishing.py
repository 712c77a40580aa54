"""What everyone may see of a column's values."""

import pytest

from services.quality.evaluation.domain.publishing import SMALL_CELL_ROWS_MAX, publishable_values
from services.quality.profiling.domain.profile import ColumnProfile, CommonValue
from tests.unit.quality.profiles import column


def _column(name: str, *values: tuple[str, int], type_name: str = "string") -> ColumnProfile:
    return column(name, type_name, commonest=tuple(CommonValue(value, rows) for value, rows in values))


def test_values_in_many_rows_are_shown_and_those_in_few_are_not() -> None:
    found = publishable_values(
        _column("substance", ("A", 400), ("B", SMALL_CELL_ROWS_MAX + 1), ("C", SMALL_CELL_ROWS_MAX))
    )
    assert [(one.value, one.rows) for one in found] == [("A", 400), ("B", 11)]


@pytest.mark.parametrize(
    "name",
    ["Name", "patient", "First Name", "ownerName", "SSN", "e_mail", "record_id", "Home Address"],
)
def test_a_column_that_sounds_like_persons_or_identifiers_is_withheld_whole(name: str) -> None:
    assert publishable_values(_column(name, ("A", 400))) == ()


@pytest.mark.parametrize("name", ["Town", "town_name", "AgencyName", "Program Name", "type", "identity"])
def test_names_of_places_and_things_are_no_persons(name: str) -> None:
    assert len(publishable_values(_column(name, ("A", 400)))) == 1


@pytest.mark.parametrize(
    "value",
    ["ann@example.org", "123-45-6789", "(860) 555-0100", "860-555-0100", "12 Elm St", "a" * 61],
)
def test_values_that_look_personal_withhold_the_column(value: str) -> None:
    assert publishable_values(_column("about", ("fine", 400), (value, 300))) == ()


def test_only_text_and_yes_or_no_have_values_to_show() -> None:
    assert publishable_values(_column("year", ("2026", 400), type_name="integer")) == ()
    assert len(publishable_values(_column("open", ("true", 400), type_name="boolean"))) == 1
