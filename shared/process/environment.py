"""Refuses what looks like a setting and is none: a misspelt one would be left out in silence."""

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

from pydantic_settings import BaseSettings

from shared.errors import NutmegError
from shared.events.topics import TOPICS

__all__ = ["COMMAND_VARIABLES", "check_environment", "prefixes_of_services"]

PREFIX = "NUTMEG_"
COMMAND_VARIABLES = frozenset({"NUTMEG_API", "NUTMEG_TOKEN"})
"""Stand in for options of commands, and are no settings of a server."""


def check_environment(
    environment: Mapping[str, str],
    settings: Iterable[type[BaseSettings]],
    *,
    prefixes_of_others: Collection[str] = (),
) -> None:
    """Raise ``NutmegError`` for a ``NUTMEG_…`` variable that none of ``settings`` knows.

    One that begins with one of ``prefixes_of_others`` is for another process to judge: all of an
    installation may be given the same environment.
    """
    known = COMMAND_VARIABLES | {
        f"{one.model_config.get('env_prefix', '')}{name}".upper()
        for one in settings
        for name in one.model_fields
    }
    for name in sorted(environment):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in known:
            continue
        if upper.startswith(tuple(prefixes_of_others)):
            continue
        close = get_close_matches(upper, known, n=1)
        cure = f"did you mean {close[0]}?" if close else "docs/operations.md lists them"
        raise NutmegError(f"{name} is no setting; {cure}")


def prefixes_of_services() -> set[str]:
    """Return how the settings of each service begin."""
    return {f"{PREFIX}{topic.owner.upper()}_" for topic in TOPICS.values()}
