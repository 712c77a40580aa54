"""``nutmeg migrate``, ``nutmeg topics …``, ``nutmeg operator-token``: one-off jobs of a cluster."""

from enum import StrEnum
from typing import Annotated

import typer

from services.host.cli.errors import IN_PART, run

__all__ = ["add_cluster"]


class ClusterProfile(StrEnum):
    """Which profile a job is for. The embedded one migrates by itself, at every start."""

    CLUSTER = "cluster"


ProfileOption = Annotated[
    ClusterProfile,
    typer.Option("--profile", help="Only a cluster needs this: one process does it at its start."),
]
ServiceOption = Annotated[str | None, typer.Option("--service", help="Only this service. Default: all.")]
EmailOption = Annotated[
    str | None, typer.Option("--email", help="Address of the operator. Default: NUTMEG_ADMIN_EMAIL.")
]


def add_cluster(app: typer.Typer) -> None:
    """Add the commands."""
    topics = typer.Typer(help="Topics of a cluster.", no_args_is_help=True)
    app.add_typer(topics, name="topics")

    @app.command()
    def migrate(_profile: ProfileOption = ClusterProfile.CLUSTER, service: ServiceOption = None) -> None:
        """Bring every service's PostgreSQL database up to date."""
        from services.host.bootstrap_cluster import CLUSTER_SERVICES
        from services.host.cli.cluster_jobs import migrate as migrate_databases

        if service is not None and service not in CLUSTER_SERVICES:
            raise typer.BadParameter(f"one of: {', '.join(CLUSTER_SERVICES)}", param_hint="--service")
        for name in run(migrate_databases(service)):
            typer.echo(f"{name}: up to date")

    @app.command("operator-token")
    def operator_token(email: EmailOption = None) -> None:
        """Make the first operator of a cluster, and print a token of theirs."""
        from services.host.cli.cluster_jobs import issue_operator_token
        from services.host.cli.options import settings_with

        typer.echo(run(issue_operator_token(email or settings_with().admin_email)))

    @topics.command()
    def create() -> None:
        """Create the topics that are missing, as the registry has them."""
        from services.host.cli.cluster_jobs import create_topics

        typer.echo(f"{run(create_topics())} topics, and one for dead letters of each: all there")

    @topics.command()
    def drift() -> None:
        """Tell where topics differ from the registry. Exit code 3 if they do."""
        from services.host.cli.cluster_jobs import topic_drift

        differences = run(topic_drift())
        for line in differences:
            typer.echo(line)
        if differences:
            raise typer.Exit(IN_PART)
        typer.echo("Every topic is as the registry has it.")
