"""The loop that feeds one consumer group: the offset moves last, and nothing is passed over in silence.

poll → decode → one transaction for the whole batch → commit the offsets. A batch that fails is halved until
the failing record stands alone; the halves keep their order, so each key keeps its own. What a handler
raises decides (design, section 3.4):

* ``TransientError``: nothing is wrong with the record. Seek back to it, stop delivering, keep polling so
  that the group is kept, and try again for ever, at growing intervals.
* ``NotReadyError``: the record is set aside and the others go on (:mod:`shared.consuming.waiting_events`).
* ``InvalidEventError``: a dead letter at once.
* anything else: a few more tries, then a dead letter.

The dead letter is durable before its record's offset moves. If it cannot be written, the loop stops and says
so, and looks from time to time whether it now can; its offset stays at the record meanwhile. If there are too
many (:mod:`shared.consuming.budget`), the loop ends, and an operator decides.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import structlog

from shared.clock import Clock
from shared.consuming.applying import Applier, Item, require_event
from shared.consuming.budget import DeadLetterBudget
from shared.consuming.consumer_state import ConsumerState, LoopState
from shared.consuming.dead_letter_writing import DeadLetterWriter
from shared.consuming.handling import Outcome, Subscription
from shared.consuming.lag_reporting import LagReporter
from shared.consuming.loop_settings import LoopSettings, LoopStatus
from shared.consuming.replays import REQUESTS_PER_TURN_MAX, ReplayQueue, ReplayRequest
from shared.consuming.waiting_events import FIRST_WAIT, RECORDS_PER_TURN_MAX, WaitingSummary
from shared.errors import (
    DeadLetterUnwritableError,
    InvalidEventError,
    NotReadyError,
    TransientError,
    WaitExpiredError,
)
from shared.log.measuring import DeliveryMetrics, NullDeliveryMetrics
from shared.log.port import EventLog, Lag, LogConsumer, LogRecord, TopicPartition
from shared.store.engine import Store

__all__ = ["ConsumerLoop", "LoopSettings", "LoopStatus"]

logger = structlog.get_logger(__name__)


class ConsumerLoop:
    """Runs one subscription of a service until told to stop."""

    def __init__(
        self,
        *,
        log: EventLog,
        subscription: Subscription,
        store: Store,
        clock: Clock,
        metrics: DeliveryMetrics | None = None,
        budget: DeadLetterBudget | None = None,
        settings: LoopSettings | None = None,
    ) -> None:
        self.group = subscription.group.name
        self._log = log
        self._subscription = subscription
        self._clock = clock
        self._metrics: DeliveryMetrics = metrics or NullDeliveryMetrics()
        self._budget = budget or DeadLetterBudget()
        self._settings = settings or LoopSettings()
        self._applier = Applier(subscription, store=store, clock=clock, metrics=self._metrics)
        self._letters = DeadLetterWriter(
            self.group,
            log=log,
            clock=clock,
            metrics=self._metrics,
            retry_seconds=self._settings.retry_seconds,
        )
        self._replays = ReplayQueue(store, log)
        self._consumer: LogConsumer | None = None
        self._stop = asyncio.Event()
        self._standing = ConsumerState(self.group, self._metrics)
        self._handled_count = 0
        self._failures_in_a_row = 0
        self._uncommitted: dict[TopicPartition, int] = {}
        self._epoch = ""
        self._noted: dict[TopicPartition, int] = {}
        """How far the store knows that this group got; see :mod:`shared.consuming.handled_offsets`."""
        self._unwritten: set[tuple[TopicPartition, int]] = set()
        """Records whose dead letters are within the budget, and not written yet."""
        self._is_asked_to_look = False
        self._next_lag_report = 0.0
        self._lag_reporter = LagReporter(self.group, self.lag, metrics=self._metrics, clock=clock)
        self._next_replay_look = 0.0
        self._next_waiting_look = 0.0
        self._next_poll = 0.0
        self._woken = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set; a batch that was begun is finished.

        Raises ``DeadLetterBudgetError`` when it must not go on, and ``LogBusyError`` if the group has its
        only member already.
        """
        self._stop = stop
        try:
            async with self._joined() as consumer:
                self._standing.enter(LoopState.RUNNING)
                while not stop.is_set():
                    await self._turn(consumer)
        except asyncio.CancelledError:
            self._standing.enter(LoopState.STOPPED)
            raise
        except Exception as error:
            self._standing.enter(LoopState.STOPPED, str(error) or type(error).__qualname__)
            raise
        self._standing.enter(LoopState.STOPPED)

    def look_again(self) -> None:
        """Try now what the loop stopped at. Does nothing where it has not stopped, or has ended."""
        if self._consumer is not None and self._standing.state is LoopState.STOPPED:
            self._is_asked_to_look = True
            self._standing.enter(LoopState.STARTING, self._standing.cause)

    def wake_for_replays(self) -> None:
        """Look for replay requests after the present poll."""
        self._next_replay_look = 0.0

    def wake_for_waiting(self) -> None:
        """Try now the waiting records that are due."""
        self._next_waiting_look = 0.0
        self._woken.set()

    async def waiting(self) -> WaitingSummary:
        """Return how many records wait for data, and since when."""
        return await self._applier.waiting.summary()

    async def drained(self) -> bool:
        """Tell whether everything published so far is handled and committed, replays included.

        A record that waits counts only while what it waits for may be under way.
        """
        if self._consumer is None or self._standing.state is not LoopState.RUNNING:
            return False
        lags = await self._consumer.lag()
        if any(lag.records for lag in lags.values()) or await self._replays.any_waiting(self.group):
            return False
        return not await self._applier.waiting.any_pending(self._clock.now())

    async def lag(self) -> dict[TopicPartition, Lag]:
        """Return the lag of each partition; empty while the loop is not in its group."""
        return dict(await self._consumer.lag()) if self._consumer is not None else {}

    def status(self) -> LoopStatus:
        """Return what the loop is doing."""
        return LoopStatus(self.group, self._standing.state, self._standing.cause, self._handled_count)

    @asynccontextmanager
    async def _joined(self) -> AsyncIterator[LogConsumer]:
        group = self._subscription.group
        consumer = await self._log.consumer(group.name, group.topics, start=self._subscription.start)
        self._consumer = consumer
        try:
            self._epoch = (await self._log.epochs())[0]
            yield consumer
        finally:
            self._consumer = None
            self._lag_reporter.clear()
            await consumer.close()

    async def _turn(self, consumer: LogConsumer) -> None:
        """One round: replays if due, a poll, the batch, the lag if due. Waits out what is passing."""
        records: list[LogRecord] = []
        items: list[Item] = []
        try:
            await self._commit(consumer)
            await self._take_up_replays(consumer)
            await self._take_up_waiting(consumer)
            await self._gather()
            records = await self._poll(consumer, self._settings.poll_timeout_seconds)
            if records:
                self._pace(len(records))
                async with consumer.handling(records) as owned:
                    now = self._clock.now()
                    items = [self._applier.decoded(record, now) for record in owned]
                    await self._work_through(consumer, items)
            await self._report_lag()
            await self._go_on(consumer)
        except TransientError as error:
            await self._wait_out(consumer, records, items, error)
        except DeadLetterUnwritableError as error:
            await self._stand_still(consumer, records, items, error)
        else:
            self._failures_in_a_row = 0

    def _pace(self, records: int) -> None:
        """Let what comes right after a few records wait for its neighbours; the first never waits.

        A transaction costs much the same for one record as for ten. With each record in its own, one process
        that runs every service was busy at 50 events a second, and all of them came late.
        """
        if records <= self._settings.few_records:
            self._next_poll = self._clock.monotonic_seconds() + self._settings.gather_seconds

    async def _gather(self) -> None:
        """Wait until the next poll is due, or the loop is to stop."""
        left = self._next_poll - self._clock.monotonic_seconds()
        if left > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), min(left, self._settings.gather_seconds))

    async def _poll(self, consumer: LogConsumer, timeout_seconds: float) -> list[LogRecord]:
        """Poll, but return at once when the loop is to stop or a waiting record is due."""
        polling = asyncio.ensure_future(
            consumer.poll(records_max=self._settings.records_max, timeout_seconds=timeout_seconds)
        )
        stopping = asyncio.ensure_future(self._stop.wait())
        waking = asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait({polling, stopping, waking}, return_when=asyncio.FIRST_COMPLETED)
            return polling.result() if polling.done() else []
        finally:
            for task in (polling, stopping, waking):
                task.cancel()
            await asyncio.gather(polling, stopping, waking, return_exceptions=True)

    async def _work_through(self, consumer: LogConsumer, items: Sequence[Item]) -> None:
        """Finish ``items`` and commit as far as every record before is finished, also when it ends early."""
        try:
            await self._finish(items)
        except BaseException:
            self._uncommitted.update(_next_offsets(items))
            # Should the log be away too, then these records come again and are known; the cause matters more.
            with contextlib.suppress(TransientError):
                await self._commit(consumer)
            raise
        self._uncommitted.update(_next_offsets(items))
        await self._commit(consumer)

    async def _commit(self, consumer: LogConsumer) -> None:
        """Move the offsets. What could not be written is kept for the next turn."""
        if self._uncommitted:
            # The store first: one that stands before the log's offset has lost something, and only then.
            unsaid = {
                place: offset
                for place, offset in self._uncommitted.items()
                if self._noted.get(place, -1) < offset
            }
            if unsaid:
                await self._applier.note_handled(self._epoch, unsaid)
                self._noted.update(unsaid)
            await consumer.commit(self._uncommitted)
            self._uncommitted = {}

    async def _finish(self, items: Sequence[Item]) -> None:
        wanted = [item for item in items if item.event is not None and item.error is None]
        if wanted:
            try:
                offsets = _offsets_after(items)
                await self._applier.apply(wanted, epoch=self._epoch, next_offsets=offsets)
                self._noted.update(offsets)
            except TransientError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a handler raises is decided upon here
                if len(items) > 1:
                    middle = len(items) // 2
                    await self._finish(items[:middle])
                    await self._finish(items[middle:])
                    return
                await self._retry(items[0], error)
        await self._settle(items)

    async def _settle(self, items: Sequence[Item]) -> None:
        """Write the dead letters, in order, and count what was handled towards the budget."""
        handled = 0
        for item in items:
            if item.error is not None:
                self._budget.handled(handled, self._clock.monotonic_seconds())
                handled = 0
                await self._dead_letter(item, item.error)
            elif item.outcome is Outcome.UNKNOWN_TYPE:
                self._applier.count(item.record.topic, Outcome.UNKNOWN_TYPE)
            else:
                handled += 1
            if item.outcome is Outcome.WAITING:
                due = self._clock.monotonic_seconds() + FIRST_WAIT.total_seconds()
                self._next_waiting_look = min(self._next_waiting_look, due)
        self._budget.handled(handled, self._clock.monotonic_seconds())
        self._handled_count += len(items)

    async def _retry(self, item: Item, error: Exception) -> None:
        """Try one record again, in its place. Leaves it applied, or with its error set."""
        tries = 1
        wait_seconds = self._settings.retry_seconds
        while not isinstance(error, InvalidEventError | WaitExpiredError):
            answer = error if isinstance(error, NotReadyError) else None
            if answer is None:
                if tries > self._settings.retries_max:
                    break
                await asyncio.sleep(wait_seconds)
                wait_seconds *= 2
                tries += 1
            try:
                await self._applier.apply([item], answer=answer)
            except TransientError:
                raise
            except Exception as again:  # noqa: BLE001 - as above
                error = again
            else:
                return
        item.attempts += tries
        item.error = error

    async def _dead_letter(self, item: Item, error: Exception) -> None:
        place = (item.record.topic_partition, item.record.offset)
        if place not in self._unwritten:
            # What did not come in time is no fault of what handles it, which is what the budget is for.
            if not isinstance(error, WaitExpiredError):
                self._budget.spend(self.group, self._clock.monotonic_seconds())
            self._unwritten.add(place)
        await self._letters.write(item, error)
        self._unwritten.discard(place)
        await self._applier.give_up([item])
        self._applier.count(item.record.topic, Outcome.DEAD_LETTERED)

    async def _wait_out(
        self,
        consumer: LogConsumer,
        records: Sequence[LogRecord],
        items: Sequence[Item],
        error: TransientError,
    ) -> None:
        """Go back to what is unfinished and wait, polling, until it may work again."""
        seconds = min(
            self._settings.pause_seconds_max, self._settings.pause_seconds_min * 2**self._failures_in_a_row
        )
        # Half is fixed, half is chance, so that replicas do not come back all at once.
        seconds *= 0.5 + random.random() / 2  # noqa: S311 - spreads load, guards nothing
        self._failures_in_a_row = min(self._failures_in_a_row + 1, 16)
        self._standing.enter(LoopState.PAUSED, str(error))
        await self._hold(consumer, _unfinished(records, items), seconds)
        if not self._unwritten:
            self._standing.enter(LoopState.RUNNING)

    async def _stand_still(
        self,
        consumer: LogConsumer,
        records: Sequence[LogRecord],
        items: Sequence[Item],
        error: DeadLetterUnwritableError,
    ) -> None:
        """Stop, in words that stay until it works, and keep the group until it is time to look again.

        To leave the group would hand the same record to the next replica, which would stop at it too.
        """
        self._standing.enter(LoopState.STOPPED, str(error))
        await self._hold(consumer, _unfinished(records, items), self._settings.unwritable_seconds)

    async def _go_on(self, consumer: LogConsumer) -> None:
        """Tell that the loop runs, once no record of its partitions waits for its dead letter."""
        if self._unwritten:
            owned = await consumer.lag()
            self._unwritten = {(place, offset) for place, offset in self._unwritten if place in owned}
        if not self._unwritten:
            self._standing.enter(LoopState.RUNNING)

    async def _hold(self, consumer: LogConsumer, records: Sequence[LogRecord], seconds: float) -> None:
        """Take nothing for so long, or until asked to look; poll, so that the group is kept."""
        held = _go_back(consumer, records)
        self._is_asked_to_look = False
        until = self._clock.monotonic_seconds() + seconds
        while (
            not (self._stop.is_set() or self._is_asked_to_look)
            and (left := until - self._clock.monotonic_seconds()) > 0
        ):
            self._woken.clear()
            started = self._clock.monotonic_seconds()
            timeout_seconds = min(left, self._settings.poll_timeout_seconds)
            with contextlib.suppress(TransientError):
                held |= _go_back(consumer, await self._poll(consumer, timeout_seconds))
            with contextlib.suppress(TransientError):
                await self._report_lag()
            if self._clock.monotonic_seconds() - started < timeout_seconds / 2:
                # The poll failed or brought something: neither may turn this into a busy loop.
                await asyncio.sleep(min(left, self._settings.pause_seconds_min))
        consumer.resume(*held)

    async def _take_up_replays(self, consumer: LogConsumer) -> None:
        now = self._clock.monotonic_seconds()
        if now < self._next_replay_look:
            return
        self._next_replay_look = now + self._settings.replay_interval_seconds
        requests = await self._replays.waiting(self.group)
        if len(requests) == REQUESTS_PER_TURN_MAX:
            self._next_replay_look = 0.0
        for request in requests:
            if self._stop.is_set():
                return
            await self._replay(consumer, request)

    async def _take_up_waiting(self, consumer: LogConsumer) -> None:
        """Try the waiting records that are due, and hand on those that may wait no longer."""
        now = self._clock.monotonic_seconds()
        if now < self._next_waiting_look:
            return
        self._woken.clear()
        self._next_waiting_look = now + self._settings.waiting_interval_seconds
        due = await self._applier.waiting.due(self._clock.now())
        if due:
            # Under Kafka, the member that owns a record's partition tries it, so that order is kept.
            async with consumer.handling([one.record for one in due]) as owned:
                places = {record.topic_partition for record in owned}
                mine = [one for one in due if one.record.topic_partition in places]
                items = [self._applier.decoded_again(one, self._clock.now()) for one in mine]
                await self._applier.give_up([item for item in items if item.outcome is not None])
                await self._finish([item for item in items if not item.is_last_try])
                for item in items:
                    if item.is_last_try and not self._stop.is_set():
                        await self._finish([item])
            if mine and len(due) == RECORDS_PER_TURN_MAX:
                self._next_waiting_look = 0.0
                return
        if (next_try_at := await self._applier.waiting.next_try_at()) is not None:
            seconds = (next_try_at - self._clock.now()).total_seconds()
            look = now + max(seconds, self._settings.waiting_seconds_min)
            self._next_waiting_look = min(self._next_waiting_look, look)

    async def _replay(self, consumer: LogConsumer, request: ReplayRequest) -> None:
        try:
            letter = await self._replays.letter(request)
            # Under Kafka, the member that owns the source partition takes it up, so that order is kept.
            async with consumer.handling([letter.source]) as owned:
                for record in owned:
                    item = self._applier.decoded(record, self._clock.now())
                    require_event(item)
                    settle = partial(self._replays.settle, request)
                    try:
                        await self._applier.apply([item], settle)
                    except NotReadyError as answer:
                        await self._applier.apply([item], settle, answer)
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is the answer to the operator
            await self._replays.fail(request, error)
            logger.warning("replay failed again", group=self.group, dead_letter=request.dead_letter_id)

    async def _report_lag(self) -> None:
        now = self._clock.monotonic_seconds()
        if now < self._next_lag_report:
            return
        self._next_lag_report = now + self._settings.lag_interval_seconds
        await self._lag_reporter.report()
        waiting = await self.waiting()
        age_seconds = waiting.oldest_age_seconds(self._clock.now())
        self._metrics.waiting(self.group, waiting.records, age_seconds)


def _next_offsets(items: Sequence[Item]) -> dict[TopicPartition, int]:
    """Return per partition the first unfinished record's offset, or the one after the last."""
    offsets: dict[TopicPartition, int] = {}
    blocked: set[TopicPartition] = set()
    for item in items:
        place = item.record.topic_partition
        if place in blocked:
            continue
        if item.outcome is None:
            blocked.add(place)
        else:
            offsets[place] = item.record.offset + 1
    return offsets


def _offsets_after(items: Sequence[Item]) -> dict[TopicPartition, int]:
    """Return per partition the offset after the last of ``items``, which stand in order.

    Records that were set aside are behind it already.
    """
    return {item.record.topic_partition: item.record.offset + 1 for item in items if item.waiting is None}


def _unfinished(records: Sequence[LogRecord], items: Sequence[Item]) -> list[LogRecord]:
    finished = {id(item.record) for item in items if item.outcome is not None}
    return [record for record in records if id(record) not in finished]


def _go_back(consumer: LogConsumer, records: Sequence[LogRecord]) -> set[TopicPartition]:
    """Stop delivering from the partitions of ``records``, and read them again afterwards."""
    first: dict[TopicPartition, int] = {}
    for record in records:
        first.setdefault(record.topic_partition, record.offset)
    for place, offset in first.items():
        consumer.pause(place)
        consumer.seek(place, offset)
    return set(first)
