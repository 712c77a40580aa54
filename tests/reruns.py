"""Runs the tests that stand on whole servers or a browser, and what failed of them once more.

Such tests run into their time-outs on a machine that is busy with other things. ``python -m tests.reruns run
SELECTION ARGUMENTS`` hands pytest the tests that are marked with one of ``MARKS`` and that the expression
selects, with the arguments, and repeats what failed, one test at a time, in a process of its own. No other
test runs here: a failure of one is a failure at once. All that ran twice stands in a list for the closing
lines: ``python -m tests.reruns told`` prints it, and fails where it is longer than ``RERUNS_MAX``. Where a
part fails, it prints the list itself.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

__all__ = ["LAST_FAILED", "MARKS", "RERUNS_MAX", "run", "told"]

MARKS = ("faults", "browser")
"""Of tests that may run twice."""
RERUNS_MAX = 3
"""In one run of all tests. More is no bad luck."""
TESTS_FAILED = 1
"""What pytest exits with if nothing worse happened."""
LIST = Path(".pytest_cache") / "reruns.txt"
LAST_FAILED = Path(".pytest_cache") / "v" / "cache" / "lastfailed"

Pytest = Callable[[Sequence[str]], int]


def run(
    selection: str,
    arguments: Sequence[str],
    *,
    pytest: Pytest,
    list_file: Path = LIST,
    failed: Path = LAST_FAILED,
) -> int:
    """Run a part of the tests; return what pytest exited with, the second time where there was one.

    Raises ``ValueError`` for an argument ``-m…``, which would undo that only ``MARKS`` run here.
    """
    if any(argument.startswith("-m") for argument in arguments):
        raise ValueError(f"Write the marks into the selection: {selection!r} and ...")
    arguments = [*arguments, "-m", f"({' or '.join(MARKS)}) and ({selection})"]
    # What failed in an earlier run, and is not part of this one, stays in there.
    failed.unlink(missing_ok=True)
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
        case ["run", chosen, *rest]:
            exit_code = run(chosen, rest, pytest=_pytest)
            if exit_code:
                print(told()[0])
            sys.exit(exit_code)
        case ["told"]:
            text, exit_code = told()
            print(text)
            sys.exit(exit_code)
        case _:
            sys.exit("usage: python -m tests.reruns begin | run SELECTION ARGUMENTS | told")
