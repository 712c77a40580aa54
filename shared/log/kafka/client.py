"""What all our Kafka clients share: errors in our words, a bound on waiting, and a bound on their log.

While a broker is down aiokafka logs each failed attempt, measured at 4,000 lines a second.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
)
from aiokafka.helpers import create_ssl_context

from shared.errors import TransientError
from shared.log.kafka.settings import KafkaSettings

__all__ = [
    "LineLimit",
    "administering",
    "client_options",
    "limit_client_logs",
    "once_coordinated",
    "reaching",
]

Answer = TypeVar("Answer")

REQUEST_SECONDS_MAX = 15.0
ASK_AGAIN_SECONDS = 0.2
NO_COORDINATOR_YET = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)
LINES_MAX = 3
LINES_SECONDS = 60.0


@lru_cache(maxsize=16)
def client_options(settings: KafkaSettings) -> Mapping[str, Any]:
    """Return what every aiokafka client is given. Raises ``OSError`` for a file that cannot be read."""
    options: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in settings.bootstrap_servers.split(",")],
        "client_id": f"nutmeg-{settings.replica_name}",
        "request_timeout_ms": int(settings.request_timeout_seconds * 1000),
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        options["ssl_context"] = create_ssl_context(
            cafile=_text(settings.ca_file),
            certfile=_text(settings.certificate_file),
            keyfile=_text(settings.key_file),
        )
    if settings.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.username
        options["sasl_plain_password"] = settings.password.get_secret_value()
    return MappingProxyType(options)


@asynccontextmanager
async def reaching(what: str, *, seconds_max: float = REQUEST_SECONDS_MAX) -> AsyncIterator[None]:
    """Turn whatever says that Kafka cannot be reached within the time into a ``TransientError``."""
    try:
        async with asyncio.timeout(seconds_max):
            yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise TransientError(f"Kafka did not {what}: {error!r}") from error


@asynccontextmanager
async def administering(settings: KafkaSettings, what: str) -> AsyncIterator[Any]:
    """Yield an administration client for one question. Raises ``TransientError`` if it gets no answer."""
    async with reaching(what):
        client = AIOKafkaAdminClient(**client_options(settings))
        try:
            await client.start()
            yield client
        finally:
            await client.close()


async def once_coordinated(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Return the answer about a group, asking until its coordinator is there. Bounded by :func:`reaching`.

    A young cluster makes the topic of its coordinators at the first question, and refuses until it stands.
    """
    while True:
        try:
            return await ask()
        except NO_COORDINATOR_YET:
            await asyncio.sleep(ASK_AGAIN_SECONDS)


class LineLimit(logging.Filter):
    """Lets a few lines of each kind pass per minute, and tells how many it kept back."""

    def __init__(self, *, lines_max: int = LINES_MAX, seconds: float = LINES_SECONDS) -> None:
        super().__init__()
        self._lines_max = lines_max
        self._seconds = seconds
        self._windows: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether this line may pass. Lines are of one kind if one statement wrote them."""
        kind = (record.pathname, record.lineno)
        now = time.monotonic()
        began, count = self._windows.get(kind, (now, 0))
        if now - began >= self._seconds:
            if count > self._lines_max:
                record.msg = f"{record.getMessage()} ({count - self._lines_max} more like this one kept back)"
                record.args = None
            began, count = now, 0
        self._windows[kind] = (began, count + 1)
        return count < self._lines_max


_LIMIT = LineLimit()


def limit_client_logs() -> None:
    """Put the limit on every logger of aiokafka. Idempotent.

    A filter of a parent does not see what its children pass on, so each gets it.
    """
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "aiokafka":
            logging.getLogger(name).addFilter(_LIMIT)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
