"""``nutmeg``: the command line. Heavy modules are imported by the commands that need them.

Exit codes: 0 done; 1 failed, with one line on standard error; 2 wrong usage; 3 done in part (some records or
rows were refused, or a harvest is held for confirmation).
"""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from services.host.cli.backup import add_backup
from services.host.cli.catalog import add_catalog
from services.host.cli.cluster import add_cluster
from services.host.cli.demo import add_demo
from services.host.cli.errors import FAILED, CommandError
from services.host.cli.jobs import add_jobs
from services.host.cli.losses import add_losses
from services.host.cli.operations import add_operations
from services.host.cli.people import add_people
from services.host.cli.quality import add_quality
from services.host.cli.serving import add_serving
from services.host.cli.transfer import add_export
from services.host.cli.usage import add_usage
from shared.gc_tuning import tune_collector
from shared.process.limits import keep_to_owner

__all__ = ["app", "main"]

app = typer.Typer(
    name="nutmeg",
    help="Find, understand, measure and share public data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"nutmeg {version('nutmeg')}")
        raise typer.Exit


@app.callback()
def nutmeg(
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version and end."),
    ] = False,
) -> None:
    """Find, understand, measure and share public data."""


add_serving(app)
add_demo(app)
add_catalog(app)
add_usage(app)
add_quality(app)
add_operations(app)
add_people(app)
add_jobs(app)
add_cluster(app)
add_export(app)
add_backup(app)
add_losses(app)


def main() -> None:
    """Run the command line; the installed script calls it."""
    tune_collector()
    keep_to_owner()
    try:
        app()
    except CommandError as error:
        sys.stderr.write(f"nutmeg: {error}\n")
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(130)
