"""Refuses what looks like a setting and is none: a misspelt one would be left out in silence."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from pydantic_settings import BaseSettings

from shared.errors import NutmegError

__all__ = ["check_environment"]

PREFIX = "NUTMEG_"


def check_environment(environment: Mapping[str, str], settings: Iterable[type[BaseSettings]]) -> None:
    """Raise ``NutmegError`` for a ``NUTMEG_…`` variable that none of ``settings`` knows."""
    known = {
        f"{one.model_config.get('env_prefix', '')}{name}".upper()
        for one in settings
        for name in one.model_fields
    }
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            close = get_close_matches(name.upper(), known, n=1)
            cure = f"did you mean {close[0]}?" if close else "docs/operations.md lists them"
            raise NutmegError(f"{name} is no setting; {cure}")
