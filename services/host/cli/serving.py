"""``nutmeg up``: serve a data directory until stopped."""

from typing import TYPE_CHECKING, Annotated

import typer

from services.host.cli.errors import run, told_in_one_line
from services.host.cli.options import DataDir, settings_with

if TYPE_CHECKING:
    from services.host.settings import HostSettings

__all__ = ["add_serving"]

Port = Annotated[int | None, typer.Option("--port", min=0, max=65_535, help="Port; 0 takes a free one.")]
ListenOn = Annotated[str | None, typer.Option("--host", help="Address to listen on. Default: loopback only.")]


def add_serving(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def up(data_dir: DataDir = None, port: Port = None, host: ListenOn = None) -> None:
        """Serve until stopped: every service in one process, on one port."""
        with told_in_one_line():
            settings = settings_with(data_dir=data_dir, port=port, host=host)
        run(_serve(settings))


async def _serve(settings: "HostSettings") -> None:
    from services.host.bootstrap import bootstrap_host
    from services.host.serving import serve
    from shared.process.serving import listening_socket
    from shared.telemetry.logging import configure_logging

    configure_logging("host", level=settings.log_level)
    with listening_socket(settings) as bound:
        host = bootstrap_host(settings, port=bound.getsockname()[1])

        async def announce() -> None:
            typer.echo(f"Nutmeg answers at {host.app.state.http_settings.base_url}")
            typer.echo(f"Data: {host.directory.path}   Operator's token: {host.directory.admin_token}")

        await serve(host, bound, announce=announce)
