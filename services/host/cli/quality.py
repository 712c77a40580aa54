"""``nutmeg quality``: how good data is."""

from pathlib import Path
from typing import Annotated, Any

import typer

from services.host.cli.errors import IN_PART, CommandError
from services.host.cli.options import (
    AsJson,
    DataDir,
    RemoteAPI,
    RemoteToken,
    Target,
    answer_of,
)

__all__ = ["add_quality"]

PROFILE_COLUMNS = ("Name", "Type", "Empty", "Different values", "Range, or the commonest values")
"""What people see; --json has the rest."""

_DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar", " ": "blank"}


def add_quality(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="How good data is.")
    app.add_typer(group, name="quality")
    _add_profile(group)


def _add_profile(group: typer.Typer) -> None:
    group.callback()(lambda: None)

    @group.command()
    def profile(
        file: Annotated[Path, typer.Argument(help="A CSV file.")],
        as_json: AsJson = False,
        data_dir: DataDir = None,
        api: RemoteAPI = None,
        token: RemoteToken = None,
    ) -> None:
        """Profile a file of rows: how it is written, columns, types, empty cells, ranges, commonest values.

        Ends with 3 where rows could not be read, because their number of cells is wrong.
        """
        from services.host.cli.output import say, show_json, show_table

        try:
            content = file.read_bytes()
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}") from error
        found = answer_of(
            Target(data_dir, api, token, may_create=True),
            lambda connection: connection.call(
                "POST",
                "/api/v1/quality/profile",
                content=content,
                headers={"Content-Type": "text/csv"},
            ),
        )
        if as_json:
            show_json(found)
        else:
            show_table(str(file), PROFILE_COLUMNS, [_column_cells(column) for column in found["columns"]])
            for line in _file_lines(found):
                say(line)
        if found["rejected_row_count"]:
            raise typer.Exit(IN_PART)


def _column_cells(column: dict[str, Any]) -> list[Any]:
    lowest, highest = column["minimum"], column["maximum"]
    values = ", ".join(f"{one['value']} ({one['rows']:,})" for one in column["commonest"])
    if lowest is not None and highest is not None:
        values = lowest if lowest == highest else f"{lowest} to {highest}"
    empty = column["null_count"] + column["blank_count"]
    return [column["name"], column["type"], empty, column["distinct_estimate"], values]


def _file_lines(found: dict[str, Any]) -> list[str]:
    delimiter = found["delimiter"]
    rejected = found["rejected_row_count"]
    why = " (their number of cells is not that of the header)" if rejected else ""
    lines = [
        f"Rows: {found['row_count']:,}",
        f"Rejected rows: {rejected:,}{why}",
        f"Columns: {found['column_count']:,}",
        f"Format: {found['format']}",
        f"Delimiter: {'none' if delimiter is None else _DELIMITERS.get(delimiter, repr(delimiter))}",
        f"Encoding: {found['encoding'] or 'none, the format is binary'}",
    ]
    if found["sampled"]:
        lines.append(f"Columns were measured over the first {found['measured_row_count']:,} rows.")
    return lines
