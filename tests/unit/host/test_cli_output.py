"""What commands print: ids are whole whatever the width, and nothing but the answer is on standard output."""

import io
import subprocess
import sys
from importlib.metadata import version
from uuid import UUID

import pytest
from rich.console import Console
from typer.testing import CliRunner

from services.host.cli import output as cli_output
from services.host.cli.app import app
from services.host.cli.output import LINE_SECONDS, LineProgress, show_table

IDS = [str(UUID(int=one, version=4)) for one in (7, 2**120 + 5)]
WORDS = "a reason that is quite a bit longer than one line of a terminal of eighty columns can ever hold"
TOKEN = "nutmeg." + "x" * 40


def printed(monkeypatch: pytest.MonkeyPatch, columns: list[str], rows: list[list[str]], width: int) -> str:
    """What a terminal of this width shows."""
    out = io.StringIO()
    monkeypatch.setattr(
        cli_output, "Console", lambda: Console(file=out, force_terminal=True, width=width, color_system=None)
    )
    show_table("Rows", columns, rows)
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
@pytest.mark.parametrize("others", [0, 1, 2, 6])
def test_an_id_is_whole_on_a_terminal_of_any_width(
    monkeypatch: pytest.MonkeyPatch, width: int, others: int
) -> None:
    columns = ["Id", *(f"Column {number}" for number in range(others))]
    shown = printed(monkeypatch, columns, [[one, *[WORDS] * others] for one in IDS], width)
    assert all(one in shown for one in IDS)


def test_a_column_of_ids_and_words_loses_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = printed(monkeypatch, ["What", "Is"], [["id", IDS[0]], ["detail", WORDS], ["token", TOKEN]], 80)
    assert IDS[0] in shown
    assert TOKEN in shown
    assert set(WORDS.split()) <= set(shown.replace("│", " ").split())


def test_where_it_is_no_terminal_cells_are_parted_by_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    show_table("Rows", ["Id", "Why", "Count"], [[IDS[0], WORDS, 1_234], [IDS[1], "two\nlines", None]])
    assert capsys.readouterr().out.splitlines() == [
        "Rows",
        "Id\tWhy\tCount",
        f"{IDS[0]}\t{WORDS}\t1,234",
        f"{IDS[1]}\ttwo lines\tnot known",
    ]


def test_progress_without_a_terminal_is_a_line_now_and_then() -> None:
    seconds = 0.0
    lines: list[str] = []
    progress = LineProgress(lambda: seconds, lines.append)
    progress.update("Reading the feed")
    assert lines == [], "what is quickly done says nothing"
    for done in range(4):
        seconds += LINE_SECONDS / 2
        progress.update("Storing records", done * 1_000, 5_000)
    progress.update("Storing records", 4_000, 5_000)
    assert lines == ["Storing records: 1,000 of 5,000", "Storing records: 3,000 of 5,000"]


def test_the_version_is_told() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"nutmeg {version('nutmeg')}\n")


def test_a_line_that_is_logged_during_a_command_is_no_part_of_its_answer() -> None:
    script = (
        "import structlog\n"
        "from services.host.cli.errors import run\n"
        "async def act():\n"
        "    structlog.get_logger('x').warning('a store is away')\n"
        "    return 'answer'\n"
        "print(run(act()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "answer\n"
    assert "a store is away" in done.stderr
