"""One key for all spellings of a publisher that differ in form only."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.domain.publisher_names import normalise_publisher
from tests.unit.catalog.dcat_inputs import real_file, real_records

CONNECTICUT = ("Connecticut", "CT")


@pytest.mark.parametrize(
    "spelling",
    [
        "Department of Labor",
        "DEPARTMENT OF LABOR",
        "Dept. of Labor",
        "CT Dept of Labor",
        "Connecticut Department of Labor",
        "State of Connecticut, Department of Labor",
        "Connecticut State Department of Labor",
        "Labor, Department of",
        "Labor Department",
        "The Department of Labor (DOL)",
        "  Départment  of\tLabor ",
    ],
)
def test_spellings_of_one_department_have_one_key(spelling: str) -> None:
    assert normalise_publisher(spelling, CONNECTICUT) == "department labor"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Department of Agriculture", "U.S. Department of Agriculture"),
        ("Department of Housing", "Office of Housing"),
        ("State Comptroller", "State Treasurer"),
        ("State", "Connecticut"),
    ],
)
def test_different_bodies_keep_different_keys(one: str, other: str) -> None:
    assert normalise_publisher(one, CONNECTICUT) != normalise_publisher(other, CONNECTICUT)


def test_another_state_is_not_dropped_from_a_name() -> None:
    assert normalise_publisher("Vermont Department of Labor", CONNECTICUT) == "department vermont labor"
    assert normalise_publisher("Vermont Department of Labor", ("Vermont", "VT")) == "department labor"
    assert normalise_publisher("CT Department of Labor") == "department ct labor"


def test_the_real_spellings_of_form_fall_on_their_agencies_and_agencies_stay_apart() -> None:
    with real_file("ct/agencies.csv").open(encoding="utf-8", newline="") as file:
        names = [row["name"] for row in csv.DictReader(file)]
    keys = {normalise_publisher(name, CONNECTICUT) for name in names}
    assert len(keys) == len(names) == 35
    publishers = {
        record["publisher"]["name"] for record in real_records("ct/data.json") if "publisher" in record
    }
    matched = {name for name in publishers if normalise_publisher(name, CONNECTICUT) in keys}
    assert {
        "CT Dept. of Consumer Protection",
        "Department of Emergency Services & Public Protection",
    } <= matched
    assert "Oiffce of Policy and Management" not in matched
    assert len(matched) >= 38


@given(st.text(max_size=600), st.lists(st.text(max_size=12), max_size=3))
def test_any_name_gives_a_key_that_is_its_own_key(name: str, jurisdiction: list[str]) -> None:
    key = normalise_publisher(name, jurisdiction)
    assert key == key.strip()
    assert normalise_publisher(name.upper().lower(), jurisdiction) == normalise_publisher(
        name.lower(), jurisdiction
    )
