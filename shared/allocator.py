"""The allocator of memory, set for processes whose threads come and go."""

import ctypes
import os

__all__ = ["share_arenas"]

ARENAS_MAX = 2
M_ARENA_MAX = -8
"""``mallopt``'s number for it in glibc's ``malloc.h``."""


def share_arenas() -> None:
    """Let all threads allocate from few arenas. Call it before the first thread begins.

    glibc gives every thread its own, up to eight a core, and what one has freed serves no other: after 1,245
    datasets a process held 262 MB, and 217 MB so. ``MALLOC_ARENA_MAX`` in the environment has the last word;
    other C libraries have no arenas, and are left as they are.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return
    try:
        tune = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    tune(M_ARENA_MAX, ARENAS_MAX)
