"""Which licenses the packages of the product may have: those that ask for no more than their notice.

Names are those that packages give themselves, as pip-licenses reads them; a combined one is split.
"""

import json
import re
import subprocess
import sys
from collections.abc import Collection, Mapping

__all__ = ["ALLOWED", "installed_licenses", "refused"]

ALLOWED = frozenset(
    {
        "0BSD",
        "Apache",
        "Apache Software License",
        "Apache-2.0",
        "BSD License",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        "ISC",
        "ISC License (ISCL)",
        "MIT",
        "MIT License",
        "MIT-0",
        "MPL-2.0",  # its files stay open; ours need not become so
        "Mozilla Public License 2.0 (MPL 2.0)",
        "PSF-2.0",
        "Python Software Foundation License",
        "Repoze Public License",  # BSD with a clause about names
        "Unlicense",
        "Zlib",
    }
)
_COMBINED = re.compile(r"\s+(?:AND|WITH)\s+|\s*;\s*|[()]")


def installed_licenses(packages: Collection[str]) -> Mapping[str, str]:
    """Return each of ``packages`` that is installed here, with what it says of its license."""
    done = subprocess.run(
        [sys.executable, "-m", "piplicenses", "--from=mixed", "--format=json", "--packages", *packages],
        capture_output=True,
        text=True,
        check=True,
    )
    return {one["Name"].lower().replace("_", "-"): one["License"] for one in json.loads(done.stdout)}


def refused(licenses: Mapping[str, str]) -> list[str]:
    """Return, in words, which packages have a license that is not on the list."""
    return [f"{name}: {text}" for name, text in sorted(licenses.items()) if not _is_allowed(text)]


def _is_allowed(text: str) -> bool:
    # Of alternatives one is enough; of a combination each part has to be on the list.
    whole = text.strip()
    if whole in ALLOWED:
        return True
    alternatives = [part for part in re.split(r"\s+OR\s+", whole) if part]
    if len(alternatives) > 1 and " AND " not in whole:
        return any(_is_allowed(part) for part in alternatives)
    parts = [part.strip() for part in _COMBINED.split(whole)]
    return any(parts) and all(
        any(one in ALLOWED for one in re.split(r"\s+OR\s+", part)) for part in parts if part
    )
