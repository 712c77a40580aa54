"""``nutmeg usage``: how datasets are used."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.host.cli.options import (
    AsJson,
    DataDir,
    RemoteAPI,
    RemoteToken,
    Target,
    answer_of,
)

if TYPE_CHECKING:
    from services.host.cli.connection import Connection

__all__ = ["add_usage"]

REPORT_COLUMNS = ("views", "downloads", "api_calls", "unique_item_requests")


def add_usage(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="How datasets are used.")
    app.add_typer(group, name="usage")
    _add_report(group)


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
        from services.host.cli.output import show_json, show_table

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
