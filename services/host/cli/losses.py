"""``nutmeg accept-loss``: say what follows where something is lost and no backup is put back."""

import getpass
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from services.host.cli.errors import run, told_in_one_line
from services.host.cli.options import (
    AsJson,
    DataDir,
    InstallationProfile,
    ProfileOption,
    settings_with,
)

if TYPE_CHECKING:
    from services.host.settings import HostSettings
    from shared.outbox.loss_acceptance import AcceptedLoss

__all__ = ["add_losses"]


class Lost(StrEnum):
    """What may have lost something."""

    CATALOG = "catalog"
    GOVERNANCE = "governance"
    LOG = "log"
    NOTIFY = "notify"
    QUALITY = "quality"
    USAGE = "usage"


def add_losses(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("accept-loss")
    def accept_loss(
        what: Annotated[Lost, typer.Argument(help="Whose database has lost something, or the log.")],
        reason: Annotated[str, typer.Option("--reason", help="Why no backup is put back; it is kept.")],
        as_json: AsJson = False,
        data_dir: DataDir = None,
        profile: ProfileOption = InstallationProfile.EMBEDDED,
    ) -> None:
        """Go on without what was lost: read again what the log still has. No server may run."""
        from services.host.cli.output import say, show_json
        from shared.telemetry.logging import configure_logging

        with told_in_one_line():
            settings = settings_with(data_dir=data_dir)
        configure_logging("cli", level=settings.log_level)
        by = getpass.getuser()
        accepted = run(
            _accept_in_cluster(what, by=by, reason=reason)
            if profile is InstallationProfile.CLUSTER
            else _accept_in_directory(settings, what, by=by, reason=reason)
        )
        if as_json:
            show_json([asdict(loss) for loss in accepted])
            return
        for loss in accepted:
            events = sum(loss.events.values())
            say(
                f"{loss.service}: {events:,} events are no longer asked after, "
                f"{len(loss.read_again)} consumer groups read again, {loss.sent_again:,} events sent again"
            )
        if not accepted:
            say("Nothing is amiss: log and databases agree.")


async def _accept_in_directory(
    settings: "HostSettings", what: str, *, by: str, reason: str
) -> "list[AcceptedLoss]":
    from services.host.bootstrap import directory_at_rest
    from services.host.operations.commands.losses import accept_losses

    async with directory_at_rest(settings) as (stores, log):
        return await accept_losses(stores, log, what, by=by, reason=reason)


async def _accept_in_cluster(what: str, *, by: str, reason: str) -> "list[AcceptedLoss]":
    # Imported here: an installation without a cluster has no client for Kafka.
    from services.host.bootstrap_cluster import cluster_at_rest
    from services.host.operations.commands.losses import accept_losses

    async with cluster_at_rest() as (stores, log):
        return await accept_losses(stores, log, what, by=by, reason=reason)
