"""Mail by SMTP, through aiosmtplib."""

import asyncio
import contextlib
import ssl
from email.message import EmailMessage

import aiosmtplib

from services.notify.delivery.domain import DeferredError, RefusedError

__all__ = ["TIMEOUTS_PER_TRY", "SMTPMailTransport"]

TIMEOUTS_PER_TRY = 3
"""The library's time-out counts per command: a whole try may take so many of them, not more."""

RESULT_CHARACTERS_MAX = 200
PERMANENT = range(500, 600)
CLOSING = 421
"""RFC 5321, section 3.8: the server ends the connection, and has not taken the message."""

MESSAGES_PER_CONNECTION_MAX = 50
"""Some servers take only so many over one connection."""
FRESH_SECONDS = 1.0
"""For so long a kept connection counts as alive without being asked."""
GOODBYE_SECONDS_MAX = 1.0


class SMTPMailTransport:
    """Hands each message to one server. ``start_tls``: ``None`` uses it where the server offers it.

    The connection is kept between messages until :meth:`rest`: to connect, greet and say goodbye for each
    took longer than the message itself.
    """

    channel = "email"

    def __init__(
        self,
        host: str,
        port: int,
        *,
        username: str | None = None,
        password: str | None = None,
        use_tls: bool = False,
        start_tls: bool | None = None,
        timeout_seconds: float = 20.0,
    ) -> None:
        self._options = {
            "hostname": host,
            "port": port,
            "username": username,
            "password": password,
            "use_tls": use_tls,
            "start_tls": None if use_tls else start_tls,
            "timeout": timeout_seconds,
        }
        self._timeout_seconds = timeout_seconds
        self._kept: _Connection | None = None

    async def send(self, message: EmailMessage) -> str:
        try:
            # A server that drips must not hold a message for longer than it is leased.
            async with asyncio.timeout(self._timeout_seconds * TIMEOUTS_PER_TRY):
                words = await self._hand_over(message)
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refusal.code for refusal in error.recipients]
            _refuse(max(codes, default=550), "the recipient was refused", error)
        except aiosmtplib.SMTPResponseException as error:
            _refuse(error.code, error.message, error)
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ssl.SSLError) as error:
            raise DeferredError(_bounded(f"{type(error).__name__}: {error}")) from error
        return _bounded(words)

    async def rewrite(self, message: EmailMessage) -> None:
        """Nothing is kept here: the server has it."""

    async def remove(self, message_id: str) -> None:
        """Nothing is kept here: the server has it."""

    async def rest(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept.end()

    async def _hand_over(self, message: EmailMessage) -> str:
        # Whoever sends at the same time finds none kept and opens another.
        kept, self._kept = self._kept, None
        if kept is not None and await kept.is_alive():
            try:
                return await self._send_over(kept, message)
            except aiosmtplib.SMTPResponseException as error:
                # The server has had enough of this connection, not of the message.
                if error.code != CLOSING:
                    raise
        fresh = _Connection(aiosmtplib.SMTP(**self._options))  # type: ignore[arg-type]
        await fresh.client.connect()
        return await self._send_over(fresh, message)

    async def _send_over(self, connection: "_Connection", message: EmailMessage) -> str:
        """Send, and keep the connection for the next message; after any error it is closed."""
        try:
            words = await connection.send(message)
        except BaseException:
            connection.client.close()
            raise
        # No goodbye here: the message is taken, and no time-out may make it look as if it were not.
        if self._kept is None:
            self._kept = connection
        else:
            connection.client.close()
        return words


class _Connection:
    """A client that is connected and signed in."""

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self.client = client
        self.messages = 0
        self._used_at = 0.0

    async def send(self, message: EmailMessage) -> str:
        _, words = await self.client.send_message(message)
        self.messages += 1
        self._used_at = asyncio.get_running_loop().time()
        return words

    async def is_alive(self) -> bool:
        """Tell whether it may carry another message; closed if not.

        The server may have gone while nothing was sent.
        """
        if self.messages >= MESSAGES_PER_CONNECTION_MAX or not self.client.is_connected:
            await self.end()
            return False
        if asyncio.get_running_loop().time() - self._used_at < FRESH_SECONDS:
            return True
        try:
            await self.client.rset(timeout=GOODBYE_SECONDS_MAX)
        except (aiosmtplib.SMTPException, OSError):
            self.client.close()
            return False
        except BaseException:
            self.client.close()
            raise
        return True

    async def end(self) -> None:
        """Say goodbye; whether it is heard does not item."""
        try:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await self.client.quit(timeout=GOODBYE_SECONDS_MAX)
        finally:
            self.client.close()


def _refuse(code: int, words: str, error: Exception) -> None:
    told = _bounded(f"{code} {words}")
    if code in PERMANENT:
        raise RefusedError(told) from error
    raise DeferredError(told) from error


def _bounded(words: str) -> str:
    """Cut the server's words, and leave out addresses: results travel on a topic."""
    kept = [word if "@" not in word else "(address)" for word in words.split()]
    return " ".join(kept)[:RESULT_CHARACTERS_MAX]
