"""Store and log compare their marks on every database: a lost or old one is refused until it is accepted."""

from pathlib import Path

import orjson
import pytest

from services.usage.bootstrap import bootstrap
from services.usage.settings import UsageSettings
from shared.clock import SimulatedClock
from shared.consuming.handled_offsets import note_handled
from shared.consuming.log_agreement import agree, look, take_for_known
from shared.errors import LostStateError
from shared.events.contracts import EXAMPLES
from shared.events.registry import ROLLUP_UPDATED
from shared.events.topics import TOPICS
from shared.log.port import OutgoingRecord, TopicPartition
from shared.log.sqlite.event_log import SQLiteEventLog
from shared.outbox.loss_acceptance import accept_loss
from shared.store.health import store_health
from shared.store.notes import read_note
from shared.telemetry.metrics import Metrics
from tests.support.databases import Databases

GROUP = "usage.directory"
PLACE = TopicPartition("catalog.datasets", 0)
VERSION = 41


def record(topic: str, number: int) -> OutgoingRecord:
    headers = [("ce_id", str(number).encode()), ("ce_subjectversion", str(VERSION).encode())]
    return OutgoingRecord(topic, str(number), str(number), headers, b"{}")


def rollup(number: int, *, value: bytes | None = None) -> OutgoingRecord:
    """A count as usage tells it, or with another ``value`` what nobody can read as one."""
    example = orjson.loads((EXAMPLES / f"{ROLLUP_UPDATED.name}.json").read_bytes())
    data = orjson.dumps(example.pop("data")) if value is None else value
    told = example | {"id": str(number), "subjectversion": VERSION}
    headers = [(f"ce_{name}", str(text).encode()) for name, text in told.items()]
    return OutgoingRecord(ROLLUP_UPDATED.topic.name, str(number), str(number), headers, data)


async def test_a_lost_or_old_database_is_refused_and_tells_it_until_the_loss_is_accepted(
    databases: Databases, tmp_path: Path, clock: SimulatedClock
) -> None:
    url = await databases.url("usage")
    store = bootstrap(UsageSettings(), database_url=url, clock=clock, metrics=Metrics()).service.store
    log = SQLiteEventLog(tmp_path / "log", clock=clock)
    await log.open()
    await store.open()
    try:
        await log.ensure_topics(list(TOPICS.values()))
        assert (await agree(store, log)).refusal is None
        # Somebody's rubbish on a topic of ours is no sign of another database.
        await log.publish([record("usage.rollups", 0), rollup(1, value=b'{"rollup": {}}')])
        assert (await agree(store, log)).refusal is None
        # What another database of the same service once told and heard.
        await log.publish([rollup(number) for number in range(3)])
        ((_, last),) = await log.publish([record(PLACE.topic, 9)])
        consumer = await log.consumer(GROUP, ["catalog.datasets", "directory.people"])
        await consumer.commit({PLACE: last + 1})
        await consumer.close()
        with pytest.raises(LostStateError, match=r"3 events of usage\.rollups.*nutmeg accept-loss usage"):
            await agree(store, log)
        (cause,) = (await store_health(store)).causes
        assert "the database of usage is missing or older" in cause

        accepted = await accept_loss(store, log, by="somebody", reason="There is no backup.")
        assert accepted is not None
        assert (accepted.events, accepted.read_again) == ({"usage.rollups": 3}, [GROUP])
        assert (await log.committed(GROUP))[PLACE] == 0
        assert store.version_floor == VERSION
        assert (await agree(store, log)).refusal is None
        assert (await store_health(store)).causes == []
        assert await accept_loss(store, log, by="somebody", reason="Again.") is None
        async with store.read() as connection:
            (noted,) = await read_note(connection, store.tables, "loss_accepted")
        assert (noted["by"], noted["reason"]) == ("somebody", "There is no backup.")
    finally:
        await store.close()
        await log.close()


async def test_a_database_that_only_heard_less_is_read_to_again_or_waits_for_its_workers_to_stop(
    databases: Databases, tmp_path: Path, clock: SimulatedClock
) -> None:
    url = await databases.url("usage")
    store = bootstrap(UsageSettings(), database_url=url, clock=clock, metrics=Metrics()).service.store
    log = SQLiteEventLog(tmp_path / "log", clock=clock)
    await log.open()
    await store.open()
    try:
        await log.ensure_topics(list(TOPICS.values()))
        await log.publish([record(PLACE.topic, number) for number in range(4)])
        await take_for_known(store, log)
        async with store.unit_of_work() as work:
            await note_handled(work, GROUP, (await log.epochs())[0], {PLACE: 2})
            # A replica that is late does not take back what another one wrote.
            await note_handled(work, GROUP, (await log.epochs())[0], {PLACE: 1})
        consumer = await log.consumer(GROUP, ["catalog.datasets", "directory.people"])
        await consumer.commit({PLACE: 4})
        await consumer.close()
        assert (await look(store, log)).behind == {GROUP: {PLACE: 2}}
        if store.is_shared:
            with pytest.raises(LostStateError, match="stop its workers"):
                await agree(store, log)
            assert await accept_loss(store, log, by="somebody", reason="They are stopped.") is not None
        else:
            await agree(store, log)
        assert (await log.committed(GROUP))[PLACE] == 2
        assert (await agree(store, log)).behind == {}
    finally:
        await store.close()
        await log.close()
