"""Directory files: what is taken, and what each refused row is told."""

import pytest

from services.governance.domain.directory_import import parse_agencies, parse_people, parse_stewardships
from shared.errors import InvalidInputError
from shared.identity.viewer import Role


def test_agencies_come_with_aliases_and_a_mailbox() -> None:
    parsed = parse_agencies(
        "\ufeffcode,name,data_officer_email,aliases\n"
        "DOT,Department of Transportation,dot@example.gov,CDOT|Highways\n"
    )
    assert parsed.problems == []
    assert parsed.rows[0].aliases == ("CDOT", "Highways")
    assert parsed.rows[0].data_officer_email == "dot@example.gov"


def test_a_missing_column_is_named_with_what_was_found() -> None:
    (problem,) = parse_agencies("id,title\n1,x\n").problems
    assert (problem.line, problem.field) == (1, "code")
    assert "id, title" in problem.message
    assert "Add code, name" in problem.cure


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ("a@example.gov,A,emperor,DOT", "role"),
        ("no-address,A,steward,DOT", "email"),
        (",A,steward,DOT", "email"),
        ("a@example.gov,A,steward,", "agency_code"),
        ("a@example.gov,A,agency-data-officer,", "agency_code"),
        ("a@example.gov,A,operator,DOT", "agency_code"),
        ("a@example.gov,A,chief-data-officer,DOT", "agency_code"),
        ("a@example.gov,A,requester,DOT", "agency_code"),
        ("a@example.gov,A,public,", "role"),
        (f"a@example.gov,{'x' * 1001},steward,DOT", "display_name"),
    ],
)
def test_a_bad_person_is_refused_and_the_next_one_taken(row: str, field: str) -> None:
    parsed = parse_people(f"email,display_name,role,agency_code\n{row}\nb@example.gov,B,steward,DOT\n")
    assert [problem.field for problem in parsed.problems] == [field]
    assert parsed.problems[0].line == 2
    assert parsed.problems[0].cure
    assert [person.email for person in parsed.rows] == ["b@example.gov"]


def test_a_star_grants_all_agencies() -> None:
    parsed = parse_people("email,display_name,role,agency_code\nc@example.gov,C,chief-data-officer,*\n")
    assert (parsed.rows[0].role, parsed.rows[0].agency_code) == (Role.CHIEF_DATA_OFFICER, None)


def test_a_column_left_out_grants_no_agency() -> None:
    parsed = parse_people("email,display_name,role\na@example.gov,A,steward\nb@example.gov,B,requester\n")
    assert [(problem.line, problem.field) for problem in parsed.problems] == [(2, "agency_code")]
    assert [(row.line, row.role) for row in parsed.rows] == [(3, Role.REQUESTER)]


def test_one_address_in_large_and_small_letters_is_one_person() -> None:
    people = parse_people("email,display_name,role,agency_code\nAda@Example.GOV,Ada,steward,DOT\n").rows
    stewards = parse_stewardships("identifier,steward_email\nx,ADA@example.gov\n").rows
    officers = parse_agencies("code,name,data_officer_email\nDOT,Roads,Ada@example.gov\n").rows
    assert {people[0].email, stewards[0].steward_email, officers[0].data_officer_email} == {"ada@example.gov"}


def test_a_stewardship_takes_its_frequency_from_words() -> None:
    parsed = parse_stewardships("identifier,update_frequency,data_updated_on\nx,Weekly,2026-01-09\n")
    assert parsed.rows[0].accrual_periodicity == "R/P1W"
    assert str(parsed.rows[0].data_updated_on) == "2026-01-09"


@pytest.mark.parametrize(
    ("header", "value", "field"),
    [
        ("data_updated_on", "9 January", "data_updated_on"),
        ("visibility", "secret", "visibility"),
        ("access_level", "closed", "access_level"),
        ("accrual_periodicity", "R/whenever", "accrual_periodicity"),
        ("steward_email", "nobody", "steward_email"),
    ],
)
def test_a_bad_stewardship_names_its_field(header: str, value: str, field: str) -> None:
    parsed = parse_stewardships(f"identifier,{header}\nx,{value}\ny,\n")
    assert [problem.field for problem in parsed.problems] == [field]
    assert [row.identifier for row in parsed.rows] == ["y"]


def test_a_quotation_mark_that_is_never_closed_is_told_with_its_line_and_what_was_not_read() -> None:
    parsed = parse_agencies('code,name\nA1,First\nA2,"open quote\nA3,Third\nA4,Fourth\n')
    assert [row.code for row in parsed.rows] == ["A1"]
    (problem,) = parsed.problems
    assert problem.line == 3
    assert "never closed; lines 3 to 5 were not read" in problem.message
    assert problem.cure


def test_rows_that_two_stray_quotation_marks_join_are_refused_and_the_rest_is_taken() -> None:
    parsed = parse_agencies('code,name\nA1,"First\nA2,Second"\nA3,Third\n')
    assert [row.code for row in parsed.rows] == ["A3"]
    assert [(problem.line, problem.field) for problem in parsed.problems] == [(2, "name")]
    assert "several lines" in parsed.problems[0].message


def test_a_quotation_mark_in_the_midst_of_a_cell_spoils_its_row_alone() -> None:
    parsed = parse_agencies('code,name\nA1,"First" one\nA2,"He said ""yes"""\n')
    assert [row.name for row in parsed.rows] == ['He said "yes"']
    assert [problem.line for problem in parsed.problems] == [2]


def test_a_column_that_is_named_twice_is_told_and_nothing_is_taken() -> None:
    parsed = parse_people("email,role,display_name,role\na@example.gov,operator,A,requester\n")
    assert parsed.rows == []
    (problem,) = parsed.problems
    assert (problem.line, problem.field) == (1, "role")
    assert "2 times" in problem.message


def test_a_header_that_is_repeated_among_the_rows_is_no_agency() -> None:
    parsed = parse_agencies("code,name\nA1,First\ncode,name\nA2,Second\n")
    assert [row.code for row in parsed.rows] == ["A1", "A2"]
    assert [problem.line for problem in parsed.problems] == [3]


def test_cells_beyond_the_header_are_told() -> None:
    parsed = parse_agencies("code,name\nDOT,Roads, Bridges\nDPH,Health\n")
    assert [row.code for row in parsed.rows] == ["DPH"]
    assert [(problem.line, problem.field) for problem in parsed.problems] == [(2, "*")]
    assert "3 cells" in parsed.problems[0].message


@pytest.mark.parametrize("cell", ["x" * 131_073, '"' + "x" * 200_000 + '"', '"' + "y,z\n" * 100_000])
def test_a_cell_that_the_parser_cannot_hold_names_its_line_and_nothing_is_taken(cell: str) -> None:
    with pytest.raises(InvalidInputError, match=r"Line 3 holds a cell of more than 131,072 characters"):
        parse_agencies(f"code,name\nA1,First\nA2,{cell}\nA3,Third\n")


def test_empty_lines_are_passed_over() -> None:
    parsed = parse_agencies("code,name\n\nA1,First\n\n")
    assert ([row.code for row in parsed.rows], parsed.problems) == (["A1"], [])
