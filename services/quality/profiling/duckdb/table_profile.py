"""Measure a table with DuckDB: rows, types, empty cells, ranges. Runs in the profiler's own process."""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from services.quality.profiling.domain.profile import (
    COMMONEST_VALUES_MAX,
    EXAMPLES_MAX,
    LISTED_TYPES,
    PREVIEW_COLUMNS_MAX,
    PREVIEW_ROWS_MAX,
    VALUE_CHARACTERS_MAX,
)
from services.quality.profiling.duckdb.csv_dialect import Dialect, sniff
from services.quality.profiling.duckdb.data_file import DataFile, NotATableError
from shared.store.chunks import chunks

HEAD_ROWS = 200
COLUMNS_PER_QUERY = 20
"""More columns in one query cost DuckDB far more memory, and save no time."""
REJECTS_MAX = 100_000
"""So many rejected rows are kept; beyond it their number is a lower bound."""
COLUMNS_READABLE_MAX = 20_000
COLUMNS_MEASURED_MAX = 4_000
LISTED_COLUMNS_MAX = 200
"""Values are counted in so many columns: each takes a query of its own."""
LISTED_VALUES_MAX = 1_000
"""A column with more different values than this has no commonest ones worth a table in memory."""

_BLANKS = " \t\r\n\f\v\u00a0"
_US_DATE = re.compile(r"\d{1,2}/\d{1,2}/\d{4}( \d{1,2}:\d{2}.*)?")
_DAY_FORMATS = ("%m/%d/%Y", "%d/%m/%Y")
_TIME_FORMATS = ("%H:%M", "%H:%M:%S", "%I:%M:%S %p", "%I:%M %p")
_WHOLE = "'[+-]?(0|[1-9][0-9]*)'"
_CODE_WITH_ZERO = "'[+-]?0[0-9].*'"

_FRICTIONLESS = (
    (("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER"), "integer"),
    (("UBIGINT", "UHUGEINT", "BIGNUM"), "integer"),
    (("DOUBLE", "FLOAT", "DECIMAL"), "number"),
    (("BOOLEAN",), "boolean"),
    (("DATE",), "date"),
    (("TIMESTAMP",), "datetime"),
    (("TIME",), "time"),
    (("INTERVAL",), "duration"),
)


@dataclass(frozen=True, slots=True)
class _ColumnReading:
    """How one column is understood: its type, and its value as SQL over the text column ``{c}``."""

    type: str
    value: str


@dataclass(frozen=True, slots=True)
class _Table:
    names: tuple[str, ...]
    column_count: int
    row_count: int
    measured_row_count: int
    rejected_row_count: int = 0


def profile_table(
    connection: duckdb.DuckDBPyConnection, data: DataFile, *, rows_max: int, columns_max: int
) -> dict[str, Any]:
    """The fields of a ``Profile`` as JSON-ready values, without fingerprint and time.

    Raises:
        NotATableError: the file has more columns than can be read.
        duckdb.Error: the file cannot be read, or the memory does not suffice.
    """
    if data.is_blank:
        return _empty()
    columns_max = min(columns_max, COLUMNS_MEASURED_MAX)
    if data.format == "csv":
        dialect = sniff(connection, data.path, has_quotes=data.has_quotes)
        if len(dialect.names) > COLUMNS_READABLE_MAX:
            raise NotATableError(f"has more than {COLUMNS_READABLE_MAX:,} columns; check its delimiter")
        try:
            table = _load_csv(connection, data.path, dialect, rows_max, columns_max)
        except duckdb.InvalidInputException:
            # Line ends of two kinds in one file, for one, are beyond the strict reading (RFC 4180).
            lenient = replace(dialect, strict=False)
            table = _load_csv(connection, data.path, lenient, rows_max, columns_max)
        head = _head(connection, len(table.names))
        readings = [_first_readings(dialect, position, head) for position in range(len(table.names))]
        extra = {"delimiter": dialect.delimiter, "has_header": dialect.has_header}
    else:
        table, types = _load_typed(connection, data, rows_max, columns_max)
        head = _head(connection, len(table.names))
        readings = [[_typed_reading(type_name)] for type_name in types]
        extra = {"delimiter": None, "has_header": True}
    measured = _measure(connection, readings)
    _count_values(connection, readings, measured)
    columns = [
        {"name": name, **fields, "examples": _examples([row[position] for row in head])}
        for position, (name, fields) in enumerate(zip(table.names, measured, strict=True))
    ]
    return {
        "row_count": table.row_count,
        "column_count": table.column_count,
        "measured_row_count": table.measured_row_count,
        "rejected_row_count": table.rejected_row_count,
        "sampled": table.measured_row_count < table.row_count,
        "columns": columns,
        "preview": [list(row[:PREVIEW_COLUMNS_MAX]) for row in head[:PREVIEW_ROWS_MAX]],
        **extra,
    }


def _empty() -> dict[str, Any]:
    counts = ("row_count", "column_count", "measured_row_count", "rejected_row_count")
    return {
        **dict.fromkeys(counts, 0),
        "sampled": False,
        "columns": [],
        "preview": [],
        "delimiter": None,
        "has_header": False,
    }


def _load_csv(
    connection: duckdb.DuckDBPyConnection, path: Path, dialect: Dialect, rows_max: int, columns_max: int
) -> _Table:
    names = dialect.names[:columns_max]
    wanted = ", ".join(f"c{position}" for position in range(len(names)))
    rejects = (
        "store_rejects = true, rejects_table = 'row_errors', rejects_scan = 'row_scans', "
        f"rejects_limit = {REJECTS_MAX}"
    )
    connection.execute(
        f"CREATE OR REPLACE TABLE measured AS SELECT {wanted} "
        f"FROM {dialect.reader()}, {rejects}) LIMIT {rows_max}",
        [str(path)],
    )
    measured_row_count = _count(connection, "SELECT count(*) FROM measured")
    row_count = measured_row_count
    if measured_row_count >= rows_max:
        row_count = _count(connection, f"SELECT count(*) FROM {dialect.reader()})", str(path))
    return _Table(
        names=names,
        column_count=len(dialect.names),
        row_count=max(row_count, measured_row_count),
        measured_row_count=measured_row_count,
        rejected_row_count=_count(connection, "SELECT count(DISTINCT line) FROM row_errors"),
    )


def _load_typed(
    connection: duckdb.DuckDBPyConnection, data: DataFile, rows_max: int, columns_max: int
) -> tuple[_Table, list[str]]:
    reader = "read_json_auto(?)" if data.format == "json" else "read_parquet(?)"
    path = str(data.path)
    described = connection.execute(f"DESCRIBE SELECT * FROM {reader}", [path]).fetchall()
    kept = described[:columns_max]
    wanted = ", ".join(f"{_identifier(row[0])} AS c{position}" for position, row in enumerate(kept))
    connection.execute(f"CREATE TABLE measured AS SELECT {wanted} FROM {reader} LIMIT {rows_max}", [path])
    measured_row_count = _count(connection, "SELECT count(*) FROM measured")
    row_count = measured_row_count
    if measured_row_count >= rows_max:
        row_count = _count(connection, f"SELECT count(*) FROM {reader}", path)
    names = tuple(str(row[0])[:VALUE_CHARACTERS_MAX] for row in kept)
    table = _Table(names, len(described), row_count, measured_row_count)
    return table, [str(row[1]) for row in kept]


def _count(connection: duckdb.DuckDBPyConnection, statement: str, *parameters: str) -> int:
    row = connection.execute(statement, list(parameters)).fetchone()
    return int(row[0]) if row is not None else 0


def _head(connection: duckdb.DuckDBPyConnection, column_count: int) -> list[tuple[str | None, ...]]:
    wanted = ", ".join(
        f"left(CAST(c{position} AS VARCHAR), {VALUE_CHARACTERS_MAX + 1})" for position in range(column_count)
    )
    rows = connection.execute(f"SELECT {wanted} FROM measured LIMIT {HEAD_ROWS}").fetchall()
    return [tuple(_cut(cell) for cell in row) for row in rows]


def _cut(cell: str | None) -> str | None:
    if cell is None or len(cell) <= VALUE_CHARACTERS_MAX:
        return cell
    return cell[: VALUE_CHARACTERS_MAX - 1] + "…"


def _examples(cells: list[str | None]) -> list[str]:
    different = dict.fromkeys(cell for cell in cells if cell is not None and cell.strip())
    return list(different)[:EXAMPLES_MAX]


_TEXT = _ColumnReading("string", "{c}")
_NUMBER = _ColumnReading(
    "number", f"CASE WHEN NOT regexp_full_match({{c}}, {_CODE_WITH_ZERO}) THEN TRY_CAST({{c}} AS DOUBLE) END"
)


def _first_readings(
    dialect: Dialect, position: int, head: list[tuple[str | None, ...]]
) -> list[_ColumnReading]:
    """The readings to try, the narrowest first; each must fit every value. Text always fits."""
    sniffed = dialect.types[position]
    if sniffed.startswith("BIGINT"):
        whole = f"CASE WHEN regexp_full_match({{c}}, {_WHOLE}) THEN TRY_CAST({{c}} AS HUGEINT) END"
        return [_ColumnReading("integer", whole), _NUMBER, _TEXT]
    if sniffed == "DOUBLE":
        return [_NUMBER, _TEXT]
    if sniffed == "BOOLEAN":
        return [_ColumnReading("boolean", "TRY_CAST({c} AS BOOLEAN)"), _TEXT]
    if sniffed == "TIME":
        return [_ColumnReading("time", "TRY_CAST({c} AS TIME)"), _TEXT]
    if sniffed == "DATE":
        return [_date_reading(dialect.date_format), _moment_reading(dialect.timestamp_format), _TEXT]
    if sniffed.startswith("TIMESTAMP"):
        return [_moment_reading(dialect.timestamp_format), _TEXT]
    return [*_slashed_date_readings([row[position] for row in head]), _TEXT]


def _date_reading(date_format: str | None) -> _ColumnReading:
    if date_format is None:
        return _ColumnReading("date", "TRY_CAST({c} AS DATE)")
    return _ColumnReading("date", f"CAST(try_strptime({{c}}, '{date_format}') AS DATE)")


def _moment_reading(timestamp_format: str | None) -> _ColumnReading:
    if timestamp_format is None:
        return _ColumnReading("datetime", "TRY_CAST({c} AS TIMESTAMP)")
    return _ColumnReading("datetime", f"try_strptime({{c}}, '{timestamp_format}')")


def _slashed_date_readings(cells: list[str | None]) -> list[_ColumnReading]:
    """Dates such as ``6/28/2014 0:00``, which the sniffer leaves as text."""
    values = [cell for cell in cells if cell is not None and cell.strip()]
    if not values or not all(_US_DATE.fullmatch(value) for value in values):
        return []
    readings = []
    for day_format in _DAY_FORMATS:
        readings.append(_date_reading(day_format))
        formats = ", ".join(f"'{day_format} {time_format}'" for time_format in _TIME_FORMATS)
        readings.append(_ColumnReading("datetime", f"try_strptime({{c}}, ['{day_format}', {formats}])"))
    return readings


def _typed_reading(type_name: str) -> _ColumnReading:
    if type_name.endswith("]"):
        return _ColumnReading("array", "{c}")
    if type_name.startswith(("STRUCT", "MAP", "UNION", "JSON")):
        return _ColumnReading("object", "{c}")
    for prefixes, frictionless in _FRICTIONLESS:
        if type_name.startswith(prefixes):
            return _ColumnReading(frictionless, "{c}")
    return _ColumnReading("string", "CAST({c} AS VARCHAR)")


def _measure(
    connection: duckdb.DuckDBPyConnection, readings: list[list[_ColumnReading]]
) -> list[dict[str, Any]]:
    """The figures of each column in its first reading that fits every value; a few columns per query."""
    measured: dict[int, dict[str, Any]] = {}
    attempt = 0
    while len(measured) < len(readings):
        left = [position for position in range(len(readings)) if position not in measured]
        for batch in chunks(left, COLUMNS_PER_QUERY):
            measured |= {
                position: figures
                for position, figures in _query(connection, batch, readings, attempt).items()
                if figures.pop("misfit_count") == 0 or attempt + 1 >= len(readings[position])
            }
        attempt += 1
    return [measured[position] for position in range(len(readings))]


def _count_values(
    connection: duckdb.DuckDBPyConnection,
    readings: list[list[_ColumnReading]],
    measured: list[dict[str, Any]],
) -> None:
    """Add to the figures of text what most rows hold, and how many different values there are exactly."""
    listed = [
        position
        for position, figures in enumerate(measured)
        if figures["type"] in LISTED_TYPES and 0 < figures["distinct_estimate"] <= LISTED_VALUES_MAX
    ]
    for position in listed[:LISTED_COLUMNS_MAX]:
        figures = measured[position]
        reading = next(one for one in readings[position] if one.type == figures["type"])
        value = f"CAST(v{position} AS VARCHAR)"
        rows = connection.execute(
            f"SELECT left({value}, {VALUE_CHARACTERS_MAX + 1}), count(*) AS n, count(*) OVER () "
            f"FROM (SELECT {_cells_sql(position, reading)} FROM measured) WHERE v{position} IS NOT NULL "
            f"GROUP BY v{position} ORDER BY n DESC, v{position} LIMIT {COMMONEST_VALUES_MAX}"
        ).fetchall()
        figures["commonest"] = [{"value": _cut(text), "rows": count} for text, count, _ in rows]
        figures["distinct_estimate"] = rows[0][2]


_FIGURES = 7


def _query(
    connection: duckdb.DuckDBPyConnection,
    positions: list[int],
    readings: list[list[_ColumnReading]],
    attempt: int,
) -> dict[int, dict[str, Any]]:
    """The inner query understands each cell once; the outer one counts."""
    chosen = {position: readings[position][attempt] for position in positions}
    cells = ", ".join(_cells_sql(position, reading) for position, reading in chosen.items())
    wanted = ", ".join(_figures_sql(position, reading.type) for position, reading in chosen.items())
    row = (
        connection.execute(f"SELECT count(*), {wanted} FROM (SELECT {cells} FROM measured)").fetchone() or ()
    )
    return {
        position: _figures(
            row[0], row[1 + index * _FIGURES : 1 + (index + 1) * _FIGURES], chosen[position].type
        )
        for index, position in enumerate(positions)
    }


def _cells_sql(position: int, reading: _ColumnReading) -> str:
    """Per cell: is it there (n), is it blank (b), and its value (v), NULL where the reading does not fit."""
    column = f"c{position}"
    if reading.type in ("object", "array"):
        return f"{column} IS NOT NULL AS n{position}"
    value = reading.value.replace("{c}", column)
    blank = f"trim(CAST({column} AS VARCHAR), '{_BLANKS}') = ''"
    return (
        f"{column} IS NOT NULL AS n{position}, {blank} AS b{position}, "
        f"CASE WHEN NOT {blank} THEN {value} END AS v{position}"
    )


def _figures_sql(position: int, type_name: str) -> str:
    """Seven expressions: empty, blank and misfitting cells, different values, minimum, maximum, mean."""
    present = f"count(*) FILTER (WHERE n{position})"
    if type_name in ("object", "array"):
        return f"count(*) - {present}, 0, 0, 0, NULL, NULL, NULL"
    value = f"v{position}"
    blank = f"count(*) FILTER (WHERE b{position})"
    kept = f" FILTER (WHERE isfinite({value}))" if type_name == "number" else ""
    mean = f"avg(CAST({value} AS DOUBLE)){kept}" if type_name in ("integer", "number") else "NULL"
    return (
        f"count(*) - {present}, {blank}, {present} - {blank} - count({value}), "
        f"approx_count_distinct({value}), "
        f"left(CAST(min({value}){kept} AS VARCHAR), {VALUE_CHARACTERS_MAX + 1}), "
        f"left(CAST(max({value}){kept} AS VARCHAR), {VALUE_CHARACTERS_MAX + 1}), {mean}"
    )


def _figures(row_count: int, figures: tuple[Any, ...], type_name: str) -> dict[str, Any]:
    null_count, blank_count, misfit_count, distinct, minimum, maximum, mean = figures
    return {
        "type": type_name,
        "null_count": null_count,
        "blank_count": blank_count,
        "misfit_count": misfit_count,
        "distinct_estimate": min(distinct, row_count - null_count - blank_count),
        "minimum": _bound(minimum, type_name),
        "maximum": _bound(maximum, type_name),
        "mean": mean if mean is not None and math.isfinite(mean) else None,
    }


def _bound(text: str | None, type_name: str) -> str | None:
    if text is not None and type_name == "datetime":
        return text.replace(" ", "T", 1)
    return _cut(text)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
