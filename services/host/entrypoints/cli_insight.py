"""``nutmeg usage report`` and ``nutmeg quality profile``: how data is used, and how good it is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.host.entrypoints.cli_errors import CommandError
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
PROFILE_COLUMNS = ("name", "type", "null_count", "distinct_estimate", "minimum", "maximum")
"""What people see; --json has the rest."""


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
        """Profile a file of rows: columns, types, empty cells, ranges."""
        from services.host.entrypoints.cli_output import show_json, show_table

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
            return
        rows = [[column.get(name) for name in PROFILE_COLUMNS] for column in found["columns"]]
        show_table(str(file), [name.replace("_", " ").capitalize() for name in PROFILE_COLUMNS], rows)
