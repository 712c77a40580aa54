"""CSV that spreadsheets open without harm."""

import csv
import io

import pytest

from shared.http.csv_answers import csv_response, safe_cell


@pytest.mark.parametrize(
    "text",
    [f"{sign}1+1" for sign in ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20", " =")]
    + ["\u3000\uff1dcmd"],
)
def test_what_a_spreadsheet_would_compute_is_text(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


def test_numbers_and_plain_texts_stay_as_they_are_and_nothing_is_blank() -> None:
    cells = ["Roads = fun", "", -3, 2.5, True, None]
    assert [safe_cell(one) for one in cells] == ["Roads = fun", "", -3, 2.5, True, ""]


def test_a_table_is_read_back_with_its_commas_quotes_and_lines() -> None:
    answer = csv_response(["name", "n"], [['a, "b"\nc', 1], ["=x", 2]])
    assert answer.media_type == "text/csv; charset=utf-8"
    read = list(csv.reader(io.StringIO(bytes(answer.body).decode(), newline="")))
    assert read == [["name", "n"], ['a, "b"\nc', "1"], ["'=x", "2"]]
