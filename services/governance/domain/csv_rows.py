"""Reads CSV (RFC 4180) as rows of named cells, bounded, and swallows nothing: what is not read is told."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import InvalidInputError

if TYPE_CHECKING:
    from _csv import Reader

__all__ = ["RowProblem", "read_rows"]

ROWS_MAX = 1_000_000
COLUMNS_MAX = 100
CELL_CHARS_MAX = 1_000
CELL_CHARS_READABLE = csv.field_size_limit()
"""Of one cell, in characters. The parser gives up at more, in the midst of a row."""
PROBLEMS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class RowProblem:
    """A row that was not taken: its line, the column, what is wrong and how to mend it."""

    line: int
    field: str
    message: str
    cure: str


def read_rows(
    text: str, required: tuple[str, ...], problems: list[RowProblem]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line that each good row begins in, and its cells by column; note the others in ``problems``.

    Raises ``InvalidInputError`` for a cell that no parser reads to its end: nothing may be taken then.
    """
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    names = _header(reader, required, problems)
    if names is None:
        return
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.append(_unreadable(error, line, reader.line_num))
            continue
        if not cells:
            continue
        if line > ROWS_MAX or len(problems) >= PROBLEMS_MAX:
            what = f"more than {ROWS_MAX:,} rows" if line > ROWS_MAX else "too many rows have problems"
            problems.append(
                RowProblem(line, "*", f"{what}; nothing from here on was read", "Split the file.")
            )
            return
        row = dict(zip(names, (cell.strip() for cell in cells), strict=False))
        problem = _problem_of(line, cells, names, row, required)
        if problem is not None:
            problems.append(problem)
        else:
            yield line, row


def _header(reader: "Reader", required: tuple[str, ...], problems: list[RowProblem]) -> list[str] | None:
    """The columns' names; None where the problem that was noted leaves nothing to read."""
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        problems.append(_unreadable(error, 1, reader.line_num))
        return None
    repeated = [name for name, count in Counter(names).items() if name and count > 1]
    missing = [name for name in required if name not in names]
    if repeated:
        message = f"the header names this column {names.count(repeated[0])} times; nothing was read"
        problems.append(RowProblem(1, repeated[0], message, "Give each column a name of its own."))
    elif len(names) > COLUMNS_MAX:
        message = f"the header names more than {COLUMNS_MAX} columns; nothing was read"
        problems.append(RowProblem(1, "*", message, f"Keep {', '.join(required)} and those described."))
    elif missing:
        found = ", ".join(names) or "nothing"
        cure = f"Add {', '.join(missing)}."
        problems.append(RowProblem(1, missing[0], f"the column is missing; found: {found}", cure))
    else:
        return names
    return None


def _problem_of(
    line: int, cells: list[str], names: list[str], row: dict[str, str], required: tuple[str, ...]
) -> RowProblem | None:
    if any("\n" in cell.strip() or "\r" in cell.strip() for cell in cells):
        name = next(
            (name for name, cell in zip(names, cells, strict=False) if {"\n", "\r"} & set(cell.strip())), "*"
        )
        message = "the cell goes on over several lines: a quotation mark is not closed where it should be"
        return RowProblem(line, name, message, "Close it in the same line, or write two of them for one.")
    if len(cells) > len(names):
        message = f"the row has {len(cells)} cells, the header {len(names)}"
        return RowProblem(line, "*", message, "Put cells that hold a comma into quotation marks.")
    if list(row.values()) == names:
        return RowProblem(line, "*", "the header stands here once more", "Remove the row.")
    empty = next((name for name in required if not row.get(name)), None)
    if empty is not None:
        return RowProblem(line, empty, "the field is empty", "Fill it in or remove the row.")
    long = next((name for name, value in row.items() if len(value) > CELL_CHARS_MAX), None)
    if long is not None:
        return RowProblem(line, long, f"longer than {CELL_CHARS_MAX} characters", "Shorten it.")
    return None


def _unreadable(error: csv.Error, line: int, last_line: int) -> RowProblem:
    words = str(error)
    if "field larger" in words:
        raise InvalidInputError(
            f"Line {line} holds a cell of more than {CELL_CHARS_READABLE:,} characters: nothing was taken.",
            field=f"line {line}",
            fix="Shorten it, or close its quotation mark, and send the file again.",
            code="cell_too_long",
        )
    if "end of data" in words:
        message = (
            f"a quotation mark opens here and is never closed; lines {line} to {last_line} were not read"
        )
        return RowProblem(line, "*", message, "Close it, or write two of them for one, and import again.")
    message = "a quotation mark stands in the midst of a cell"
    return RowProblem(line, "*", message, "Put the whole cell into quotation marks, with two for one within.")
