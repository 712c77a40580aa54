"""What a process settles with its machine before it works: modes of its files, open files, old leftovers."""

import contextlib
import os
import resource
import shutil
import stat
import tempfile
import time
from pathlib import Path

from shared.errors import NutmegError

__all__ = ["keep_to_owner", "require_descriptors", "sweep_leftovers"]

DESCRIPTORS_WANTED = 4_096
DESCRIPTORS_MIN = 256
"""Six files with their logs and readers, an index, and some room for connections."""
LEFTOVERS = ("nutmeg-dictionary-*", "nutmeg-fetch-*", "nutmeg-profile-*")
LEFTOVER_SECONDS_MIN = 24 * 3_600.0
"""Another process may be at work in a younger one."""


def keep_to_owner() -> None:
    """Let nobody but the owner read what this process writes."""
    os.umask(0o077)


def require_descriptors() -> None:
    """Raise the limit of open files as far as it goes. Raises ``NutmegError`` if that is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS_MIN:
        raise NutmegError(
            f"only {soft} files may be open at once, and Nutmeg needs {DESCRIPTORS_MIN}; "
            f"raise the limit: ulimit -n {DESCRIPTORS_WANTED}"
        )


def sweep_leftovers(folder: Path | None = None) -> int:
    """Remove working folders that killed processes of ours left behind; return how many that was."""
    folder = folder or Path(tempfile.gettempdir())
    before = time.time() - LEFTOVER_SECONDS_MIN
    swept = 0
    for pattern in LEFTOVERS:
        for path in folder.glob(pattern):
            with contextlib.suppress(OSError):
                found = path.lstat()
                is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
                if is_ours and found.st_mtime < before:
                    shutil.rmtree(path)
                    swept += 1
    return swept
