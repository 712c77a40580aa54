"""What failed runs once more, is told, and not without end."""

from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from tests.reruns import RERUNS_MAX, TESTS_FAILED, run, told


class _Pytest:
    """Stands for pytest: exits as it was told to, and leaves the names of what failed."""

    def __init__(self, folder: Path, *codes: int, failing: Sequence[str] = ()) -> None:
        self.calls: list[Sequence[str]] = []
        self.codes = list(codes)
        self.failed = folder / "lastfailed"
        self.failed.write_bytes(orjson.dumps(dict.fromkeys(failing, True)))

    def __call__(self, arguments: Sequence[str]) -> int:
        self.calls.append(arguments)
        return self.codes.pop(0)


def test_what_passes_runs_once_and_nothing_is_told(tmp_path: Path) -> None:
    pytest_once = _Pytest(tmp_path, 0)
    assert (
        run(["-m", "faults"], pytest=pytest_once, list_file=tmp_path / "list", failed=pytest_once.failed) == 0
    )
    assert len(pytest_once.calls) == 1
    assert told(tmp_path / "list") == ("0 tests ran twice, 3 may", 0)


@pytest.mark.parametrize("second", [0, TESTS_FAILED])
def test_what_failed_runs_once_more_and_is_named(tmp_path: Path, second: int) -> None:
    run_twice = _Pytest(tmp_path, TESTS_FAILED, second, failing=["tests/a.py::test_a"])
    code = run(["-m", "faults"], pytest=run_twice, list_file=tmp_path / "list", failed=run_twice.failed)
    assert code == second
    assert run_twice.calls[1][:4] == ["-m", "faults", "-n", "0"]
    assert told(tmp_path / "list") == ("1 tests ran twice, 3 may\n  tests/a.py::test_a", 0)


def test_more_failures_than_bad_luck_brings_are_failures(tmp_path: Path) -> None:
    failing = [f"tests/a.py::test_{number}" for number in range(RERUNS_MAX)]
    first = _Pytest(tmp_path, TESTS_FAILED, 0, failing=failing)
    assert run([], pytest=first, list_file=tmp_path / "list", failed=first.failed) == 0
    one_more = _Pytest(tmp_path, TESTS_FAILED, failing=["tests/b.py::test_b"])
    code = run([], pytest=one_more, list_file=tmp_path / "list", failed=one_more.failed)
    assert (code, len(one_more.calls)) == (TESTS_FAILED, 1)


def test_what_is_no_failure_of_a_test_runs_once(tmp_path: Path) -> None:
    interrupted = _Pytest(tmp_path, 2, failing=["tests/a.py::test_a"])
    assert run([], pytest=interrupted, list_file=tmp_path / "list", failed=interrupted.failed) == 2
    assert len(interrupted.calls) == 1
