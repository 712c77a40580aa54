"""What log, consumer loop and relay report. Telemetry implements it; they know no metrics library."""

from typing import Protocol

__all__ = ["DeliveryMetrics", "NullDeliveryMetrics"]


class DeliveryMetrics(Protocol):
    """Takes measurements of consumers, relays and recurring work. Calls are cheap and never raise."""

    def consumed(self, topic: str, group: str, result: str, count: int) -> None:
        """``count`` events are finished with; ``result`` is a
        :class:`~shared.consuming.handling.Outcome`.
        """
        ...

    def processing_seconds(self, topic: str, group: str, seconds: float) -> None:
        """One transaction of a handler took ``seconds``; ``topic`` is that of its first event."""
        ...

    def end_to_end_seconds(self, topic: str, group: str, seconds: float) -> None:
        """From an event's own time to the commit of what the group made of it."""
        ...

    def lag(self, topic: str, partition: int, group: str, records: int, seconds: float) -> None:
        """How far a group is behind."""
        ...

    def lag_ended(self, topic: str, partition: int, group: str) -> None:
        """This process can no longer tell how far the group is behind there."""
        ...

    def dead_lettered(self, topic: str, group: str, reason: str) -> None:
        """A record was put aside; ``reason`` is ``invalid``, ``failed`` or ``expired``."""
        ...

    def waiting(self, group: str, records: int, oldest_age_seconds: float) -> None:
        """What a group has set aside until data that it needs is here."""
        ...

    def running(self, group: str, is_running: bool) -> None:
        """A consumer works, or is paused or stopped."""
        ...

    def outbox(self, service: str, records: int, oldest_age_seconds: float) -> None:
        """What is committed but not published yet."""
        ...

    def published(self, service: str, count: int) -> None:
        """The log acknowledged ``count`` outbox rows."""
        ...

    def resent(self, service: str, count: int) -> None:
        """The log had lost acknowledged records; ``count`` outbox rows are sent again."""
        ...

    def work_run(self, service: str, work: str, is_failed: bool) -> None:
        """A portion of recurring work ended."""
        ...

    def work_pending(self, service: str, work: str, items: int | None) -> None:
        """How many items of recurring work are due now; ``None`` where that cannot be told."""
        ...

    def jobs_parked(self, service: str, queue: str, jobs: int) -> None:
        """How many jobs wait for an operator, because processes died on them."""
        ...


class NullDeliveryMetrics:
    """Measures nothing."""

    def consumed(self, topic: str, group: str, result: str, count: int) -> None: ...

    def processing_seconds(self, topic: str, group: str, seconds: float) -> None: ...

    def end_to_end_seconds(self, topic: str, group: str, seconds: float) -> None: ...

    def lag(self, topic: str, partition: int, group: str, records: int, seconds: float) -> None: ...

    def lag_ended(self, topic: str, partition: int, group: str) -> None: ...

    def dead_lettered(self, topic: str, group: str, reason: str) -> None: ...

    def waiting(self, group: str, records: int, oldest_age_seconds: float) -> None: ...

    def running(self, group: str, is_running: bool) -> None: ...

    def outbox(self, service: str, records: int, oldest_age_seconds: float) -> None: ...

    def published(self, service: str, count: int) -> None: ...

    def resent(self, service: str, count: int) -> None: ...

    def work_run(self, service: str, work: str, is_failed: bool) -> None: ...

    def work_pending(self, service: str, work: str, items: int | None) -> None: ...

    def jobs_parked(self, service: str, queue: str, jobs: int) -> None: ...
