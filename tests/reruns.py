"""Runs a part of the tests, and what failed of it once more: for tests that stand on whole servers.

Such tests run into their time-outs on a machine that is busy with other things. ``python -m tests.reruns run
ARGUMENTS`` hands the arguments to pytest and repeats what failed, one test at a time, in a process of its
own. All that ran twice stands in a list for the closing lines: ``python -m tests.reruns told`` prints it, and
fails where it is longer than ``RERUNS_MAX``.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

__all__ = ["RERUNS_MAX", "run", "told"]

RERUNS_MAX = 3
"""In one run of all tests. More is no bad luck."""
TESTS_FAILED = 1
"""What pytest exits with if nothing worse happened."""
LIST = Path(".pytest_cache") / "reruns.txt"
LAST_FAILED = Path(".pytest_cache") / "v" / "cache" / "lastfailed"

Pytest = Callable[[Sequence[str]], int]


def run(
    arguments: Sequence[str], *, pytest: Pytest, list_file: Path = LIST, failed: Path = LAST_FAILED
) -> int:
    """Run a part of the tests; return what pytest exited with, the second time where there was one."""
    code = pytest(arguments)
    if code != TESTS_FAILED:
        return code
    names = sorted(orjson.loads(failed.read_bytes())) if failed.exists() else []
    before = _listed(list_file)
    if not names or len(before) + len(names) > RERUNS_MAX:
        return code
    list_file.parent.mkdir(exist_ok=True)
    list_file.write_text("".join(f"{name}\n" for name in (*before, *names)))
    print(f"{len(names)} FAILED, see above. They run once more, one by one.", file=sys.stderr, flush=True)
    return pytest([*arguments, "-n", "0", "--last-failed", "--last-failed-no-failures", "none"])


def told(list_file: Path = LIST) -> tuple[str, int]:
    """Return the closing lines, and what to exit with."""
    names = _listed(list_file)
    lines = [f"{len(names)} tests ran twice, {RERUNS_MAX} may", *(f"  {name}" for name in names)]
    return "\n".join(lines), int(len(names) > RERUNS_MAX)


def _listed(list_file: Path) -> list[str]:
    return list_file.read_text().splitlines() if list_file.exists() else []


def _pytest(arguments: Sequence[str]) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["begin"]:
            LIST.unlink(missing_ok=True)
        case ["run", *rest]:
            sys.exit(run(rest, pytest=_pytest))
        case ["told"]:
            text, exit_code = told()
            print(text)
            sys.exit(exit_code)
        case _:
            sys.exit("usage: python -m tests.reruns begin | run ARGUMENTS | told")
