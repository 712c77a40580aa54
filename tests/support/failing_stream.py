"""A stream processor whose functions raise now and then: ``python -m tests.support.failing_stream``."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

from services.usage.anomalies import commands
from services.usage.anomalies.domain.signals import signals
from services.usage.anomalies.domain.windows import assigned
from services.usage.anomalies.faust import rollup_stream
from services.usage.bootstrap import bootstrap_stream
from services.usage.settings import UsageSettings, UsageStreamSettings
from shared.process.running import run_worker

__all__ = ["every_third_fails"]


def every_third_fails(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` as it is on a bad day."""
    calls = count(1)

    def failing(*arguments: Any, **named: Any) -> Any:
        if next(calls) % 3 == 0:
            raise ZeroDivisionError("a bug that shows now and then")
        return function(*arguments, **named)

    return failing


if __name__ == "__main__":
    setattr(commands, "signals", every_third_fails(signals))  # noqa: B010 - mypy forbids to assign
    setattr(rollup_stream, "assigned", every_third_fails(assigned))  # noqa: B010
    setattr(commands, "JUDGED_AGAIN_AFTER", timedelta(seconds=1))  # noqa: B010
    run_worker(bootstrap_stream, UsageSettings, UsageStreamSettings, part="stream")
