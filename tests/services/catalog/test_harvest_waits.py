"""A harvest begins when all that the directory told is known: not one record is public for a moment."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from services.catalog.harvesting.commands import harvesting
from shared.events.catalog import DatasetRegistered
from shared.events.envelope import encode, new_event
from shared.events.governance import StewardshipChanged, StewardshipState
from shared.events.registry import STEWARDSHIP_CHANGED
from shared.log.port import LogRecord, OutgoingRecord
from shared.log.sqlite.consumer import SQLiteLogConsumer
from tests.support.catalog_service import RunningCatalog, bearer, dataset, feed_of

HIDDEN = "a-secret"


class Gate:
    """Holds up the consumer that takes the directory in, before its transaction."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._open = asyncio.Event()
        handling = SQLiteLogConsumer.handling

        @asynccontextmanager
        async def handle_later(
            consumer: SQLiteLogConsumer, records: Sequence[LogRecord]
        ) -> AsyncIterator[Sequence[LogRecord]]:
            if any(record.topic == STEWARDSHIP_CHANGED.topic.name for record in records):
                await self._open.wait()
            async with handling(consumer, records) as owned:
                yield owned

        monkeypatch.setattr(SQLiteLogConsumer, "handling", handle_later)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
async def gate(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gate]:
    made = Gate(monkeypatch)
    yield made
    made.open()


async def tell_that_it_is_hidden(running: RunningCatalog) -> None:
    """Put the stewardship on the log, and do not wait until it is known."""
    state = StewardshipState(identifier=HIDDEN, visibility="government")
    event = new_event(
        STEWARDSHIP_CHANGED,
        StewardshipChanged(stewardship=state),
        subject=HIDDEN,
        time=running.clock.now(),
        subjectversion=1,
    )
    headers, value = encode(event)
    await running.log.publish(
        [OutgoingRecord(STEWARDSHIP_CHANGED.topic.name, HIDDEN, event.partitionkey or HIDDEN, headers, value)]
    )


async def order(running: RunningCatalog) -> str:
    """Order a harvest of one record, and return the address of the job."""
    answer = await running.client.post(
        "/api/v1/harvests",
        params={"source": "feed"},
        content=orjson.dumps(feed_of(dataset(HIDDEN))),
        headers=bearer("operator"),
    )
    assert answer.status_code == 202, answer.text
    return f"/api/v1/harvests/{answer.json()['id']}"


async def job_with(running: RunningCatalog, address: str, status: str, words: str = "") -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            job: dict[str, Any] = (await running.get(address, "operator")).json()
            if job["status"] == status and words in (job["message"] or ""):
                return job
            await asyncio.sleep(0.02)


async def registered(running: RunningCatalog) -> list[str]:
    """The visibility of each dataset at the moment it was registered."""
    return [
        event.data.dataset.visibility
        for event in await running.events()
        if isinstance(event.data, DatasetRegistered)
    ]


async def test_a_record_that_was_said_to_be_hidden_is_never_public(
    running: RunningCatalog, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harvesting, "DIRECTORY_LOOKS_MAX", 3)
    await tell_that_it_is_hidden(running)
    address = await order(running)
    waiting = await job_with(running, address, "running", "Changes to come: 1")
    assert (waiting["progress"]["processed"], await registered(running)) == (0, [])
    gate.open()
    done = await job_with(running, address, "completed")
    assert (done["result"]["created"], done["message"]) == (1, None)
    await running.idle()
    assert await registered(running) == ["government"]


async def test_a_harvest_waits_for_nothing_that_is_known(running: RunningCatalog, gate: Gate) -> None:
    gate.open()
    await tell_that_it_is_hidden(running)
    await running.idle()
    await running.harvest(feed_of(dataset(HIDDEN)))
    assert await registered(running) == ["government"]
