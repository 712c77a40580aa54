"""``nutmeg export`` and ``nutmeg import installation``: from one process to a cluster."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.host.cli.errors import IN_PART, run, told_in_one_line
from services.host.cli.options import DataDir, settings_with

if TYPE_CHECKING:
    from services.host.transfer.installation import Manifest

__all__ = ["add_export", "add_import_installation"]


def add_export(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("export")
    def export_to(
        folder: Annotated[Path, typer.Argument(help="Folder to write; it must not exist yet.")],
        data_dir: DataDir = None,
    ) -> None:
        """Write everything that a cluster needs of a data directory. No server may run there."""
        from services.host.transfer.installation import export_installation
        from shared.telemetry.logging import configure_logging

        with told_in_one_line():
            settings = settings_with(data_dir=data_dir)
        configure_logging("cli", level=settings.log_level)
        typer.echo(f"Exported {_words(run(export_installation(settings, folder)))}")


def add_import_installation(group: typer.Typer) -> None:
    """Add the command to the ones that import."""

    @group.command("installation")
    def import_from(folder: Annotated[Path, typer.Argument(help="What nutmeg export wrote.")]) -> None:
        """Fill an empty cluster with an exported installation, and check its index. No worker may run."""
        from services.host.transfer.installation import import_installation
        from shared.telemetry.logging import configure_logging

        configure_logging("cli", level=settings_with().log_level)
        imported = run(import_installation(folder))
        drift = imported.drift
        typer.echo(f"Imported {_words(imported.manifest)}")
        typer.echo(
            f"Index: {drift.index:,} of {drift.store:,} datasets, "
            f"{drift.missing:,} missing, {drift.extra:,} extra, {drift.stale:,} stale"
        )
        if drift.missing or drift.extra or drift.stale:
            raise typer.Exit(IN_PART)


def _words(manifest: "Manifest") -> str:
    return (
        f"{manifest.rows:,} rows of {len(manifest.tables)} services, "
        f"{sum(manifest.records.values()):,} events and dead letters"
    )
