"""``nutmeg harvest`` tells its result first, and what is still measured fails nothing."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from services.host.cli import catalog as cli_catalog
from services.host.cli.app import app
from services.host.cli.connection import Connection

HARVEST = "5f0c5ac4-2f7b-4d0e-9a51-000000000001"
RESULT = {"created": 2, "changed": 0, "unchanged": 0, "retired": 0, "rejected": 0, "rejections": []}
JOB = {
    "id": HARVEST,
    "source": "feed",
    "first_harvest": True,
    "message": "",
    "progress": {"processed": 2, "total": 2},
    "result": RESULT,
}


class Server:
    """A server whose measurements never end; ``drain`` is how it answers whoever waits for them."""

    def __init__(self) -> None:
        self.drain: tuple[int, dict[str, Any]] = (200, {"idle": False, "busy": "quality.profile is due"})
        self.pending = {"catalog.index": 0, "quality.profile": 3}
        self.asked: list[str] = []
        self.status = "running"

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(path)
        if path == "/api/v1/harvests":
            return httpx.Response(202, json=JOB | {"status": "queued"})
        if path.startswith("/api/v1/harvests/"):
            status, self.status = self.status, "completed"
            return httpx.Response(200, json=JOB | {"status": status})
        if path == "/api/v1/ops/drain":
            return httpx.Response(self.drain[0], json=self.drain[1])
        works = [{"name": name, "pending": number} for name, number in self.pending.items()]
        return httpx.Response(200, json={"works": works, "outboxes": [], "consumers": []})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    answers = Server()

    async def act_on(act: Callable[[Connection], Awaitable[Any]]) -> Any:
        transport = httpx.MockTransport(answers)
        async with httpx.AsyncClient(base_url="http://127.0.0.1", transport=transport) as client:
            return await act(Connection(client))

    monkeypatch.setattr(cli_catalog, "answer_of", lambda _target, act: asyncio.run(act_on(act)))
    return answers


@pytest.fixture
def feed(tmp_path: Path) -> str:
    path = tmp_path / "data.json"
    path.write_text('{"dataset": []}')
    return str(path)


def test_a_harvest_that_is_done_is_told_and_what_is_measured_still_fails_nothing(
    server: Server, feed: str
) -> None:
    done = CliRunner().invoke(app, ["harvest", feed, "--wait", "0"])
    assert (done.exit_code, done.exception) == (0, None)
    assert "2 created" in done.stdout
    assert (
        "The harvest is done. Still going on: Measuring data files: 3 left. See nutmeg status." in done.stderr
    )


def test_json_is_the_result_and_nothing_else(server: Server, feed: str) -> None:
    done = CliRunner().invoke(app, ["harvest", feed, "--wait", "0", "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"source": "feed", "first_harvest": True, **RESULT}


def test_indexing_comes_before_measuring(server: Server, feed: str) -> None:
    server.pending["catalog.index"] = 1_200
    done = CliRunner().invoke(app, ["harvest", feed, "--wait", "0"])
    assert "Still going on: Indexing datasets: 1,200 left." in done.stderr


def test_who_may_harvest_but_not_look_at_operations_has_harvested_all_the_same(
    server: Server, feed: str
) -> None:
    server.drain = (403, {"title": "You may not do this", "detail": "It takes an operator."})
    done = CliRunner().invoke(app, ["harvest", feed])
    assert (done.exit_code, done.exception) == (0, None)
    assert "2 created" in done.stdout
    assert "cannot be watched: You may not do this" in done.stderr


def test_once_all_is_done_nothing_more_is_said(server: Server, feed: str) -> None:
    server.drain = (200, {"idle": True, "busy": None})
    done = CliRunner().invoke(app, ["harvest", feed])
    assert (done.exit_code, done.stderr) == (0, "")
    assert server.asked.count("/api/v1/ops/drain") == 1
