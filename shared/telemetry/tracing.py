"""W3C Trace Context (level 1): the ``traceparent`` of what is being done now.

It comes in with a request or an event, travels in a context variable, and leaves with every event emitted
and every log line, so that one id follows a change through all services.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = [
    "TraceParent",
    "current_trace_id",
    "current_traceparent",
    "new_traceparent",
    "parse_traceparent",
    "use_traceparent",
]

_PATTERN = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

_current: ContextVar[str | None] = ContextVar("nutmeg_traceparent", default=None)


@dataclass(frozen=True, slots=True)
class TraceParent:
    """A trace id of 32 and a parent (span) id of 16 lower-case hex digits; ``is_sampled`` is flag 01."""

    trace_id: str
    parent_id: str
    is_sampled: bool = True

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.parent_id}-{'01' if self.is_sampled else '00'}"


def parse_traceparent(text: str | None) -> TraceParent | None:
    """Return the parts of a ``traceparent``, or ``None`` where there is none that is valid.

    A later version than 00 may carry more fields, which are ignored (W3C Trace Context, section 3.2.4).
    """
    found = _PATTERN.fullmatch(text.strip()) if text else None
    if found is None:
        return None
    version, trace_id, parent_id, flags, rest = found.groups()
    is_invalid = version == "ff" or (version == "00" and rest is not None)
    if is_invalid or not int(trace_id, 16) or not int(parent_id, 16):
        return None
    return TraceParent(trace_id, parent_id, bool(int(flags, 16) & 1))


def new_traceparent(parent: str | None = None) -> str:
    """Return the ``traceparent`` of a new step, in the trace of ``parent`` if that is valid."""
    known = parse_traceparent(parent)
    if known is None:
        return str(TraceParent(secrets.token_hex(16), secrets.token_hex(8)))
    return str(TraceParent(known.trace_id, secrets.token_hex(8), known.is_sampled))


def current_traceparent() -> str | None:
    """Return the ``traceparent`` of what is being done now, if any."""
    return _current.get()


def current_trace_id() -> str | None:
    """Return the trace id of what is being done now, if any."""
    known = parse_traceparent(_current.get())
    return known.trace_id if known else None


@contextmanager
def use_traceparent(traceparent: str | None) -> Iterator[None]:
    """Do the work of the block in this trace; ``None`` or an invalid value means in no trace."""
    known = parse_traceparent(traceparent)
    token = _current.set(str(known) if known else None)
    try:
        yield
    finally:
        _current.reset(token)
