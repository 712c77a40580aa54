"""Whether a SQLite file is whole: asked at a start, and once a day beside the work. It blocks its thread."""

import contextlib
import sqlite3
from pathlib import Path

from shared.errors import DamagedFileError

__all__ = ["damage_of", "require_whole"]

THOROUGH_BYTES_MAX = 64 * 1024 * 1024
"""A start reads smaller files in full; of larger ones it leaves out whether indexes hold what tables do."""
FINDINGS_MAX = 3
BUSY_TIMEOUT_SECONDS = 10.0


def damage_of(path: Path, *, thorough: bool) -> str | None:
    """Return what is wrong with a file, ``None`` if it is whole, empty or not there.

    Raises ``sqlite3.OperationalError`` where it cannot be looked at: it is locked, or may not be opened.
    """
    if not path.exists() or path.stat().st_size == 0:
        return None
    check = "integrity_check" if thorough else "quick_check"
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS)) as connection:
            rows = connection.execute(f"PRAGMA {check}({FINDINGS_MAX})").fetchall()
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        return str(error)
    findings = [str(row[0]) for row in rows if row[0] != "ok"]
    return " ".join("; ".join(findings).split()) or None


def require_whole(path: Path) -> None:
    """Raise ``DamagedFileError``, with the cure, unless a file is whole, empty or not there."""
    try:
        thorough = path.exists() and path.stat().st_size <= THOROUGH_BYTES_MAX
        damage = damage_of(path, thorough=thorough)
    except sqlite3.OperationalError:
        return  # whoever opens it next says better why it cannot be
    if damage is not None:
        raise DamagedFileError(f"{path} is damaged ({damage}); put a backup back: nutmeg restore")
