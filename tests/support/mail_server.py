"""A real SMTP server on loopback that answers as it is told, for tests of what becomes of mail."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

__all__ = ["MailServer", "run_mail_server"]


@dataclass
class MailServer:
    """``answers`` are used up one by one, then ``default_answer`` is given.

    The answer comes ``delay_seconds`` after the message was taken: who is gone by then does not hear of it.
    """

    port: int = 0
    answers: list[str] = field(default_factory=list)
    default_answer: str = "250 taken"
    delay_seconds: float = 0.0
    accepted: list[Message] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    attempts: int = 0
    connections: int = 0
    resets: int = 0
    reset_answer: str = "250 reset"

    async def handle_EHLO(  # noqa: N802
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RSET(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802
        self.resets += 1
        return self.reset_answer

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.attempts += 1
        answer = self.answers.pop(0) if self.answers else self.default_answer
        if answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            self.accepted.append(message_from_bytes(envelope.content))
            self.recipients += envelope.rcpt_tos
        await asyncio.sleep(self.delay_seconds)
        return answer


@contextmanager
def run_mail_server(port: int = 0, *, server: MailServer | None = None) -> Iterator[MailServer]:
    """Serve until the block ends, on a free port or the one given. ``server`` may be one of another kind."""
    if port == 0:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    server = server or MailServer()
    server.port = port
    # It tells of every client that goes without a word, also when nobody reads that any more.
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    controller = Controller(server, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
