"""What the checks of this folder look at: the files that git knows or would take, and their modules."""

import subprocess
from functools import cache
from pathlib import Path

PROJECT_ROOT = Path(__file__).parents[2]
CODE = ("services", "shared")
EVENT_SERVICES = ("catalog", "governance", "notify", "quality", "usage")


@cache
def project_files() -> tuple[Path, ...]:
    """Return every file of the project, relative to its root; what git ignores is left out."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(
        sorted(
            path for name in listing.split("\0") if name and (PROJECT_ROOT / (path := Path(name))).is_file()
        )
    )


def python_files(*folders: str) -> list[Path]:
    """Return the Python files below ``folders``, relative to the root."""
    return [path for path in project_files() if path.suffix == ".py" and path.parts[0] in folders]


def read(path: Path) -> str:
    """Return the text of a file; what is not UTF-8 is replaced."""
    return (PROJECT_ROOT / path).read_text(encoding="utf-8", errors="replace")


def module_name(path: Path) -> str:
    """Return the dotted name of a Python file: ``shared/log/__init__.py`` is ``shared.log``."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_migration(path: Path) -> bool:
    """Tell revisions and Alembic's ``env.py`` apart: they are run by Alembic, never imported."""
    return "migrations" in path.parts
