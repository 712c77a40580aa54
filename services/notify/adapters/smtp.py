"""Mail by SMTP, through aiosmtplib."""

import asyncio
import ssl
from email.message import EmailMessage

import aiosmtplib

from services.notify.ports import DeferredError, RefusedError

__all__ = ["TIMEOUTS_PER_TRY", "SMTPMailTransport"]

TIMEOUTS_PER_TRY = 3
"""The library's time-out counts per command: a whole try may take so many of them, not more."""

RESULT_CHARACTERS_MAX = 200
PERMANENT = range(500, 600)


class SMTPMailTransport:
    """Hands each message to one server. ``start_tls``: ``None`` uses it where the server offers it."""

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

    async def send(self, message: EmailMessage) -> str:
        try:
            # A server that drips must not hold a message for longer than it is leased.
            async with asyncio.timeout(self._timeout_seconds * TIMEOUTS_PER_TRY):
                _, words = await aiosmtplib.send(message, **self._options)  # type: ignore[arg-type]
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refusal.code for refusal in error.recipients]
            _refuse(max(codes, default=550), "the recipient was refused", error)
        except aiosmtplib.SMTPResponseException as error:
            _refuse(error.code, error.message, error)
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ssl.SSLError) as error:
            raise DeferredError(_bounded(f"{type(error).__name__}: {error}")) from error
        return _bounded(words)


def _refuse(code: int, words: str, error: Exception) -> None:
    told = _bounded(f"{code} {words}")
    if code in PERMANENT:
        raise RefusedError(told) from error
    raise DeferredError(told) from error


def _bounded(words: str) -> str:
    """Cut the server's words, and leave out addresses: results travel on a topic."""
    kept = [word if "@" not in word else "(address)" for word in words.split()]
    return " ".join(kept)[:RESULT_CHARACTERS_MAX]
