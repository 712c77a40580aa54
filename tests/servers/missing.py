"""What a machine lacks to run the real servers, in words, with the cure."""

import shutil

__all__ = ["ServerMissingError", "require_program"]


class ServerMissingError(Exception):
    """A server cannot run on this machine. The message says what is missing, and what mends it."""


def require_program(name: str, package: str, *, path: str | None = None) -> str:
    """Return where a program is. ``package`` is its Debian package, ``path`` where else to look."""
    found = shutil.which(name) or shutil.which(name, path=path)
    if found is None:
        raise ServerMissingError(f"{name} is not installed. On Debian and Ubuntu: apt-get install {package}")
    return found
