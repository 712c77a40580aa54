"""What a look into a data file found: counts, types and ranges per column.

Types are those of Frictionless Table Schema v2, so that a profile compares with a data dictionary.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

ColumnType = Literal[
    "integer",
    "number",
    "boolean",
    "date",
    "datetime",
    "time",
    "string",
    "object",
    "array",
    "duration",
]

PREVIEW_ROWS_MAX = 20
PREVIEW_COLUMNS_MAX = 100
VALUE_CHARACTERS_MAX = 120
"""Every value that is kept (minimum, maximum, example, preview cell) is cut at this length."""
EXAMPLES_MAX = 5
COMMONEST_VALUES_MAX = 5
RANGED_TYPES: frozenset[ColumnType] = frozenset({"integer", "number", "date", "datetime", "time", "duration"})
"""Types whose values have an order that means something: these have a range, the others have values."""
LISTED_TYPES: frozenset[ColumnType] = frozenset({"string", "boolean"})
"""Types whose commonest values are counted."""


@dataclass(frozen=True, slots=True)
class CommonValue:
    """One value of a column, and how many of the measured rows hold it."""

    value: str
    rows: int


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """One column. ``distinct_estimate`` is approximate (HyperLogLog) and leaves empty cells out.

    ``null_count`` counts empty cells, ``blank_count`` cells of white space alone. ``minimum`` and
    ``maximum`` are texts, ordered as the type orders them; those of text tell renamed columns and are shown
    nowhere. ``mean`` is set for numbers only. ``commonest`` are the values that most rows hold, of text with
    few different values; then ``distinct_estimate`` is exact.
    """

    name: str
    type: ColumnType
    null_count: int
    blank_count: int = 0
    distinct_estimate: int = 0
    minimum: str | None = None
    maximum: str | None = None
    mean: float | None = None
    examples: tuple[str, ...] = ()
    commonest: tuple[CommonValue, ...] = ()

    @property
    def span(self) -> tuple[str | None, str | None]:
        """The lowest and the highest value, where the order of the type means something."""
        return (self.minimum, self.maximum) if self.type in RANGED_TYPES else (None, None)


@dataclass(frozen=True, slots=True)
class Profile:
    """One data file at one time.

    ``row_count`` counts every readable data row, also when ``sampled`` says that the columns were measured
    over the first ``measured_row_count`` rows only. ``rejected_row_count`` counts rows that could not be
    read because their number of cells is wrong. ``column_count`` counts all columns, ``columns`` may hold
    fewer. ``size_bytes`` and ``sha256`` are of the file as it was received.
    """

    row_count: int
    column_count: int
    size_bytes: int
    columns: tuple[ColumnProfile, ...]
    sampled: bool
    profiled_at: datetime
    sha256: str
    measured_row_count: int
    rejected_row_count: int = 0
    format: str = "csv"
    encoding: str | None = None
    delimiter: str | None = None
    has_header: bool = True
    preview: tuple[tuple[str | None, ...], ...] = ()

    def column(self, name: str) -> ColumnProfile | None:
        """The column of that name, if it was profiled."""
        return next((column for column in self.columns if column.name == name), None)

    def empty_rate(self, column: ColumnProfile) -> float | None:
        """Share of empty and blank cells, 0 to 1; None when no row was measured."""
        if not self.measured_row_count:
            return None
        return (column.null_count + column.blank_count) / self.measured_row_count

    @property
    def filled_rate(self) -> float | None:
        """Share of cells that hold something, over all profiled columns; None when there is no cell."""
        cells = self.measured_row_count * len(self.columns)
        if not cells:
            return None
        empty = sum(column.null_count + column.blank_count for column in self.columns)
        return 1.0 - empty / cells
