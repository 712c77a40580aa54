"""The command line on what ``make setup`` installs: no client of a cluster is there."""

import subprocess
import sys
from pathlib import Path

import pytest

from services.host.cli.errors import CLUSTER_MODULES

PROJECT_ROOT = Path(__file__).parents[2]
COMMAND = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {modules!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from services.host.cli.app import main
main()
"""
CLUSTER_SETTINGS = {
    "NUTMEG_DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:1/nutmeg_{service}",
    "NUTMEG_SIGNING_KEY": "00" * 32,
    "NUTMEG_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
}
OF_A_DIRECTORY = (
    ("import", "agencies", "{folder}/agencies.csv"),
    ("status",),
    ("dlq", "list"),
    ("token", "issue", "administrator@localhost"),
    ("export", "{folder}/exported"),
    ("backup", "{folder}/backup"),
    ("accept-loss", "usage", "--reason", "A test."),
)
OF_A_CLUSTER = (
    ("migrate",),
    ("topics", "create"),
    ("topics", "drift"),
    ("operator-token",),
    ("status", "--profile", "cluster"),
    ("dlq", "list", "--profile", "cluster"),
    ("accept-loss", "usage", "--reason", "A test.", "--profile", "cluster"),
)


def nutmeg(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COMMAND.format(modules=set(CLUSTER_MODULES)), *arguments],
        cwd=PROJECT_ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "USER": "somebody", **environment},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_every_command_on_a_data_directory_works(tmp_path: Path) -> None:
    (tmp_path / "agencies.csv").write_text("code,name\nDOT,Department of Transportation\n")
    for command in OF_A_DIRECTORY:
        done = nutmeg(
            *(part.format(folder=tmp_path) for part in command), "--data-dir", str(tmp_path / "data")
        )
        assert done.returncode == 0, (command, done.stderr)
    assert (tmp_path / "exported" / "manifest.json").is_file()


@pytest.mark.parametrize("command", OF_A_CLUSTER, ids=" ".join)
def test_a_command_of_a_cluster_says_in_one_line_what_to_install(command: tuple[str, ...]) -> None:
    done = nutmeg(*command, **CLUSTER_SETTINGS)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "nutmeg[cluster]" in done.stderr
