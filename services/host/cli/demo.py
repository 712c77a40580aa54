"""``nutmeg demo``: the sample catalogue, served, used, broken and repaired."""

import asyncio
import re
import shutil
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.host.cli.errors import CommandError, run, told_in_one_line
from services.host.cli.options import AsJson, settings_with

if TYPE_CHECKING:
    from services.host.cli.connection import Connection
    from services.host.demo.scenario import Demo
    from services.host.settings import HostSettings

__all__ = ["add_demo"]

DEMO_DIRECTORY = Path("nutmeg-demo")
LOOK_SECONDS = 0.1
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

DemoDir = Annotated[Path, typer.Option("--data-dir", help="The demo's directory.")]


def add_demo(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="The sample catalogue, with sign-in links and faults to turn on.")
    app.add_typer(group, name="demo")

    @group.callback(invoke_without_command=True)
    def demo(
        context: typer.Context,
        data_dir: DemoDir = DEMO_DIRECTORY,
        port: Annotated[
            int | None, typer.Option("--port", min=1, max=65_535, help="Port. Default: 8080, then as before.")
        ] = None,
        fresh: Annotated[
            bool, typer.Option("--fresh", help="Begin anew: removes the demo's directory.")
        ] = False,
    ) -> None:
        """Serve the sample catalogue until stopped, and print where to look."""
        context.obj = data_dir
        if context.invoked_subcommand is None:
            run(_serve_demo(data_dir, port, is_fresh=fresh))

    _add_faults(group)
    _add_poison(group)
    _add_time(group)


def _add_faults(group: typer.Typer) -> None:
    @group.command()
    def degrade(
        context: typer.Context,
        slug: Annotated[
            str | None, typer.Argument(help="Dataset; the expenditures ledger by default.")
        ] = None,
        how: Annotated[
            str | None, typer.Option("--how", help="row-count-drop, schema-change, broken-link or nulls.")
        ] = None,
        as_json: AsJson = False,
        data_dir: Annotated[Path | None, typer.Option("--data-dir", help="The demo's directory.")] = None,
    ) -> None:
        """Make a sample dataset worse, and show the event's way to the steward's inbox."""

        async def act(connection: "Connection") -> list[dict[str, Any]]:
            order = {"slug": slug, "how": how}
            return await _followed(
                connection, [await connection.call("POST", "/api/v1/demo/degrade", json=order)]
            )

        _tell_runs(_with_demo(data_dir or context.obj, act), as_json=as_json)

    @group.command()
    def repair(
        context: typer.Context,
        slug: Annotated[str | None, typer.Argument(help="Dataset; all that are degraded by default.")] = None,
        as_json: AsJson = False,
        data_dir: Annotated[Path | None, typer.Option("--data-dir", help="The demo's directory.")] = None,
    ) -> None:
        """Give a sample dataset its file back, and show the alert resolve."""

        async def act(connection: "Connection") -> list[dict[str, Any]]:
            runs = await connection.call("POST", "/api/v1/demo/repair", json={"slug": slug})
            return await _followed(connection, runs)

        _tell_runs(_with_demo(data_dir or context.obj, act), as_json=as_json)


def _add_poison(group: typer.Typer) -> None:
    @group.command()
    def poison(
        context: typer.Context,
        as_json: AsJson = False,
        data_dir: Annotated[Path | None, typer.Option("--data-dir", help="The demo's directory.")] = None,
    ) -> None:
        """Put a record on the log that no group can handle, and let it become a dead letter."""
        from services.host.cli.output import say, show_json

        answer = _with_demo(
            data_dir or context.obj, lambda connection: connection.call("POST", "/api/v1/demo/poison")
        )
        if as_json:
            show_json(answer)
        else:
            say("It is among the dead letters: /ops, or nutmeg dlq list")


def _add_time(group: typer.Typer) -> None:
    @group.command()
    def advance(
        context: typer.Context,
        time: Annotated[str, typer.Argument(help="How far: 7d, 12h, 30m or 2w.")],
        as_json: AsJson = False,
        data_dir: Annotated[Path | None, typer.Option("--data-dir", help="The demo's directory.")] = None,
    ) -> None:
        """Move the demo's clock forward and do what has become due; prints new sign-in links."""
        from services.host.cli.output import say, show_json

        by = _duration(time)

        async def act(connection: "Connection") -> dict[str, Any]:
            order = {"seconds": by.total_seconds()}
            moved = await connection.call("POST", "/api/v1/demo/advance", json=order)
            links = await connection.call("POST", "/api/v1/demo/sign-in-links")
            return {"now": moved["now"], "sign_in_links": links["items"]}

        moved = _with_demo(data_dir or context.obj, act)
        if as_json:
            show_json(moved)
            return
        say(f"The demo's clock shows {moved['now']}")
        for link in moved["sign_in_links"]:
            say(f"  {link['label']}: {link['url']}")


async def _serve_demo(data_dir: Path, port: int | None, *, is_fresh: bool) -> None:
    from services.host.bootstrap import bootstrap_host
    from services.host.demo.scenario import demo_of
    from services.host.serving import serve
    from shared.process.serving import listening_socket
    from shared.telemetry.logging import configure_logging

    if is_fresh:
        _remove(data_dir)
    settings = _prepared(data_dir, port)
    configure_logging("host", level=settings.log_level)
    with listening_socket(settings) as bound:
        host = bootstrap_host(settings, port=bound.getsockname()[1])
        demo = demo_of(host)
        if demo is None:
            raise CommandError(f"{data_dir} is no demo's directory; take another one, or --fresh")
        await serve(host, bound, announce=lambda: _announce(demo, host.app.state.http_settings.base_url))


async def _announce(demo: "Demo", base_url: str) -> None:
    from services.host.cli.output import progress_bar, say, tell

    with progress_bar() as bar:

        def progress(words: str) -> None:
            bar.update(words)
            tell(words)

        await demo.load(progress)
    links = await demo.sign_in_links()
    say(f"\nNutmeg's demo answers at {base_url}\n\nSign in as")
    width = max(len(link.label) for link in links)
    for link in links:
        say(f"  {link.label:<{width}}  {link.url}")
    say(f"\nBreak something: {base_url}/demo, or: nutmeg demo degrade\nStop with Ctrl-C.")


def _prepared(data_dir: Path, port: int | None) -> "HostSettings":
    """Make ``data_dir`` a demo's directory unless it is one, and return the settings to serve it with."""
    from services.host.data_directory import DataDirectory
    from services.host.demo.state import DemoStateFile

    with told_in_one_line():
        settings = settings_with(data_dir=data_dir, port=port)
        directory = DataDirectory(data_dir)
        with directory.lock():
            file = DemoStateFile.find(directory.demo_state)
            if file is None:
                if directory.signing_key.exists():
                    raise CommandError(
                        f"{data_dir} holds another installation; give the demo its own --data-dir"
                    )
                file = DemoStateFile.create(directory.demo_state, port=settings.port)
            elif port is not None and port != file.state.port:
                file.change(port=port)
    return settings.model_copy(update={"port": file.state.port})


def _remove(data_dir: Path) -> None:
    """Remove a demo's directory, and nothing that is not one."""
    from services.host.data_directory import DataDirectory

    directory = DataDirectory(data_dir)
    if not directory.path.exists():
        return
    if not directory.demo_state.exists():
        raise CommandError(f"{data_dir} is no demo's directory, so --fresh does not remove it")
    with directory.lock():
        shutil.rmtree(directory.path)


def _with_demo(data_dir: Path, act: Callable[["Connection"], Awaitable[Any]]) -> Any:
    from services.host.cli.options import Target, answer_of
    from services.host.data_directory import DataDirectory

    if not DataDirectory(data_dir).demo_state.exists():
        raise CommandError(f"{data_dir} is no demo's directory; start one with: nutmeg demo")
    return answer_of(Target(data_dir), act)


async def _followed(connection: "Connection", runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Wait until each run is over, and return them as they are then."""
    over = []
    for started in runs:
        latest = started
        while not latest["is_finished"]:
            await asyncio.sleep(LOOK_SECONDS)
            latest = await connection.get(f"/api/v1/demo/runs/{started['id']}")
        over.append(latest)
    return over


def _tell_runs(runs: list[dict[str, Any]], *, as_json: bool) -> None:
    from services.host.cli.output import show_json, show_table

    if as_json:
        show_json({"runs": runs})
    else:
        for each in runs:
            rows = [
                (hop["name"], hop["detail"], hop["state"], _ms(hop["milliseconds"])) for hop in each["hops"]
            ]
            rows.append(("", "from first to last", "", _ms(each["total_milliseconds"])))
            show_table(f"{each['dataset_title']}: {each['fault']}", ["Hop", "What", "State", "ms"], rows)
    for each in runs:
        if each["failure"]:
            raise CommandError(each["failure"])


def _ms(milliseconds: float | None) -> str:
    return "–" if milliseconds is None else f"{milliseconds:,.1f}"


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,5})([mhdw])", text.strip())
    if match is None or int(match[1]) == 0:
        raise typer.BadParameter("write a number and m, h, d or w: 7d", param_hint="TIME")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
