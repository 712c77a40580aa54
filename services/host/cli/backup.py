"""``nutmeg backup`` and ``restore``: keep data, and put it back."""

from pathlib import Path
from typing import Annotated

import typer

from services.host.cli.errors import told_in_one_line
from services.host.cli.options import (
    AsJson,
    DataDir,
    settings_with,
)

__all__ = ["add_backup"]


def add_backup(app: typer.Typer) -> None:
    """Add the commands."""
    _add_backup_command(app)
    _add_restore(app)


def _add_backup_command(app: typer.Typer) -> None:
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
        from services.host.backup.backups import back_up
        from services.host.cli.output import progress_bar, say, show_json

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
        from services.host.backup.backups import check_backup, restore_backup
        from services.host.cli.output import progress_bar, say, show_json

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
