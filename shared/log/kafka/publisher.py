"""Publishing to Kafka: idempotent, acknowledged by all in-sync replicas, and begun anew after any failure.

An idempotent producer retries for ever and keeps its order by sequence numbers. After a long outage both
ends may disagree about them (``OutOfOrderSequenceNumber``), and it never recovers; nor does it after a
record that the broker refuses for good, whose number is spent. So a producer that failed once is thrown
away with what it had not sent, and the caller sends again, from the outbox.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from shared.errors import TransientError
from shared.log.kafka.client import client_options, reaching
from shared.log.kafka.settings import KafkaSettings
from shared.log.port import LogPosition, OutgoingRecord

__all__ = ["KafkaPublisher"]

BATCH_BYTES_MAX = 128 * 1024
REQUEST_BYTES_MAX = 4 * 1024 * 1024
"""The broker knows the limit of each topic; ours only has to be above it."""


@dataclass(eq=False)
class _Sending:
    """One producer. ``failed`` is set once it is of no use any more, to all who wait for it."""

    producer: Any
    failed: asyncio.Event = field(default_factory=asyncio.Event)


class KafkaPublisher:
    """Sends records to given partitions."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._starting = asyncio.Lock()
        self._sending: _Sending | None = None

    async def publish(self, records: Sequence[tuple[OutgoingRecord, int]]) -> list[LogPosition]:
        """Append records, each to its partition; return once all are acknowledged.

        Raises ``TransientError`` if they are not: some may be there all the same.
        """
        sending = await self._started()
        try:
            async with asyncio.timeout(self._settings.request_timeout_seconds):
                futures = [await self._send(sending, record, partition) for record, partition in records]
                return await _acknowledged(sending, futures)
        except (KafkaError, OSError, TimeoutError) as error:
            await self._discard(sending)
            raise TransientError(f"Kafka took no records: {_words(error, records)}") from error

    async def close(self) -> None:
        """Wait for what is under way, a little, and close. Idempotent."""
        if self._sending is not None:
            sending, self._sending = self._sending, None
            await _end(sending)

    async def _send(self, sending: _Sending, record: OutgoingRecord, partition: int) -> "asyncio.Future[Any]":
        if sending.failed.is_set():
            raise KafkaError("the producer failed meanwhile")
        future: asyncio.Future[Any] = await sending.producer.send(
            self._settings.prefixed(record.topic),
            record.value,
            record.key.encode(),
            partition,
            headers=list(record.headers),
        )
        future.add_done_callback(_noticed)
        return future

    async def _started(self) -> _Sending:
        async with self._starting:
            if self._sending is None:
                producer = AIOKafkaProducer(
                    **client_options(self._settings),
                    acks="all",
                    enable_idempotence=True,
                    max_batch_size=BATCH_BYTES_MAX,
                    max_request_size=REQUEST_BYTES_MAX,
                )
                sending = _Sending(producer)
                try:
                    async with reaching("accept a producer"):
                        await producer.start()
                except BaseException:
                    await _end(sending)
                    raise
                self._sending = sending
            return self._sending

    async def _discard(self, sending: _Sending) -> None:
        if self._sending is sending:
            self._sending = None
        if not sending.failed.is_set():
            sending.failed.set()
            await _end(sending)


async def _acknowledged(sending: _Sending, futures: Sequence["asyncio.Future[Any]"]) -> list[LogPosition]:
    gathered = asyncio.gather(*futures)
    failing = asyncio.ensure_future(sending.failed.wait())
    try:
        waits: set[asyncio.Future[Any]] = {gathered, failing}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not gathered.done():
            raise KafkaError("the producer failed meanwhile")
        return [LogPosition(each.partition, each.offset) for each in gathered.result()]
    finally:
        failing.cancel()
        gathered.cancel()
        await asyncio.gather(gathered, failing, return_exceptions=True)


async def _end(sending: _Sending) -> None:
    """Close a producer without waiting for what it could not send: ``stop()`` would wait for ever."""
    producer = sending.producer
    task = producer._sender.sender_task  # noqa: SLF001 - aiokafka has no other way to end it at once
    while task is not None and not task.done():
        # It finishes its requests first; each further cancel ends the wait for one of them.
        task.cancel()
        await asyncio.wait({task}, timeout=0.05)
    with contextlib.suppress(BaseException):
        if task is not None:
            task.result()
    producer._closed = True  # noqa: SLF001 - else it warns that nobody closed it
    await producer.client.close()


def _noticed(future: "asyncio.Future[Any]") -> None:
    """Look at the exception, since only the first of a batch is raised."""
    if not future.cancelled():
        future.exception()


def _words(error: BaseException, records: Sequence[tuple[OutgoingRecord, int]]) -> str:
    if isinstance(error, MessageSizeTooLargeError):
        largest = max((record for record, _ in records), key=lambda record: len(record.value or b""))
        return (
            f"a record is above max.message.bytes of its topic; the largest of this batch is {largest.key} "
            f"of {largest.topic} with {len(largest.value or b''):,} bytes. Raise the topic's limit"
        )
    return repr(error)
