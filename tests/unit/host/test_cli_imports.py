"""What commands do after an import whose events could not reach the log."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from services.host.cli import catalog as cli_catalog
from services.host.cli.app import app
from services.host.cli.connection import Connection
from services.host.cli.errors import CommandError

REPORT = {"rows": 1, "changed": 1, "refused": 0, "problems": [], "noted": 0, "notes": [], "published": False}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that a command asks of a server whose log is away."""
    paths: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return httpx.Response(200, json=REPORT)

    async def act_on(act: Callable[[Connection], Awaitable[Any]]) -> Any:
        async with httpx.AsyncClient(
            base_url="http://127.0.0.1", transport=httpx.MockTransport(answer)
        ) as client:
            return await act(Connection(client))

    monkeypatch.setattr(cli_catalog, "answer_of", lambda _target, act: asyncio.run(act_on(act)))
    return paths


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "stewardships.csv"
    path.write_text("identifier,visibility\na,government\n")
    return str(path)


def test_nothing_is_harvested_that_might_have_to_be_hidden(
    asked: list[str], rows: str, tmp_path: Path
) -> None:
    feed = tmp_path / "data.json"
    feed.write_text('{"dataset": []}')
    done = CliRunner().invoke(app, ["harvest", str(feed), "--stewardships", rows])
    assert isinstance(done.exception, CommandError)
    assert "nothing was harvested: try again" in str(done.exception)
    assert asked == ["/api/v1/directory/imports/stewardships"]


def test_an_import_says_that_others_hear_of_it_later(asked: list[str], rows: str) -> None:
    done = CliRunner().invoke(app, ["import", "stewardships", rows])
    assert (done.exit_code, len(asked)) == (0, 1)
    assert "The log is away" in done.output
