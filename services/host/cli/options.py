"""The options that commands share, and how a command runs with them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from services.host.cli.errors import CommandError, run, told_in_one_line

if TYPE_CHECKING:
    from services.host.cli.connection import Connection
    from services.host.settings import HostSettings

__all__ = [
    "AsJson",
    "DataDir",
    "InstallationProfile",
    "ProfileOption",
    "RemoteAPI",
    "RemoteToken",
    "Target",
    "answer_of",
    "settings_with",
]

T = TypeVar("T")


class InstallationProfile(StrEnum):
    """How an installation runs."""

    EMBEDDED = "embedded"
    CLUSTER = "cluster"


def _unless_named_otherwise(
    context: typer.Context, parameter: typer.CallbackParam, value: str | None
) -> str | None:
    """Leave out what only the environment says, where the command line names another Nutmeg."""
    # What the command line gives is taken first, so it is known here.
    is_named = context.params.get("data_dir") or context.params.get("profile") == InstallationProfile.CLUSTER
    source = context.get_parameter_source(parameter.name or "")
    return None if is_named and source is not None and source.name == "ENVIRONMENT" else value


DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Directory that holds everything kept. Default: NUTMEG_DATA_DIR, or ./nutmeg-data."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]
RemoteAPI = Annotated[
    str | None,
    typer.Option(
        "--api",
        envvar="NUTMEG_API",
        callback=_unless_named_otherwise,
        help="Use the server at this address instead of a data directory.",
    ),
]
# From the environment, since everybody on a machine sees the options of its processes.
RemoteToken = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="NUTMEG_TOKEN",
        callback=_unless_named_otherwise,
        help="Token to use; by default the data directory's own.",
    ),
]


ProfileOption = Annotated[
    InstallationProfile,
    typer.Option(
        "--profile",
        help="cluster: look at its databases and at Kafka oneself, by the settings in the environment.",
    ),
]


@dataclass(frozen=True, slots=True)
class Target:
    """Which Nutmeg a command speaks to."""

    data_dir: Path | None
    api: str | None = None
    token: str | None = None
    profile: InstallationProfile = InstallationProfile.EMBEDDED
    may_create: bool = False
    """Whether the command may begin a new data directory; one that only asks must not."""


def settings_with(**given: Any) -> "HostSettings":
    """Return the settings of the environment, with those replaced that a command was given."""
    from services.host.settings import HostSettings

    return HostSettings(**{name: value for name, value in given.items() if value is not None})


def answer_of(target: Target, act: Callable[["Connection"], Awaitable[T]]) -> T:
    """Connect, do ``act``, and return its answer. Raises ``CommandError``."""
    if target.profile is InstallationProfile.CLUSTER and target.api is None:
        return run(_answer_in_cluster(act))
    from services.host.cli.connection import connected

    with told_in_one_line():
        settings = settings_with(data_dir=target.data_dir)
    _check_directory(settings.data_dir, target)

    async def connect_and_act() -> T:
        async with connected(settings, api=target.api, token=target.token) as connection:
            return await act(connection)

    return run(connect_and_act())


async def _answer_in_cluster(act: Callable[["Connection"], Awaitable[T]]) -> T:
    from services.host.cli.connection import in_cluster

    async with in_cluster() as connection:
        return await act(connection)


def _check_directory(data_dir: Path, target: Target) -> None:
    if target.api is not None or data_dir.is_dir():
        return
    if data_dir.exists():
        raise CommandError(f"{data_dir} is a file; --data-dir names a directory")
    if not target.may_create:
        raise CommandError(
            f"there is no Nutmeg in {data_dir}; start one with nutmeg up, or harvest a feed into it"
        )
