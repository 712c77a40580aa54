"""A process that emits hits and states and consumes them, for tests that kill it.

``python -m tests.support.ledger_process DIRECTORY`` emits until it is killed. With a number as second
argument it emits that many transactions more, waits until all is idle, and ends.

What was emitted stands in the outbox of the same store, written in the transaction that emitted it: a
killed process leaves no doubt about what should have arrived.
"""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from sqlalchemy import func, select

from shared.clock import SystemClock
from shared.consuming.waiting_events import wake_waiting
from shared.errors import NotReadyError
from shared.events.envelope import Event
from shared.log.sqlite.event_log import SQLiteEventLog
from shared.process.service_runner import ServiceRunner, wait_until_idle
from tests.support.ledger_service import Ledger, Ports, ledger_store

__all__ = ["HITS_PER_TRANSACTION", "POISON_EVERY", "is_late", "is_poison", "main", "refuse_poison"]

HITS_PER_TRANSACTION = 20
POISON_EVERY = 100
LATE = 13
THE_LAST_RUN = "the last run"
READY = "ready"


def is_poison(number: int) -> bool:
    """Every hundredth hit cannot be handled."""
    return number % POISON_EVERY == 7


def is_late(number: int) -> bool:
    """Every hundredth hit waits for data that the last run brings."""
    return number % POISON_EVERY == LATE


def wait_for_the_last_run(event: Event, may_wait: bool) -> NotReadyError | None:
    """Say of every hundredth hit that its data is not here."""
    if event.subject.isdigit() and is_late(int(event.subject)):
        return NotReadyError(THE_LAST_RUN, patience=timedelta(hours=1))
    return None


def refuse_poison(event: Event) -> None:
    """Raise for every hundredth hit."""
    if (
        event.type.startswith("nutmeg.usage.hit.")
        and event.subject.isdigit()
        and is_poison(int(event.subject))
    ):
        raise ValueError("a poison record")


async def _emit(ledger: Ledger, first: int) -> None:
    async with ledger.store.unit_of_work() as unit_of_work:
        for number in range(first, first + HITS_PER_TRANSACTION):
            ledger.emit_hit(unit_of_work, f"hit {number}", f"{number:08}")
    version = first // HITS_PER_TRANSACTION + 1
    await ledger.emit_state(f"state {version % 7}", version, version)


async def _emitted(ledger: Ledger) -> int:
    outbox = ledger.store.tables.outbox
    async with ledger.store.read() as connection:
        statement = select(func.count()).where(outbox.c.topic == "usage.hits")
        return int((await connection.execute(statement)).scalar_one())


async def main(directory: Path, transactions: int | None) -> None:
    """Run until killed, or until ``transactions`` more are emitted and everything is consumed."""
    clock = SystemClock()
    ledger = Ledger(ledger_store(directory / "ledger.sqlite3", clock), Ports(refuse_poison))
    log = SQLiteEventLog(directory / "log", clock=clock)
    await log.open()
    runner = ServiceRunner(ledger.service, log=log, clock=clock)
    if transactions is None:
        ledger.ports.missing = wait_for_the_last_run
    await runner.start()
    if transactions is not None:
        async with ledger.store.unit_of_work() as unit_of_work:
            await wake_waiting(unit_of_work, {THE_LAST_RUN})
    first = await _emitted(ledger)
    print(READY, first, flush=True)
    left = transactions
    while left is None or left > 0:
        await _emit(ledger, first)
        first += HITS_PER_TRANSACTION
        left = None if left is None else left - 1
        await asyncio.sleep(0.002)
    await wait_until_idle([runner], timeout_seconds=120)
    await runner.stop()
    await log.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
