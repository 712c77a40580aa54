"""What operators of a cluster see and may do: pages and API of operations, over services run elsewhere."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast
from uuid import uuid4

import httpx
import pytest

from services.catalog.search.commands.indexing import IndexWorker
from services.host.cli.connection import Connection
from services.host.cli.operations import _until_replayed
from services.host.operations.api import build_operations_api
from services.host.operations.cluster import ClusterOperations
from services.host.operations.pages import build_operations_pages
from shared.http.app import build_app
from shared.identity.signing_key import SigningKey
from shared.log.forwarding import ForwardingLog
from shared.log.kafka.groups import GroupProgress
from shared.log.port import OutgoingRecord
from shared.telemetry.metrics import Metrics
from tests.support.host_in_process import RunningHost, run_host
from tests.unit.http.application import OPERATOR, KnownTokens, always_ready

COUNTING = "usage.counting"


class SeenLog(ForwardingLog):
    """The host's log, with groups as Kafka tells them; nobody is in the groups that are ``empty``."""

    empty: frozenset[str] = frozenset({COUNTING})

    async def groups_progress(self, groups: Iterable[str]) -> Mapping[str, GroupProgress]:
        return {
            group: GroupProgress(0 if group in self.empty else 1, await self.committed(group))
            for group in groups
        }


@asynccontextmanager
async def operators_of(running: RunningHost) -> AsyncIterator[httpx.AsyncClient]:
    """A client of operations, with an operator's token, over the stores and the log of a host."""
    log = SeenLog(running.host.log)
    operations = ClusterOperations(
        [runner.service for runner in running.host.runners],
        log=log,
        groups_progress=log.groups_progress,
        clock=running.host.clock,
        metrics=Metrics(),
    )
    app = build_app(
        title="Operations",
        routers=[
            build_operations_api(operations),
            build_operations_pages(operations, cast("IndexWorker", None)),
        ],
        authenticator=KnownTokens(),
        signing_key=SigningKey.generate(),
        metrics=operations.metrics,
        clock=operations.clock,
        installation="Test",
        settings=running.host.app.state.http_settings,
        readiness=always_ready,
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://127.0.0.1:8080",
        headers={"Authorization": "Bearer operator-token"},
    ) as client:
        yield client


async def test_operators_read_status_and_replay_for_the_group_that_failed_alone(tmp_path: Path) -> None:
    async with run_host(tmp_path / "data") as running, operators_of(running) as client:
        await running.host.log.publish([OutgoingRecord("catalog.datasets", "p", "p", [], b"no event")])
        await running.idle()
        status = (await client.get("/api/v1/ops/status")).json()
        letters = (await client.get("/api/v1/ops/dead-letters")).json()["items"]
        assert status["dead_letters"]["open"] == len(letters) > 1
        stopped = [one["group"] for one in status["consumers"] if one["state"] == "stopped"]
        assert stopped == [COUNTING]
        assert f"Consumer {COUNTING} is stopped: nobody is in the group" in status["causes"][0]
        page = (await client.get("/ops", headers={"Accept": "text/html"})).text
        assert COUNTING in page
        assert "Start again" not in page, "this process cannot start what runs in another"
        one = next(each for each in letters if each["group"] == "usage.directory")
        assert (await client.get(f"/ops/dead-letters/{one['id']}")).status_code == 200
        order = {"ids": [one["id"]]}
        asked = (await client.post("/api/v1/ops/dead-letters/replay", json=order)).json()["requested"]
        replayed = await _until_replayed(Connection(client), set(asked))
        assert [(each["group"], each["state"]) for each in replayed] == [("usage.directory", "failed")]
        letters = (await client.get("/api/v1/ops/dead-letters")).json()["items"]
        assert {each["state"] for each in letters if each["group"] != "usage.directory"} == {"open"}


async def test_operators_discard_with_a_reason_that_stays_with_the_letter(tmp_path: Path) -> None:
    async with run_host(tmp_path / "data") as running, operators_of(running) as client:
        await running.host.log.publish([OutgoingRecord("catalog.datasets", "p", "p", [], b"no event")])
        await running.idle()
        where = "/api/v1/ops/dead-letters"
        letters = (await client.get(where)).json()["items"]
        first, *others = [one["id"] for one in letters]
        no_reason = await client.post(f"{where}/discard", json={"ids": [first], "reason": "  "})
        assert no_reason.status_code == 422
        assert no_reason.json()["errors"][0]["pointer"] == "#/reason"
        unknown = await client.post(f"{where}/discard", json={"ids": [str(uuid4())], "reason": "Bad."})
        assert unknown.status_code == 404
        page = await client.post(
            f"/ops/dead-letters/{first}/discard", data={"reason": " "}, headers={"Accept": "text/html"}
        )
        assert page.status_code == 422
        assert 'id="reason-error"' in page.text
        done = await client.post(f"/ops/dead-letters/{first}/discard", data={"reason": "No event at all."})
        assert done.status_code == 303
        shown = (await client.get(f"{where}/{first}")).json()
        assert (shown["state"], shown["outcome"]) == ("discarded", "Discarded: No event at all.")
        (act,) = shown["history"]
        assert (act["act"], act["reason"]) == ("discard", "No event at all.")
        assert act["person_id"] == str(OPERATOR.person_id)
        rest = {"topic": "catalog.datasets", "reason": "The same."}
        assert set((await client.post(f"{where}/discard", json=rest)).json()["discarded"]) == set(others)
        counts = (await client.get("/api/v1/ops/status")).json()["dead_letters"]
        assert (counts["open"], counts["discarded"]) == (0, len(letters))


@pytest.mark.parametrize(("group", "status"), [(COUNTING, 409), ("usage.nothing", 404)])
async def test_a_consumer_is_started_again_by_its_own_worker(tmp_path: Path, group: str, status: int) -> None:
    async with run_host(tmp_path / "data") as running, operators_of(running) as client:
        answer = await client.post(f"/api/v1/ops/consumers/{group}/restart")
        assert answer.status_code == status
        assert group in answer.json()["detail"]
