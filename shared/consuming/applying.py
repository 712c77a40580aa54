"""One transaction of a consumer: freshness, handlers and their rows, committed together or not at all."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime

from shared.clock import Clock
from shared.consuming.deduplication import IncomingEvent, check_version, find_duplicates, record_processed
from shared.consuming.handled_offsets import note_handled
from shared.consuming.handling import Answer, BoundHandler, Outcome, Subscription
from shared.consuming.replays import settle_waited
from shared.consuming.setting_aside import Handled, Settlement, settle, stands_behind
from shared.consuming.waiting_events import Place, WaitingRecord, WaitingRecords
from shared.errors import InvalidEventError, NotReadyError
from shared.events.envelope import Event, UnknownEventTypeError, decode, header
from shared.events.registry import UPCASTERS
from shared.events.topics import Topic, topic_named
from shared.log.measuring import DeliveryMetrics
from shared.log.port import LogRecord, TopicPartition
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork
from shared.telemetry.tracing import use_traceparent

__all__ = ["Applier", "Item", "require_event"]

Finish = Callable[[UnitOfWork, Outcome], Awaitable[None]]


@dataclass(slots=True)
class Item:
    """A record on its way through the loop. Finished once it has an outcome."""

    record: LogRecord
    first_at: datetime
    event: Event | None = None
    error: Exception | None = None
    outcome: Outcome | None = None
    attempts: int = 0
    waiting: WaitingRecord | None = None
    """Its row, where it was set aside before and is tried again."""
    is_last_try: bool = False
    """It has waited as long as it may. Such an item is applied alone."""


class Applier:
    """Decodes the records of one group and applies them."""

    def __init__(
        self, subscription: Subscription, *, store: Store, clock: Clock, metrics: DeliveryMetrics
    ) -> None:
        self._group = subscription.group.name
        self.waiting = WaitingRecords(store, subscription.group.name)
        self._handlers: Mapping[str, BoundHandler] = subscription.handlers
        self._topics: dict[str, Topic] = {name: topic_named(name) for name in subscription.group.topics}
        self._types = set(self._handlers) | {
            old for old, (new, _) in UPCASTERS.items() if _newest(new) in self._handlers
        }
        self._store = store
        self._clock = clock
        self._metrics = metrics

    def decoded(self, record: LogRecord, now: datetime) -> Item:
        """Read a record. What no handler wants is finished at once; what is no event has its error set."""
        item = Item(record, now)
        type_name = header(record.headers, "ce_type")
        if type_name and type_name not in self._types:
            item.outcome = Outcome.UNKNOWN_TYPE
            return item
        try:
            item.event = decode(record.headers, record.value)
            check_version(self._topics[record.topic], item.event)
        except UnknownEventTypeError:
            item.outcome = Outcome.UNKNOWN_TYPE
        except Exception as error:  # noqa: BLE001 - an upcaster may raise anything; that is this record's fault
            item.error = error
        return item

    def decoded_again(self, waiting: WaitingRecord, now: datetime) -> Item:
        """Read a record that was set aside."""
        item = self.decoded(waiting.record, waiting.first_at)
        item.waiting, item.attempts = waiting, waiting.attempts
        item.is_last_try = waiting.has_expired(now)
        return item

    async def note_handled(self, epoch: str, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Write how far the group got where no handler did it. Raises ``TransientError``."""
        async with self._store.unit_of_work() as unit_of_work:
            await note_handled(unit_of_work, self._group, epoch, next_offsets)

    async def apply(
        self,
        items: Sequence[Item],
        finish: Finish | None = None,
        answer: NotReadyError | None = None,
        *,
        epoch: str = "",
        next_offsets: Mapping[TopicPartition, int] | None = None,
    ) -> None:
        """Handle ``items`` in one transaction and give each its outcome after the commit.

        ``next_offsets`` of a log's ``epoch`` are written beside what the handlers write.
        ``finish`` is called inside the transaction with the outcome of a single item. ``answer`` is what the
        handler raised for a single item before: that is not handled, but set aside. Whatever a handler
        raises leaves no trace in the store and none in ``items``.
        """
        started = self._clock.monotonic_seconds()
        arrivals: list[IncomingEvent] = [
            (self._topics[item.record.topic], item.event) for item in items if item.event is not None
        ]
        async with self._store.unit_of_work() as unit_of_work:
            unit_of_work.may_wait = not any(item.is_last_try for item in items)
            before = await self.waiting.of_keys(unit_of_work, arrivals)
            answers: list[Answer | None] = list(await find_duplicates(arrivals, unit_of_work, self._group))
            for place, (item, arrival) in enumerate(zip(items, arrivals, strict=True)):
                if answers[place] is None and item.waiting is None:
                    answers[place] = answer or stands_behind(item.record, self._group, arrival, before)
                elif answers[place] is None:
                    answers[place] = answer
            settlement = await self._settled(unit_of_work, items, arrivals, answers, before)
            if next_offsets:
                await note_handled(unit_of_work, self._group, epoch, next_offsets)
            if finish is not None:
                await finish(unit_of_work, settlement.outcomes[0])
        for item, outcome in zip(items, settlement.outcomes, strict=True):
            item.outcome = outcome
        self._report(items, self._clock.monotonic_seconds() - started)

    async def give_up(self, items: Sequence[Item]) -> None:
        """Let go of the rows of records that are dead letters now, or that nobody handles any more."""
        ended = {item.waiting.id: item.outcome or Outcome.IGNORED for item in items if item.waiting}
        async with self._store.unit_of_work() as unit_of_work:
            await self.waiting.forget(unit_of_work, ended)
            await settle_waited(unit_of_work, ended)

    async def _settled(
        self,
        unit_of_work: UnitOfWork,
        items: Sequence[Item],
        arrivals: Sequence[IncomingEvent],
        answers: Sequence[Answer | None],
        before: Mapping[Place, Sequence[WaitingRecord]],
    ) -> Settlement:
        """Handle what has no answer yet, and write down what is applied, what waits and what no longer."""
        news = [arrival for arrival, answer in zip(arrivals, answers, strict=True) if answer is None]
        fresh = await self._handle([event for _, event in news], unit_of_work)
        applied = iter(fresh)
        full = [next(applied) if answer is None else answer for answer in answers]
        handled = [
            Handled(item.record, arrival, answer, item.waiting)
            for item, arrival, answer in zip(items, arrivals, full, strict=True)
        ]
        settlement = settle(self._group, handled, before, unit_of_work.clock.now())
        done = [
            arrival
            for arrival, answer in zip(news, fresh, strict=True)
            if not isinstance(answer, NotReadyError)
        ]
        await record_processed(done, unit_of_work, self._group)
        await self.waiting.put(unit_of_work, settlement.put)
        if settlement.ended:
            await self.waiting.forget(unit_of_work, settlement.ended)
            await settle_waited(unit_of_work, settlement.ended)
        return settlement

    def count(self, topic: str, outcome: Outcome) -> None:
        """Report a record that was finished without a transaction."""
        self._metrics.consumed(topic, self._group, outcome, 1)

    async def _handle(self, events: Sequence[Event], unit_of_work: UnitOfWork) -> list[Answer]:
        outcomes: list[Answer] = []
        for handler, run in self._runs(events):
            with _cause(run, unit_of_work):
                answered = await handler(run, unit_of_work)
            answers: list[Answer] = [Outcome.APPLIED] * len(run) if answered is None else list(answered)
            if len(answers) != len(run):
                raise ValueError(
                    f"the handler of {run[0].type} answered {len(answers)} outcomes for {len(run)} events"
                )
            outcomes.extend(answers)
        return outcomes

    def _runs(self, events: Sequence[Event]) -> Iterator[tuple[BoundHandler, list[Event]]]:
        """Cut events into the longest runs that one handler takes, so that order is kept."""
        run: list[Event] = []
        handler: BoundHandler | None = None
        for event in events:
            wanted = self._handlers[event.type]
            if handler is not None and wanted is not handler:
                yield handler, run
                run = []
            handler = wanted
            run.append(event)
        if handler is not None:
            yield handler, run

    def _report(self, items: Sequence[Item], seconds: float) -> None:
        if not items:
            return
        now = self._clock.now()
        results: Counter[tuple[str, Outcome]] = Counter()
        for item in items:
            if item.event is None or item.outcome is None:
                continue
            topic = item.record.topic
            results[topic, item.outcome] += 1
            if item.outcome is Outcome.APPLIED:
                age = (now - item.event.time).total_seconds()
                self._metrics.end_to_end_seconds(topic, self._group, max(age, 0.0))
        for (topic, outcome), count in results.items():
            self._metrics.consumed(topic, self._group, outcome, count)
        self._metrics.processing_seconds(items[0].record.topic, self._group, seconds)


def _cause(run: Sequence[Event], unit_of_work: UnitOfWork) -> AbstractContextManager[None]:
    # A single event is the cause of whatever is emitted; in a longer run the handler says which one is.
    if len(run) > 1:
        unit_of_work.cause = None
        return nullcontext()
    unit_of_work.cause = run[0]
    return use_traceparent(run[0].traceparent)


def _newest(type_name: str) -> str:
    while type_name in UPCASTERS:
        type_name = UPCASTERS[type_name][0]
    return type_name


def require_event(item: Item) -> None:
    """Raise why a record cannot be replayed: its error, or that nobody handles its type."""
    if item.error is not None:
        raise item.error
    if item.event is None:
        raise InvalidEventError("this version of the group has no handler for this type of event")
