"""No text of a CSV export is run as a formula, however it is written."""

import csv
import io

import pytest

from shared.http.csv_answers import csv_response, safe_cell

FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff20SUM",
    "\ufe621",
    "\ufe66A1",
]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("before", ["", " ", "\t", "\r", "\n", "\u00a0", "\u3000 ", "\ufeff", " \t"])
def test_what_a_spreadsheet_would_run_begins_with_an_apostrophe(formula: str, before: str) -> None:
    assert safe_cell(before + formula) == f"'{before}{formula}"


@pytest.mark.parametrize("text", ["Roads", "a=b", "", " ", "3 - 2", "(x)", "Straße", "#1", "\u2014 dash"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert safe_cell(text) == text


def test_numbers_stay_numbers_and_unknown_is_empty() -> None:
    answer = csv_response(["title", "change"], [("=x", -1), ('a\n, "b"', None), ("c", 2.5)])
    text = bytes(answer.body).decode()
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["title", "change"],
        ["'=x", "-1"],
        ['a\n, "b"', ""],
        ["c", "2.5"],
    ]
