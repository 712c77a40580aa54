"""Logs: one JSON object per line on stderr, or readable lines on a terminal.

Every line carries the service, and where there is one the trace, request and correlation id. Values under
keys that name secrets or addresses are cut out. Lines of other libraries come the same way.
"""

import logging
import re
import sys
from collections.abc import MutableMapping, Sequence
from typing import Any, TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from shared.clock import Clock, SystemClock
from shared.telemetry.tracing import current_trace_id

__all__ = ["RepeatFilter", "configure_logging", "redact"]

REDACTED = "[redacted]"
REPEAT_SECONDS = 10.0
TRACKED_MESSAGES_MAX = 1000
NOISY_LOGGERS = ("aiokafka", "elastic_transport", "uvicorn.error", "aiosqlite", "alembic")

_SECRET_KEYS = re.compile(
    r"(^|[_\-.])(token|authorization|password|passwd|secret|cookie|set-cookie|email|csrf|signing_key|api_?key)s?$",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(r"(Bearer\s+|nutmeg_session=)[A-Za-z0-9._~+/=\-]+", re.IGNORECASE)
_DEPTH_MAX = 6


class RepeatFilter(logging.Filter):
    """Lets the same message of a noisy logger through once in a while, with how often it was held back."""

    def __init__(self, clock: Clock, *, interval_seconds: float = REPEAT_SECONDS) -> None:
        super().__init__()
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        # Arguments differ from one repeat to the next, so the template is what counts as the same message.
        key = (record.name, record.levelno, str(record.msg))
        now = self._clock.monotonic_seconds()
        last_seconds, held_back = self._seen.get(key, (float("-inf"), 0))
        if now - last_seconds < self._interval_seconds:
            self._seen[key] = (last_seconds, held_back + 1)
            return False
        if len(self._seen) >= TRACKED_MESSAGES_MAX:
            self._seen.clear()
        self._seen[key] = (now, 0)
        if held_back:
            record.repeats_held_back = held_back
        return True


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Cut out secrets and addresses, at any depth."""
    return {key: _redacted(key, value, _DEPTH_MAX) for key, value in event.items()}


def configure_logging(
    service: str,
    *,
    level: str = "INFO",
    stream: TextIO | None = None,
    is_json: bool | None = None,
    clock: Clock | None = None,
    noisy_loggers: Sequence[str] = NOISY_LOGGERS,
) -> None:
    """Set up all logging of this process. Called once, by the entry point; a second call replaces the first.

    ``is_json=None`` means JSON unless ``stream`` (stderr by default) is a terminal.
    """
    target = stream or sys.stderr
    as_json = not target.isatty() if is_json is None else is_json
    shared_steps: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _ServiceAndTrace(service),
    ]
    last_steps: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_json:
        last_steps += [structlog.processors.format_exc_info, redact]
        last_steps.append(structlog.processors.JSONRenderer(default=str))
    else:
        # Plain tracebacks: the pretty ones print local variables, and with them secrets.
        plain = structlog.dev.plain_traceback
        last_steps += [
            redact,
            structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=plain),
        ]
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared_steps], processors=last_steps
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    _calm(noisy_loggers, clock or SystemClock())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared_steps,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


class _ServiceAndTrace:
    """Adds the service and the current trace id to a line."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(
        self, _logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        event.setdefault("service", self._service)
        # uvicorn sends its message a second time, with colours.
        event.pop("color_message", None)
        trace_id = current_trace_id()
        if trace_id is not None:
            event.setdefault("trace_id", trace_id)
        return event


def _calm(noisy_loggers: Sequence[str], clock: Clock) -> None:
    for name in noisy_loggers:
        logger = logging.getLogger(name)
        logger.filters[:] = [kept for kept in logger.filters if not isinstance(kept, RepeatFilter)]
        logger.addFilter(RepeatFilter(clock))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True
    # Our own access log says more, and says it with ids.
    logging.getLogger("uvicorn.access").setLevel(logging.CRITICAL)
    # These write whole addresses, queries included, at INFO.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _redacted(key: str, value: Any, depth_left: int) -> Any:
    if _SECRET_KEYS.search(key) and value is not None:
        return REDACTED
    if isinstance(value, str):
        return _SECRET_TEXT.sub(rf"\1{REDACTED}", value)
    if isinstance(value, dict) and depth_left:
        return {name: _redacted(str(name), inner, depth_left - 1) for name, inner in value.items()}
    if isinstance(value, (list, tuple)) and depth_left:
        return [_redacted("", inner, depth_left - 1) for inner in value]
    return value
