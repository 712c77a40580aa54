"""What stands on servers or a browser runs once more when it fails, is told, and not without end."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from tests.reruns import LAST_FAILED, MARKS, RERUNS_MAX, TESTS_FAILED, run, told

MAKEFILE = Path(__file__).parents[2] / "Makefile"


class _Pytest:
    """Stands for pytest: exits as it was told to, and leaves the names of what failed."""

    def __init__(self, folder: Path, *codes: int, failing: Sequence[str] = ()) -> None:
        self.calls: list[Sequence[str]] = []
        self.codes = list(codes)
        self.failing = failing
        self.failed = folder / "lastfailed"
        self.list_file = folder / "list"

    def __call__(self, arguments: Sequence[str]) -> int:
        self.calls.append(arguments)
        if self.failing:
            self.failed.write_bytes(orjson.dumps(dict.fromkeys(self.failing, True)))
        return self.codes.pop(0)

    def run(self, selection: str = "cluster", arguments: Sequence[str] = ("-n", "4")) -> int:
        return run(selection, arguments, pytest=self, list_file=self.list_file, failed=self.failed)


def test_what_passes_runs_once_and_nothing_is_told(tmp_path: Path) -> None:
    passing = _Pytest(tmp_path, 0)
    assert passing.run() == 0
    assert len(passing.calls) == 1
    assert told(passing.list_file) == ("0 tests ran twice, 3 may", 0)


@pytest.mark.parametrize("second", [0, TESTS_FAILED])
def test_what_failed_runs_once_more_and_is_named(tmp_path: Path, second: int) -> None:
    failing = _Pytest(tmp_path, TESTS_FAILED, second, failing=["tests/a.py::test_a"])
    assert failing.run() == second
    assert failing.calls[1][: len(failing.calls[0])] == failing.calls[0]
    assert failing.calls[1][len(failing.calls[0]) :][:3] == ["-n", "0", "--last-failed"]
    assert told(failing.list_file) == ("1 tests ran twice, 3 may\n  tests/a.py::test_a", 0)


def test_more_failures_than_bad_luck_brings_are_failures(tmp_path: Path) -> None:
    failing = [f"tests/a.py::test_{number}" for number in range(RERUNS_MAX)]
    first = _Pytest(tmp_path, TESTS_FAILED, 0, failing=failing)
    assert first.run() == 0
    one_more = _Pytest(tmp_path, TESTS_FAILED, failing=["tests/b.py::test_b"])
    assert (one_more.run(), len(one_more.calls)) == (TESTS_FAILED, 1)


def test_what_is_no_failure_of_a_test_runs_once(tmp_path: Path) -> None:
    interrupted = _Pytest(tmp_path, 2, failing=["tests/a.py::test_a"])
    assert interrupted.run() == 2
    assert len(interrupted.calls) == 1


def test_what_failed_in_an_earlier_run_is_not_counted(tmp_path: Path) -> None:
    failing = _Pytest(tmp_path, TESTS_FAILED)
    failing.failed.write_bytes(orjson.dumps({"tests/gone.py::test_gone": True}))
    assert failing.run() == TESTS_FAILED
    assert len(failing.calls) == 1
    assert told(failing.list_file) == ("0 tests ran twice, 3 may", 0)


def test_only_tests_on_servers_or_a_browser_run_where_they_may_run_twice(tmp_path: Path) -> None:
    passing = _Pytest(tmp_path, 0)
    passing.run("cluster or not cluster")
    assert passing.calls == [["-n", "4", "-m", "(faults or browser) and (cluster or not cluster)"]]


@pytest.mark.parametrize("arguments", [["-m", "not faults"], ["-mnot faults"]])
def test_no_argument_lets_other_tests_in(tmp_path: Path, arguments: Sequence[str]) -> None:
    passing = _Pytest(tmp_path, 0)
    with pytest.raises(ValueError, match="selection"):
        passing.run("cluster", arguments)
    assert passing.calls == []


def test_pytest_itself_repeats_the_marked_test_and_leaves_the_others_out(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  faults: a\n  browser: b\n")
    (tmp_path / "test_parts.py").write_text(
        "import pathlib, pytest\n"
        "def test_plain(): raise AssertionError\n"
        "@pytest.mark.browser\n"
        "def test_page(): pass\n"
        "@pytest.mark.faults\n"
        "def test_outage():\n"
        "    seen = pathlib.Path('seen')\n"
        "    was_seen = seen.exists()\n"
        "    seen.touch()\n"
        "    assert was_seen\n"
    )

    def inside(arguments: Sequence[str]) -> int:
        command = [sys.executable, "-m", "pytest", "-q", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode

    list_file = tmp_path / "list"
    code = run("not cluster", [], pytest=inside, list_file=list_file, failed=tmp_path / LAST_FAILED)
    assert code == 0
    assert told(list_file) == ("1 tests ran twice, 3 may\n  test_parts.py::test_outage", 0)


def test_make_test_lets_only_marked_tests_run_twice_and_leaves_none_out() -> None:
    recipe = re.search(r"^test:.*\n((?:\t.*\n)+)", MAKEFILE.read_text(), re.MULTILINE)
    assert recipe is not None
    unmarked = " and ".join(f"not {mark}" for mark in MARKS)
    assert re.findall(r"\$\(BIN\)/pytest .*-m \"([^\"]*)\"", recipe[1]) == [unmarked]
    assert re.findall(r'tests\.reruns run "([^"]*)"', recipe[1]) == ["not cluster", "cluster"]
    assert recipe[1].rstrip().endswith("tests.reruns told")
