"""Find out how a CSV file is written: delimiter, quotes, preamble, header, and a first guess of its types."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

SNIFFED_ROWS = 20_480
NAME_CHARACTERS_MAX = 200
_EMPTY = "(empty)"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one file is written. ``types`` are DuckDB's guesses from the first rows, one per name."""

    delimiter: str
    quote: str
    escape: str
    skip_rows: int
    has_header: bool
    names: tuple[str, ...]
    types: tuple[str, ...]
    date_format: str | None = None
    timestamp_format: str | None = None
    strict: bool = True

    def reader(self) -> str:
        """A ``read_csv`` call on the bound path; every column is text and is called c0, c1, …

        A row with a wrong number of cells is set aside in ``row_errors`` instead of ending the read.
        """
        columns = ", ".join(f"'c{position}': 'VARCHAR'" for position in range(len(self.names)))
        return (
            f"read_csv(?, auto_detect = false, columns = {{{columns}}}, delim = {_literal(self.delimiter)}, "
            f"quote = {_literal(self.quote)}, escape = {_literal(self.escape)}, comment = '', "
            f"skip = {self.skip_rows}, header = {str(self.has_header).lower()}, "
            f"strict_mode = {str(self.strict).lower()}, ignore_errors = true"
        )


def sniff(connection: duckdb.DuckDBPyConnection, path: Path, *, has_quotes: bool) -> Dialect:
    """Try the strict reading first; a lenient one where it finds a single column or leaves lines out.

    Raises:
        duckdb.Error: no reading fits.
    """
    strict = _try_sniff(connection, path, has_quotes, "")
    if strict is not None and len(strict.names) > 1 and strict.skip_rows == 0:
        return _with_year_header(connection, path, strict, has_quotes=has_quotes)
    lenient = _try_sniff(connection, path, has_quotes, "ignore_errors = true")
    if strict is None and lenient is None:
        lenient = _sniff(
            connection, path, has_quotes, "ignore_errors = true, delim = ',', strict_mode = false"
        )
    candidates = [one for one in (strict, lenient) if one is not None]
    best = max(candidates, key=lambda one: (len(one.names), -one.skip_rows))
    return _with_year_header(connection, path, best, has_quotes=has_quotes)


def _try_sniff(
    connection: duckdb.DuckDBPyConnection, path: Path, has_quotes: bool, options: str
) -> Dialect | None:
    try:
        return _sniff(connection, path, has_quotes, options)
    except duckdb.InvalidInputException:
        return None


def _sniff(connection: duckdb.DuckDBPyConnection, path: Path, has_quotes: bool, options: str) -> Dialect:
    extra = f", {options}" if options else ""
    row = connection.execute(
        "SELECT Delimiter, Quote, Escape, SkipRows, HasHeader, Columns, DateFormat, TimestampFormat "
        f"FROM sniff_csv(?, sample_size = {SNIFFED_ROWS}, comment = ''{extra})",
        [str(path)],
    ).fetchone()
    if row is None:
        raise duckdb.InvalidInputException("the sniffer found nothing")
    delimiter, quote, escape, skip_rows, has_header, columns, date_format, timestamp_format = row
    return Dialect(
        delimiter="," if delimiter == _EMPTY else delimiter,
        quote=_sniffed_quote(quote, has_quotes),
        escape=_sniffed_quote(escape, has_quotes),
        skip_rows=skip_rows,
        has_header=has_header,
        names=tuple(column["name"][:NAME_CHARACTERS_MAX] for column in columns),
        types=tuple(column["type"] for column in columns),
        date_format=date_format,
        timestamp_format=timestamp_format,
    )


def _sniffed_quote(sniffed: str, has_quotes: bool) -> str:
    """No quote in the first rows says nothing of later ones; one seen and not taken as a quote does."""
    if sniffed != _EMPTY:
        return sniffed
    return "" if has_quotes else '"'


def _with_year_header(
    connection: duckdb.DuckDBPyConnection, path: Path, dialect: Dialect, *, has_quotes: bool
) -> Dialect:
    """A first row such as ``town, 2011, 2012`` is a header, although its years look like values."""
    if dialect.has_header:
        return dialect
    first: tuple[Any, ...] | None = connection.execute(
        f"SELECT * FROM {replace(dialect, strict=False).reader()}) LIMIT 1", [str(path)]
    ).fetchone()
    if first is None or not _is_year_header([str(cell or "").strip() for cell in first]):
        return dialect
    options = f"ignore_errors = true, header = true, delim = {_literal(dialect.delimiter)}"
    headed = _try_sniff(connection, path, has_quotes, options)
    return headed if headed is not None and len(headed.names) == len(dialect.names) else dialect


def _is_year_header(cells: list[str]) -> bool:
    years = [cell for cell in cells if cell.isdecimal() and len(cell) == 4 and "1800" <= cell <= "2199"]
    words = [cell for cell in cells if cell and not cell[0].isdigit() and cell[0] not in "+-."]
    return bool(years and words) and len(years) + len(words) == len(cells) == len(set(cells))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
