"""``make audit``: licenses, which need nobody; then weaknesses, which need the vulnerability service."""

import re
import sys
from pathlib import Path

from tests.audit.licenses import installed_licenses, refused
from tests.audit.weaknesses import Report, ask

LOCKED = Path("requirements/requirements-cluster.txt")
"""All that the product takes, in both profiles."""
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
RULE = "!" * 78


def locked_packages() -> list[str]:
    """Return the names of the packages that the product takes."""
    return _PINNED.findall(LOCKED.read_text())


def main() -> int:
    """Print what was found; return 0 (all well), 1 (something is wrong) or 2 (it could not be found out)."""
    wrong = refused(installed_licenses(locked_packages()))
    for line in wrong:
        print(f"License not on the list (tests/audit/licenses.py): {line}")
    if not wrong:
        print("Licenses: each is on the list.")
    report = ask(LOCKED)
    _print(report)
    return 1 if wrong else report.exit_code


def _print(report: Report) -> None:
    for line in report.weak:
        print(f"Known weakness: {line}")
    if report.exit_code == 2:
        why = report.failure or f"nothing is known of {len(report.unknown)} packages"
        lines = (
            RULE,
            "THE VULNERABILITY SERVICE COULD NOT BE ASKED. This says nothing about weaknesses:",
            why,
            RULE,
        )
        print("\n".join(lines), file=sys.stderr)
    elif not report.weak:
        print(f"Weaknesses: none is known in {report.audited} packages.")


if __name__ == "__main__":
    sys.exit(main())
