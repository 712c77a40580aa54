"""Mail into a folder, where there is no mail server: a Maildir that any mail reader opens."""

import asyncio
import mailbox
import threading
from email.message import EmailMessage
from pathlib import Path

from services.notify.delivery.domain import DeferredError

__all__ = ["MaildirMailTransport"]


class MaildirMailTransport:
    """Writes each message as a file. A folder that cannot be written defers, like a server that is down."""

    channel = "maildir"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._box: mailbox.Maildir | None = None
        # Messages are sent side by side, and a mailbox object is not safe between threads.
        self._lock = threading.Lock()

    async def send(self, message: EmailMessage) -> str:
        try:
            key = await asyncio.to_thread(self._write, message)
        except OSError as error:
            raise DeferredError(f"{type(error).__name__}: {error.strerror or error}") from error
        return f"kept as {key}"

    async def rewrite(self, message: EmailMessage) -> None:
        await self._change(message["Message-ID"], message)

    async def remove(self, message_id: str) -> None:
        await self._change(message_id, None)

    async def rest(self) -> None:
        """Nothing is kept open between messages."""

    async def _change(self, message_id: str, message: EmailMessage | None) -> None:
        try:
            await asyncio.to_thread(self._replace, message_id, message)
        except OSError as error:
            raise DeferredError(f"{type(error).__name__}: {error.strerror or error}") from error

    def _write(self, message: EmailMessage) -> str:
        with self._lock:
            return self._opened().add(message)

    def _replace(self, message_id: str, message: EmailMessage | None) -> None:
        with self._lock:
            if not self._folder.exists():
                return
            box = self._opened()
            for key in list(box.keys()):
                if box.get_message(key)["Message-ID"] != message_id:
                    continue
                if message is None:
                    box.remove(key)
                else:
                    box[key] = message

    def _opened(self) -> mailbox.Maildir:
        if self._box is None:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            self._box = mailbox.Maildir(self._folder, create=True)
        return self._box
