"""Which Nutmeg a command speaks to: what the command line says goes before the environment."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.host.cli.app import app
from services.host.cli.errors import CommandError
from services.host.settings import HostSettings
from shared.process.environment import COMMAND_VARIABLES, check_environment

NOBODY, OTHER = "http://127.0.0.1:1", "http://127.0.0.1:2"


def told(*arguments: str) -> str:
    """Run a command that fails, and return what it says."""
    ran = CliRunner().invoke(app, ["search", "bridges", *arguments], env={"NUTMEG_API": NOBODY})
    assert isinstance(ran.exception, CommandError)
    return str(ran.exception)


def test_a_server_is_named_by_the_environment() -> None:
    assert told().startswith(f"{NOBODY} does not answer")


def test_an_address_on_the_command_line_goes_before() -> None:
    assert told("--api", OTHER).startswith(f"{OTHER} does not answer")


def test_a_data_directory_on_the_command_line_goes_before(tmp_path: Path) -> None:
    assert told("--data-dir", str(tmp_path / "none")).startswith("there is no Nutmeg in")


@pytest.mark.parametrize("name", sorted(COMMAND_VARIABLES))
def test_a_server_that_finds_them_in_its_environment_starts(name: str) -> None:
    check_environment({name: "x"}, [HostSettings])
