"""The options that commands share, and how they become settings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from services.host.settings import HostSettings

__all__ = ["AsJson", "DataDir", "RemoteAPI", "RemoteToken", "settings_with"]

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Directory that holds everything kept. Default: NUTMEG_DATA_DIR, or ./nutmeg-data."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]
RemoteAPI = Annotated[
    str | None, typer.Option("--api", envvar="NUTMEG_API", help="Use the server at this address instead.")
]
RemoteToken = Annotated[
    str | None, typer.Option("--token", envvar="NUTMEG_TOKEN", help="Token for --api.", show_envvar=True)
]


def settings_with(**given: Any) -> "HostSettings":
    """Return the settings of the environment, with those replaced that a command was given."""
    from services.host.settings import HostSettings

    return HostSettings(**{name: value for name, value in given.items() if value is not None})
