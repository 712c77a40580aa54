"""The catalogue's commands: ``harvest``, ``import``, ``search``, ``reindex``, ``reconcile``, ``events``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from services.host.cli.transfer import add_import_installation

if TYPE_CHECKING:
    from services.host.cli.connection import Connection
    from services.host.cli.event_tail import EventTail

__all__ = ["add_catalog"]

WAIT_SECONDS = 600.0


def add_catalog(app: typer.Typer) -> None:
    """Add the commands."""
    _add_harvest(app)
    _add_import(app)
    _add_search(app)
    _add_index(app)
    _add_events(app)


def _add_harvest(app: typer.Typer) -> None:
    @app.command()
    def harvest(
        feed: Annotated[str, typer.Argument(help="A DCAT-US 1.1 feed: a file, or an http address.")],
        source: Annotated[
            str | None,
            typer.Option(
                "--source", help="Name of the source. By default a feed that is not known is one of its own."
            ),
        ] = None,
        publisher: Annotated[
            str | None, typer.Option("--publisher", help="Owner of records that name no publisher.")
        ] = None,
        agencies: Annotated[Path | None, typer.Option("--agencies", help="CSV to import first.")] = None,
        people: Annotated[Path | None, typer.Option("--people", help="CSV to import first.")] = None,
        stewardships: Annotated[
            Path | None, typer.Option("--stewardships", help="CSV to import first.")
        ] = None,
        confirm: Annotated[
            bool, typer.Option("--confirm", help="Retire what is missing even if it is more than half.")
        ] = False,
        wait: Annotated[
            float,
            typer.Option("--wait", min=0, help="Seconds to wait, after the harvest, until all is measured."),
        ] = WAIT_SECONDS,
        as_json: AsJson = False,
        data_dir: DataDir = None,
        api: RemoteAPI = None,
        token: RemoteToken = None,
    ) -> None:
        """Read a feed into the catalogue. Exit code 3 if records were refused or a person has to confirm."""
        from services.host.cli.harvest_progress import harvest_to_the_end

        given = {"agencies": agencies, "people": people, "stewardships": stewardships}
        directory = {kind: _file(path) for kind, path in given.items() if path is not None}
        content = _feed(feed)

        async def act(connection: "Connection") -> int:
            for kind, text in directory.items():
                await _import_before_harvest(connection, kind, text)
            parameters = {"source": source, "publisher": publisher, "confirm": confirm or None}
            if isinstance(content, Path):
                parameters["file_name"] = _told_name(content)
            return await harvest_to_the_end(connection, content, parameters, wait=wait, as_json=as_json)

        if code := answer_of(Target(data_dir, api, token, may_create=True), act):
            raise typer.Exit(code)


def _add_import(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True,
        help="Import agencies, people and stewardships from CSV, or a whole installation.",
    )
    app.add_typer(group, name="import")

    def command(kind: str, columns: str) -> None:
        @group.command(name=kind, help=f"Import {kind} from CSV: {columns}.")
        def import_csv(
            file: Annotated[Path, typer.Argument(help="The CSV file, in UTF-8.")],
            as_json: AsJson = False,
            data_dir: DataDir = None,
            api: RemoteAPI = None,
            token: RemoteToken = None,
        ) -> None:
            from services.host.cli.output import say, show_json, tell

            text = _file(file)
            report = answer_of(
                Target(data_dir, api, token, may_create=True),
                lambda connection: _import(connection, kind, text),
            )
            if as_json:
                show_json(report)
            else:
                say(f"{report['rows']:,} rows read, {report['changed']:,} {kind} new or changed")
                for problem in (*report["problems"], *report["notes"]):
                    tell(
                        f"line {problem['line']}, {problem['field']}: {problem['message']}. {problem['cure']}"
                    )
                left_off = report["refused"] + report["noted"] - len(report["problems"] + report["notes"])
                if left_off:
                    tell(f"and {left_off:,} more of these kinds")
            if not report["published"]:
                tell("The log is away: what depends on these rows hears of them once it is back.")
            if report["refused"]:
                raise typer.Exit(IN_PART)

    command("agencies", "code, name; optional aliases (parted by |), data_officer_email")
    command("people", "email, display_name, role; optional agency_code")
    command("stewardships", "identifier; optional agency_code, steward_email, accrual_periodicity and more")
    add_import_installation(group)


def _add_search(app: typer.Typer) -> None:
    @app.command()
    def search(
        words: Annotated[
            list[str] | None, typer.Argument(help="What to look for; nothing finds all.")
        ] = None,
        agency: Annotated[list[str] | None, typer.Option("--agency", help="Id of an agency.")] = None,
        theme: Annotated[list[str] | None, typer.Option("--theme", help="A theme.")] = None,
        data_format: Annotated[list[str] | None, typer.Option("--format", help="A format, like CSV.")] = None,
        sort: Annotated[str, typer.Option("--sort", help="relevance, title, modified, …")] = "relevance",
        limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="Results per page.")] = 20,
        cursor: Annotated[str | None, typer.Option("--cursor", help="Go on with this page.")] = None,
        as_json: AsJson = False,
        data_dir: DataDir = None,
        api: RemoteAPI = None,
        token: RemoteToken = None,
    ) -> None:
        """Search the catalogue, as the owner of the data directory sees it."""
        from services.host.cli.output import say, show_json, show_table

        found = answer_of(
            Target(data_dir, api, token),
            lambda connection: connection.get(
                "/api/v1/datasets",
                q=" ".join(words or []),
                agency=agency,
                theme=theme,
                format=data_format,
                sort=sort,
                limit=limit,
                cursor=cursor,
            ),
        )
        if as_json:
            show_json(found)
            return
        rows = [
            (one["title"], (one["agency"] or {}).get("name") or one["publisher_name"], one["id"])
            for one in found["results"]
        ]
        show_table(f"{found['total']:,} datasets", ["Title", "Agency", "Id"], rows)
        if found["next_cursor"]:
            say(f"More: --cursor {found['next_cursor']}")


def _add_index(app: typer.Typer) -> None:
    @app.command()
    def reindex(
        as_json: AsJson = False, data_dir: DataDir = None, api: RemoteAPI = None, token: RemoteToken = None
    ) -> None:
        """Build the search index anew while the old one answers."""
        from services.host.cli.output import say, show_json, tell

        report = answer_of(
            Target(data_dir, api, token),
            lambda connection: connection.call("POST", "/api/v1/catalog/reindex"),
        )
        if as_json:
            show_json(report)
        else:
            say(f"{report['applied']:,} datasets indexed")
            for one in report["refused"]:
                tell(f"{one['id']}: {one['reason']}")
        if report["refused"]:
            raise typer.Exit(IN_PART)

    @app.command()
    def reconcile(
        repair: Annotated[bool, typer.Option("--repair", help="Mend what differs.")] = False,
        as_json: AsJson = False,
        data_dir: DataDir = None,
        api: RemoteAPI = None,
        token: RemoteToken = None,
    ) -> None:
        """Compare the index with the catalogue. Exit code 3 if they differ and nothing was mended."""
        from services.host.cli.output import show_json, show_table

        drift = answer_of(
            Target(data_dir, api, token),
            lambda connection: connection.call(
                "POST", "/api/v1/catalog/reconcile", parameters={"repair": str(repair).lower()}
            ),
        )
        if as_json:
            show_json(drift)
        else:
            show_table("Catalogue and index", ["What", "How many"], list(drift.items()))
        if not repair and any(drift[name] for name in ("missing", "extra", "stale")):
            raise typer.Exit(IN_PART)


def _add_events(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Events that tell what changed.")
    app.add_typer(group, name="events")

    @group.command()
    def tail(
        follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Wait for new ones.")] = True,
        cursor: Annotated[
            str | None, typer.Option("--cursor", help="Go on from where a listing ended; 0 is the beginning.")
        ] = None,
        event_type: Annotated[str | None, typer.Option("--type", help="Only events of this type.")] = None,
        dataset: Annotated[str | None, typer.Option("--dataset", help="Only of this dataset.")] = None,
        as_json: AsJson = False,
        data_dir: DataDir = None,
        api: RemoteAPI = None,
        token: RemoteToken = None,
    ) -> None:
        """Print events as they come, one line each; with --json as CloudEvents. Ctrl-C ends it."""
        start = cursor or ("latest" if follow else "0")

        async def act(connection: "Connection") -> None:
            from services.host.cli.event_tail import EventTail
            from services.host.cli.output import tell

            tail = EventTail(connection, start, event_type=event_type, dataset=dataset, complain=tell)
            await _tail(tail, follow=follow, as_json=as_json)
            tell(f"Go on from here with --cursor {tail.position}")

        answer_of(Target(data_dir, api, token), act)


async def _tail(tail: "EventTail", *, follow: bool, as_json: bool) -> None:
    import json

    from services.host.cli.output import say

    async for event in tail.followed() if follow else tail.known():
        words = (event.get("time"), event["type"], event.get("subject"))
        say(json.dumps(event, ensure_ascii=False) if as_json else "  ".join(str(word) for word in words))


async def _import(connection: "Connection", kind: str, text: bytes) -> Any:
    return await connection.call("POST", f"/api/v1/directory/imports/{kind}", content=text)


async def _import_before_harvest(connection: "Connection", kind: str, text: bytes) -> None:
    report = await _import(connection, kind, text)
    if not report["published"]:
        raise CommandError(
            f"the {kind} are imported, but the log is away and the catalogue cannot hear of them yet; "
            "nothing was harvested: try again once nutmeg status is well"
        )


def _feed(text: str) -> Path | str:
    """Return a file's path, or the address itself. Raises ``CommandError`` for a file that is not there."""
    if text.startswith(("http://", "https://")):
        return text
    path = Path(text)
    if not path.is_file():
        raise CommandError(f"{text} is neither a file nor an http address")
    return path


def _told_name(path: Path) -> str:
    """Return the file's name; that of its folder too where every feed has the same (``data.json``)."""
    whole = path.resolve()
    return f"{whole.parent.name}/{whole.name}" if whole.stem == "data" else whole.name


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
