"""A worker of the ledger on Kafka, for tests that kill it.

``python -m tests.support.kafka_ledger_process STORE ADDRESS PREFIX REPLICA`` counts hits until SIGTERM. It
prints ``ready`` once it has joined its group, ``slow`` when it begins a batch that takes long, and ``ended``
with the reason if its loop ends by itself.
"""

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.clock import SystemClock
from shared.consuming.consumer_loop import ConsumerLoop
from shared.consuming.consumer_state import LoopState
from shared.consuming.handling import Answer, BoundHandler, Subscription
from shared.errors import NutmegError
from shared.events.envelope import Event
from shared.events.registry import HIT_RECORDED
from shared.log.kafka.event_log import KafkaEventLog
from shared.store.unit_of_work import UnitOfWork
from tests.support.kafka_bench import BRISK, kafka_settings
from tests.support.ledger_process import refuse_poison
from tests.support.ledger_service import COUNTING, Ledger, Ports, ledger_store
from tests.support.log_bench import until

__all__ = ["READY", "SLOW", "SLOW_SECONDS", "main"]

READY = "ready"
SLOW = "slow"
SLOW_SECONDS = 30.0


def _slowly(handler: BoundHandler) -> BoundHandler:
    """Handle a batch with the event ``slow`` in it as one whose work takes long."""

    async def handle(batch: Sequence[Event], unit_of_work: UnitOfWork) -> Sequence[Answer] | None:
        if any(event.subject == SLOW for event in batch):
            print(SLOW, flush=True)
            await asyncio.sleep(SLOW_SECONDS)
        return await handler(batch, unit_of_work)

    return handle


async def main(store: Path, address: str, prefix: str, replica: str) -> int:
    """Work until told to stop; return 1 if the loop ended by itself."""
    clock = SystemClock()
    ledger = Ledger(ledger_store(store, clock), Ports(refuse_poison))
    await ledger.store.open()
    log = KafkaEventLog(kafka_settings(address, prefix=prefix, replica=replica), clock=clock)
    handlers = dict(ledger.subscription.handlers)
    handlers[HIT_RECORDED.name] = _slowly(handlers[HIT_RECORDED.name])
    loop = ConsumerLoop(
        log=log,
        subscription=Subscription(COUNTING, handlers),
        store=ledger.store,
        clock=clock,
        settings=BRISK,
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    running = asyncio.create_task(loop.run(stop))
    await until(lambda: loop.status().state is LoopState.RUNNING, unless=running, seconds=60)
    print(READY, flush=True)
    try:
        await running
    except NutmegError as error:
        print("ended", type(error).__qualname__, error, flush=True)
    await log.close()
    await ledger.store.close()
    return 0 if stop.is_set() else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:5])))
