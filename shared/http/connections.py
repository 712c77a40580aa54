"""What a socket is held to before there is a request: bounds on its head, its time, its rate and its number.

uvicorn alone waits for ever for a head that does not come, and takes connections until the process has no
descriptor left. A proxy in front would hold all this; the embedded profile may face people without one, and
a cluster's process its own network. nginx and Apache's mod_reqtimeout bound the same things.
"""

import asyncio
import contextlib
import resource
from collections import Counter
from collections.abc import Sequence
from enum import Enum
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from shared.http.networks import Network, client_group
from shared.http.problems import PROBLEM_MEDIA_TYPE, ProblemError
from shared.http.settings import HTTPSettings
from shared.telemetry.metrics import Metrics

__all__ = ["ConnectionGuard", "GuardedProtocol", "room_for_connections"]

HEADERS_MAX = 200
HEAD_STEP_BYTES = 16 * 1024
"""A head is parsed in steps: the parser keeps an unfinished header to itself, however long."""
LINGER_SECONDS = 2.0
LINGERING_MAX = 64
"""So many refused connections are read on for a moment, so that the client gets to see why."""
EVICTABLE_SECONDS = 1.0
"""A connection that has asked nothing for so long may have to give its place to a new one."""
DESCRIPTORS_WANTED = 8_192
DESCRIPTORS_KEPT_MIN = 128
DESCRIPTORS_KEPT_SPARE = 64
"""Kept free for files, databases and fetches, beside those that are open when the server begins."""
CONNECTIONS_MIN = 16
RETRY_SECONDS = 5
_DESCRIPTORS = Path("/proc/self/fd")


class _RequestReading(Enum):
    """What a connection's client has to send next."""

    HEAD = "head"
    BODY = "body"
    NOTHING = "nothing"
    """All of the request is here; it waits for its answer."""
    NEXT = "next"
    """The answer is out. Another request may come."""
    REFUSED = "refused"


class ConnectionGuard:
    """Counts the open connections of one server, admits new ones, and ends those that take too long."""

    def __init__(
        self,
        settings: HTTPSettings,
        metrics: Metrics,
        *,
        connections_max: int,
        trusted_proxies: Sequence[Network] = (),
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self._connections_max = connections_max
        self._unbounded = (*trusted_proxies, *settings.rate_limit_exempt_networks)
        self._open: set[GuardedProtocol] = set()
        self._by_address: Counter[str] = Counter()
        self._groups: dict[GuardedProtocol, str] = {}

    @property
    def lingering(self) -> int:
        """How many refused connections are still read."""
        return sum(connection.is_refused for connection in self._open)

    def admit(self, connection: "GuardedProtocol") -> ProblemError | None:
        """Count a new connection; return why it is turned away, where it is."""
        refusal = None
        address = connection.client[0] if connection.client else ""
        group = client_group(address)
        if self._is_bounded(address) and self._by_address[group] >= self.settings.connections_per_address_max:
            refusal = _too_many(429, "Your address has too many connections open.")
        elif len(self._open) >= self._connections_max and not self._evict():
            refusal = _too_many(503, "Too many connections are open just now.")
        self._open.add(connection)
        self._groups[connection] = group
        self._by_address[group] += 1
        self._tell()
        return refusal

    def forget(self, connection: "GuardedProtocol") -> None:
        """Count a connection no longer. Idempotent."""
        if (group := self._groups.pop(connection, None)) is None:
            return
        self._open.discard(connection)
        self._by_address[group] -= 1
        if not self._by_address[group]:
            del self._by_address[group]
        self._tell()

    async def watch(self) -> None:
        """End what takes too long, until cancelled."""
        settings = self.settings
        shortest = min(settings.head_seconds, settings.idle_seconds, settings.answer_stall_seconds)
        interval = min(1.0, shortest / 4)
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(interval)
            now = loop.time()
            for connection in list(self._open):
                connection.check(now, interval)

    def _is_bounded(self, address: str) -> bool:
        with contextlib.suppress(ValueError):
            parsed = ip_address(address)
            return not any(parsed in network for network in self._unbounded)
        return True

    def _evict(self) -> bool:
        """Close the connection that has asked nothing for longest, as nginx does; tell if there was one."""
        now = asyncio.get_running_loop().time()
        idle = [one for one in self._open if one.may_be_evicted and now - one.since >= EVICTABLE_SECONDS]
        if not idle:
            return False
        victim = min(idle, key=lambda one: one.since)
        self.metrics.count("nutmeg_http_refusals_total", reason="connections")
        self.forget(victim)
        victim.transport.abort()
        return True

    def _tell(self) -> None:
        self.metrics.set("nutmeg_http_connections", len(self._open))


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, held to the bounds of a guard."""

    def __init__(self, *arguments: Any, guard: ConnectionGuard, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._guard = guard
        self._reading = _RequestReading.HEAD
        self.since = self.loop.time()
        self._head_bytes = 0
        self._unparsed_bytes = 0
        self._body_bytes = 0
        self._stalled_since: float | None = None

    @property
    def is_refused(self) -> bool:
        return self._reading is _RequestReading.REFUSED

    @property
    def may_be_evicted(self) -> bool:
        """Whether no request is under way on it."""
        return self._reading in (_RequestReading.HEAD, _RequestReading.NEXT) and not self._is_answering()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        super().connection_made(transport)
        self._reads(_RequestReading.HEAD)
        if (refusal := self._guard.admit(self)) is not None:
            self._refuse(refusal, "connections")

    def connection_lost(self, exc: Exception | None) -> None:
        self._guard.forget(self)
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._reading is _RequestReading.NEXT:
            self._reads(_RequestReading.HEAD)
        start = 0
        while start < len(data) and not self.is_refused and self.parser is not None:
            end = start + HEAD_STEP_BYTES if self._reading is _RequestReading.HEAD else len(data)
            if not self._feed(data[start:end]):
                return
            start = end

    def _feed(self, part: bytes) -> bool:
        limit = self._guard.settings.head_bytes_max
        self._unparsed_bytes += len(part)
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade:
            # Answered as an ordinary request (RFC 9110, section 7.8); the parser can read no other after it.
            self.cycle.keep_alive = False
            return False
        except httptools.HttpParserError:
            if self._is_head_too_large():
                self._refuse(_head_too_large(limit), "head")
            else:
                self._refuse(_not_http(), "malformed")
            return False
        unfinished = self._unparsed_bytes + (self._head_bytes if self._reading is _RequestReading.HEAD else 0)
        if unfinished > limit or self._is_head_too_large():
            self._refuse(_head_too_large(limit), "head")
            return False
        return True

    def _is_head_too_large(self) -> bool:
        return self._head_bytes > self._guard.settings.head_bytes_max or len(self.headers or ()) > HEADERS_MAX

    # --- what the parser tells ---------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = self._unparsed_bytes = 0
        self._reads(_RequestReading.HEAD)

    def on_url(self, url: bytes) -> None:
        self._unparsed_bytes = 0
        self._head_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._unparsed_bytes = 0
        self._head_bytes += len(name) + len(value) + len(": \r\n")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._unparsed_bytes = 0
        if self._is_head_too_large():
            raise ValueError("the head is too large")  # the parser stops, and _feed refuses
        self._body_bytes = 0
        self._reads(_RequestReading.BODY)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed_bytes = 0
        super().on_message_complete()
        self._reads(_RequestReading.NOTHING if self._is_answering() else _RequestReading.NEXT)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._reading is _RequestReading.NOTHING and not self._is_answering():
            self._reads(_RequestReading.NEXT)

    # --- time --------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled_since = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled_since = None

    def check(self, now: float, interval: float) -> None:
        """End the connection if its client takes too long; ``interval`` has passed since the last look."""
        settings = self._guard.settings
        waited = now - self.since
        if self._stalled_since is not None and now - self._stalled_since > settings.answer_stall_seconds:
            self._guard.metrics.count("nutmeg_http_refusals_total", reason="slow")
            self.transport.abort()
        elif self._reading is _RequestReading.HEAD and waited > settings.head_seconds:
            # A browser opens connections ahead of need, and would take this for the answer to its next one.
            if self._head_bytes or self._unparsed_bytes:
                self._refuse(_too_slow("The head of the request took too long."), "slow")
            else:
                self.transport.close()
        elif self._reading is _RequestReading.NEXT and waited > settings.idle_seconds:
            self.transport.close()
        elif self._reading is _RequestReading.BODY:
            self._check_body(waited, interval)
        elif self.is_refused and waited > LINGER_SECONDS:
            self.transport.abort()

    def _check_body(self, waited: float, interval: float) -> None:
        if self.flow.read_paused:
            self.since += interval  # we keep the client waiting
            return
        settings = self._guard.settings
        allowed = settings.head_seconds + self._body_bytes / settings.body_bytes_per_second_min
        if waited > min(allowed, settings.body_seconds):
            self._refuse(_too_slow("The body of the request took too long."), "slow")

    def _reads(self, reading: _RequestReading) -> None:
        self._reading = reading
        self.since = self.loop.time()

    # --- refusals ----------------------------------------------------------------------------------------

    def _is_answering(self) -> bool:
        return bool(self.pipeline) or (self.cycle is not None and not self.cycle.response_complete)

    def _refuse(self, problem: ProblemError, reason: str) -> None:
        """Answer with a problem from outside the application, and end the connection."""
        self._guard.metrics.count("nutmeg_http_refusals_total", reason=reason)
        has_begun = (
            self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        )
        if has_begun or self.pipeline or self.transport.is_closing():
            self.pipeline.clear()
            self.transport.abort()
            return
        self.transport.write(_written(problem, self.server_state.default_headers))
        if self.cycle is not None and not self.cycle.response_complete:
            # The application learns that its client is gone; what it sends goes nowhere.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self._guard.lingering >= LINGERING_MAX:
            self.transport.close()
            return
        self._reads(_RequestReading.REFUSED)
        self.flow.resume_reading()
        with contextlib.suppress(OSError, RuntimeError):
            # Closed with unread bytes, a socket is reset, and the client may never see the answer.
            self.transport.write_eof()


def room_for_connections(settings: HTTPSettings) -> int:
    """Return how many connections the process may hold, having raised its soft limit of open files.

    Connections must never take the last descriptor: files, databases and fetches need some too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > DESCRIPTORS_WANTED:
        wanted = DESCRIPTORS_WANTED
    else:
        wanted = hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft == resource.RLIM_INFINITY:
        return settings.connections_max
    open_now = len(list(_DESCRIPTORS.iterdir())) if _DESCRIPTORS.exists() else 0
    kept = max(DESCRIPTORS_KEPT_MIN, open_now + DESCRIPTORS_KEPT_SPARE)
    return min(settings.connections_max, max(CONNECTIONS_MIN, soft - kept))


def _written(problem: ProblemError, default_headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    body = orjson.dumps(problem.document(""))
    headers = {
        "content-type": PROBLEM_MEDIA_TYPE,
        "content-length": str(len(body)),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "connection": "close",
        **problem.headers,
    }
    lines = [b"%s: %s\r\n" % pair for pair in default_headers]
    lines += [f"{name}: {value}\r\n".encode("latin-1") for name, value in headers.items()]
    return b"".join([STATUS_LINE[problem.status], *lines, b"\r\n", body])


def _too_many(status: int, detail: str) -> ProblemError:
    return ProblemError(
        status,
        "too-many-connections",
        "Too many connections",
        f"{detail} Close some, or try again in {RETRY_SECONDS} seconds.",
        headers={"retry-after": str(RETRY_SECONDS)},
    )


def _head_too_large(bytes_max: int) -> ProblemError:
    return ProblemError(
        431,
        "head-too-large",
        "The request's address and headers are too large",
        f"At most {bytes_max:,} bytes and {HEADERS_MAX} headers are taken. "
        "Send fewer or shorter ones; delete this site's cookies if a browser sent this.",
    )


def _too_slow(detail: str) -> ProblemError:
    return ProblemError(
        408, "too-slow", "The request did not arrive in time", f"{detail} Send it again without a pause."
    )


def _not_http() -> ProblemError:
    return ProblemError(
        400, "malformed", "The request cannot be read", "This is not HTTP/1.1 as RFC 9112 describes it."
    )
