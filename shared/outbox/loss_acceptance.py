"""What an operator decides where a log or database has lost something that no backup brings back.

The log's records of a service's own topics count as known from then on, its groups are read again from where
the database stands, and its outbox is sent again where the log lost what that holds. Versions that are told
afterwards are above all that the log has: consumers would take lower ones for repeats.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import structlog

from shared.consuming.log_agreement import look, own_places, present_marks, replace_marks, rewind
from shared.events.envelope import header
from shared.log.port import EventLog
from shared.outbox.relay import OutboxRelay
from shared.store.engine import Store
from shared.store.notes import read_note, remove_note, write_note

__all__ = ["AcceptedLoss", "accept_loss"]

logger = structlog.get_logger(__name__)

RECORDS_PER_READ = 500


@dataclass(frozen=True, slots=True)
class AcceptedLoss:
    """What was given up: events by topic that the database has lost, and words for what the log has lost.

    ``read_again`` names the groups that start anew where the database stands; ``sent_again`` counts events.
    """

    service: str
    at: str
    by: str
    reason: str
    events: Mapping[str, int]
    of_the_log: list[str]
    read_again: list[str]
    sent_again: int


async def accept_loss(store: Store, log: EventLog, *, by: str, reason: str) -> AcceptedLoss | None:
    """Let store and log agree again, and note who decided it; ``None`` where nothing is amiss.

    Nothing else may work on the store. Raises ``TransientError``, and ``LostStateError`` where somebody reads
    for one of its groups.
    """
    found = await look(store, log)
    if found.refusal is None and not found.behind:
        return None
    sent_again = await OutboxRelay(store=store, log=log, clock=store.clock).check_history()
    floor = max(store.version_floor, await _highest_version(store, log))
    topics = sorted({place.topic for place in await own_places(store.service, log)})
    marks = await present_marks(log, topics)
    await rewind(log, found.behind)
    accepted = AcceptedLoss(
        service=store.service,
        at=store.clock.now().isoformat(timespec="seconds"),
        by=by,
        reason=reason,
        events=dict(found.unknown),
        of_the_log=list(found.beyond_outbox),
        read_again=sorted(found.behind),
        sent_again=sent_again,
    )
    async with store.unit_of_work() as work:
        await replace_marks(work, topics, marks)
        await write_note(work, "version_floor", floor)
        earlier: list[Any] = await read_note(work.connection, work.tables, "loss_accepted") or []
        await write_note(work, "loss_accepted", [*earlier, asdict(accepted)])
        await remove_note(work, "refusal")
    store.version_floor = floor
    logger.critical("an operator accepted a loss", **asdict(accepted))
    return accepted


async def _highest_version(store: Store, log: EventLog) -> int:
    highest = 0
    for place, end in (await own_places(store.service, log)).items():
        offset = 0
        while offset < end and (
            records := await log.read(place, from_offset=offset, records_max=RECORDS_PER_READ)
        ):
            for record in records:
                version = header(record.headers, "ce_subjectversion") or ""
                highest = max(highest, int(version) if version.isdecimal() else 0)
            offset = records[-1].offset + 1
    return highest
