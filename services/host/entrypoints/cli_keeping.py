"""``nutmeg backup``, ``restore`` and ``accept-loss``: keep data, and say what follows where it is lost."""

import getpass
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from services.host.entrypoints.cli_errors import run, told_in_one_line
from services.host.entrypoints.cli_options import (
    AsJson,
    DataDir,
    InstallationProfile,
    ProfileOption,
    settings_with,
)

__all__ = ["add_keeping"]


class Lost(StrEnum):
    """What may have lost something."""

    CATALOG = "catalog"
    GOVERNANCE = "governance"
    LOG = "log"
    NOTIFY = "notify"
    QUALITY = "quality"
    USAGE = "usage"


def add_keeping(app: typer.Typer) -> None:
    """Add the commands."""
    _add_backup(app)
    _add_restore(app)
    _add_accept_loss(app)


def _add_backup(app: typer.Typer) -> None:
    @app.command()
    def backup(
        folder: Annotated[Path, typer.Argument(help="Folder to write; it must not exist yet.")],
        without_secrets: Annotated[
            bool,
            typer.Option(
                "--without-secrets",
                help="Leave out the signing key and the operator's token: everybody has to sign in anew.",
            ),
        ] = False,
        as_json: AsJson = False,
        data_dir: DataDir = None,
    ) -> None:
        """Copy a data directory as it is at one moment. The server may run."""
        from services.host.backups import back_up
        from services.host.entrypoints.cli_output import progress_bar, say, show_json

        with told_in_one_line(), progress_bar() as bar:
            manifest = back_up(
                settings_with(data_dir=data_dir).data_dir,
                folder,
                with_secrets=not without_secrets,
                progress=bar.update,
            )
        if as_json:
            show_json({"folder": str(folder), **manifest.document()})
            return
        say(f"Backed up {len(manifest.files):,} files, {manifest.size_bytes:,} bytes, to {folder}")
        if not without_secrets:
            say("It holds the signing key: keep it where only operators can read it.")


def _add_restore(app: typer.Typer) -> None:
    @app.command()
    def restore(
        folder: Annotated[Path, typer.Argument(help="What nutmeg backup wrote.")],
        check: Annotated[
            bool, typer.Option("--check", help="Only check that the backup is whole; write nothing.")
        ] = False,
        as_json: AsJson = False,
        data_dir: DataDir = None,
    ) -> None:
        """Put a backup into a data directory that is empty, having checked that it is whole."""
        from services.host.backups import check_backup, restore_backup
        from services.host.entrypoints.cli_output import progress_bar, say, show_json

        with told_in_one_line(), progress_bar() as bar:
            target = settings_with(data_dir=data_dir).data_dir
            manifest = (
                check_backup(folder, progress=bar.update)
                if check
                else restore_backup(folder, target, progress=bar.update)
            )
        if as_json:
            show_json({"folder": str(folder), **manifest.document()})
            return
        words = f"{len(manifest.files):,} files, {manifest.size_bytes:,} bytes, of {manifest.taken_at}"
        say(f"Whole: {words}" if check else f"Restored {words}, to {target}. Start it with nutmeg up.")


def _add_accept_loss(app: typer.Typer) -> None:
    @app.command("accept-loss")
    def accept_loss(
        what: Annotated[Lost, typer.Argument(help="Whose database has lost something, or the log.")],
        reason: Annotated[str, typer.Option("--reason", help="Why no backup is put back; it is kept.")],
        as_json: AsJson = False,
        data_dir: DataDir = None,
        profile: ProfileOption = InstallationProfile.EMBEDDED,
    ) -> None:
        """Go on without what was lost: read again what the log still has. No server may run."""
        from services.host.entrypoints.cli_output import say, show_json
        from services.host.losses import accept_in_cluster, accept_in_directory
        from shared.telemetry.logging import configure_logging

        with told_in_one_line():
            settings = settings_with(data_dir=data_dir)
        configure_logging("cli", level=settings.log_level)
        by = getpass.getuser()
        accepted = run(
            accept_in_cluster(what, by=by, reason=reason)
            if profile is InstallationProfile.CLUSTER
            else accept_in_directory(settings, what, by=by, reason=reason)
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
