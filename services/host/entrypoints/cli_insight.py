"""``nutmeg usage report`` and ``nutmeg quality profile``: how data is used, and how good it is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.host.entrypoints.cli_errors import IN_PART, CommandError
from services.host.entrypoints.cli_options import (
    AsJson,
    DataDir,
    RemoteAPI,
    RemoteToken,
    Target,
    answer_of,
)

if TYPE_CHECKING:
    from services.host.entrypoints.cli_connection import Connection

__all__ = ["add_insight"]

REPORT_COLUMNS = ("views", "downloads", "api_calls", "unique_item_requests")
PROFILE_COLUMNS = ("Name", "Type", "Empty", "Different values", "Range, or the commonest values")
"""What people see; --json has the rest."""

_DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar", " ": "blank"}


def add_insight(app: typer.Typer) -> None:
    """Add the commands."""
    usage = typer.Typer(no_args_is_help=True, help="How datasets are used.")
    app.add_typer(usage, name="usage")
    _add_report(usage)
    quality = typer.Typer(no_args_is_help=True, help="How good data is.")
    app.add_typer(quality, name="quality")
    _add_profile(quality)


def _add_report(group: typer.Typer) -> None:
    # A group with one command would become that command.
    group.callback()(lambda: None)

    @group.command()
    def report(
        first: Annotated[str | None, typer.Option("--from", help="First day, UTC: YYYY-MM-DD.")] = None,
        last: Annotated[str | None, typer.Option("--to", help="Last day, UTC, inclusive.")] = None,
        agency: Annotated[str | None, typer.Option("--agency", help="Id or name of an agency.")] = None,
        as_json: AsJson = False,
        data_dir: DataDir = None,
        api: RemoteAPI = None,
        token: RemoteToken = None,
    ) -> None:
        """Tell views, downloads and API calls per dataset, by COUNTER's rules."""
        from services.host.entrypoints.cli_output import show_json, show_table

        async def act(connection: "Connection") -> dict[str, Any]:
            parameters = {"from": first, "to": last, "agency": agency}
            whole: dict[str, Any] = await connection.get("/api/v1/usage/report", **parameters)
            cursor = whole["next_cursor"]
            while cursor is not None:
                page = await connection.get("/api/v1/usage/report", cursor=cursor, **parameters)
                whole["items"] += page["items"]
                cursor = page["next_cursor"]
            whole["next_cursor"] = None
            return whole

        found = answer_of(Target(data_dir, api, token), act)
        if as_json:
            show_json(found)
            return
        rows = [
            [one["title"], one["agency"], *(one[name] for name in REPORT_COLUMNS)] for one in found["items"]
        ]
        headings = [name.replace("_", " ").capitalize() for name in REPORT_COLUMNS]
        show_table(f"Use from {found['from']} to {found['to']}", ["Title", "Agency", *headings], rows)


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
        from services.host.entrypoints.cli_output import say, show_json, show_table

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
