"""Known weaknesses of the locked packages, by pip-audit. Where nobody could be asked, it says so."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Report", "ask", "report_of"]

ASK_SECONDS_MAX = 300


@dataclass(frozen=True, slots=True)
class Report:
    """``unknown`` are packages of which nothing could be learnt; ``failure`` says why nobody was asked."""

    weak: Sequence[str]
    unknown: Sequence[str]
    audited: int
    failure: str = ""

    @property
    def exit_code(self) -> int:
        """0: all were asked for and none is weak; 1: weaknesses; 2: it is not known."""
        if self.weak:
            return 1
        return 2 if self.failure or self.unknown or not self.audited else 0


def ask(requirements: Path) -> Report:
    """Ask the vulnerability service about each pinned package."""
    command = [
        "pip_audit",
        "--disable-pip",
        "--require-hashes",
        "--format",
        "json",
        "--progress-spinner",
        "off",
    ]
    try:
        done = subprocess.run(
            [sys.executable, "-m", *command, "--requirement", str(requirements)],
            capture_output=True,
            text=True,
            timeout=ASK_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Report((), (), 0, f"no answer within {ASK_SECONDS_MAX} s")
    try:
        return report_of(json.loads(done.stdout))
    except ValueError:
        last = (done.stderr.strip() or "pip-audit said nothing").splitlines()[-1]
        return Report((), (), 0, last)


def report_of(document: Mapping[str, Any]) -> Report:
    """Return the report that a document of pip-audit makes."""
    packages = document["dependencies"]
    unknown = [one["name"] for one in packages if "skip_reason" in one]
    weak = [
        f"{one['name']} {one['version']}: {found['id']}"
        + (f", mended in {', '.join(found['fix_versions'])}" if found.get("fix_versions") else "")
        for one in packages
        for found in one.get("vulns", [])
    ]
    return Report(weak, unknown, len(packages) - len(unknown))
