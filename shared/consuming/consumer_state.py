"""What a consumer is doing, for operators: told by status, metric and log line alike."""

from enum import StrEnum

import structlog

from shared.log.measuring import DeliveryMetrics

__all__ = ["ConsumerState", "LoopState"]

logger = structlog.get_logger(__name__)


class LoopState(StrEnum):
    """What a loop is doing, for operators."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    """Waiting for its own store, index or log to come back."""
    STOPPED = "stopped"
    """Asked to, or because it must not go on (see the cause): ended, or until what it names is mended."""


class ConsumerState:
    """The state of one group's consumer, and in words why it is not running."""

    def __init__(self, group: str, metrics: DeliveryMetrics) -> None:
        self.state = LoopState.STARTING
        self.cause: str | None = None
        self._group = group
        self._metrics = metrics

    def enter(self, state: LoopState, cause: str | None = None) -> None:
        """Take on a state, and tell it once."""
        if state is self.state and cause == self.cause:
            return
        self.state, self.cause = state, cause
        self._metrics.running(self._group, state is LoopState.RUNNING)
        if cause is not None:
            log = logger.critical if state is LoopState.STOPPED else logger.warning
            log("consumer " + state, group=self._group, cause=cause)
