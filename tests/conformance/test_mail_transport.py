"""What every mail transport does, whatever carries the mail: an SMTP server or a folder."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage, Message
from pathlib import Path

import pytest

from services.notify.delivery import smtp as smtp_adapter
from services.notify.delivery.domain import DeferredError, MailTransport, RefusedError
from services.notify.delivery.maildir import MaildirMailTransport
from services.notify.delivery.smtp import MESSAGES_PER_CONNECTION_MAX, SMTPMailTransport
from tests.support.mail_server import MailServer, run_mail_server


@dataclass
class Carrier:
    """A transport, what arrived at its far end, and how to break it."""

    transport: MailTransport
    folder: Path
    server: MailServer | None

    def arrived(self) -> list[Message]:
        if self.server is not None:
            return self.server.accepted
        return [message_from_bytes(file.read_bytes()) for file in sorted((self.folder / "new").glob("*"))]


@pytest.fixture(params=["smtp", "maildir"])
async def carrier(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Carrier]:
    folder = tmp_path / "mail"
    if request.param == "maildir":
        yield Carrier(MaildirMailTransport(folder), folder, None)
        return
    with run_mail_server() as server:
        transport = SMTPMailTransport("127.0.0.1", server.port, timeout_seconds=2)
        yield Carrier(transport, folder, server)
        await transport.rest()


def letter(text: str = "Zahlen für Straßen, 数字") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "nutmeg@example.gov"
    message["To"] = "steward@example.gov"
    message["Subject"] = "Straßen needs you"
    message["Message-ID"] = "<one@example.gov>"
    message.set_content(text)
    return message


async def test_a_message_arrives_whole_with_its_headers_and_letters(carrier: Carrier) -> None:
    result = await carrier.transport.send(letter())
    (arrived,) = carrier.arrived()
    assert arrived["Message-ID"] == "<one@example.gov>"
    assert arrived["To"] == "steward@example.gov"
    content = arrived.get_payload(decode=True)
    assert isinstance(content, bytes)
    assert content.decode().strip() == "Zahlen für Straßen, 数字"
    assert result
    assert "@" not in result


async def test_the_same_message_may_be_sent_twice(carrier: Carrier) -> None:
    await carrier.transport.send(letter())
    await carrier.transport.send(letter())
    assert [message["Message-ID"] for message in carrier.arrived()] == ["<one@example.gov>"] * 2


async def test_messages_may_be_sent_side_by_side(carrier: Carrier) -> None:
    await asyncio.gather(*(carrier.transport.send(letter()) for _ in range(10)))
    assert len(carrier.arrived()) == 10


async def test_a_long_message_is_not_cut(carrier: Carrier) -> None:
    await carrier.transport.send(letter("\n".join(f"line {number}" for number in range(5_000))))
    (arrived,) = carrier.arrived()
    content = arrived.get_payload(decode=True)
    assert isinstance(content, bytes)
    assert content.decode().splitlines()[-1] == "line 4999"


async def test_a_carrier_that_is_away_defers(carrier: Carrier, tmp_path: Path) -> None:
    away: MailTransport
    if carrier.server is None:
        (tmp_path / "taken").write_text("a file where the folder should be")
        away = MaildirMailTransport(tmp_path / "taken")
    else:
        away = SMTPMailTransport("127.0.0.1", 9, timeout_seconds=2)
    with pytest.raises(DeferredError):
        await away.send(letter())


@pytest.mark.parametrize(
    ("answer", "error"), [("451 busy with steward@example.gov", DeferredError), ("550 unknown", RefusedError)]
)
async def test_smtp_answers_are_followed_and_told_without_addresses(
    answer: str, error: type[Exception]
) -> None:
    with run_mail_server() as server:
        server.answers = [answer]
        with pytest.raises(error) as raised:
            await SMTPMailTransport("127.0.0.1", server.port, timeout_seconds=2).send(letter())
        assert str(raised.value).startswith(answer.split()[0])
        assert "@" not in str(raised.value)
        assert server.accepted == []


@pytest.fixture
async def smtp() -> AsyncIterator[tuple[SMTPMailTransport, MailServer]]:
    with run_mail_server() as server:
        transport = SMTPMailTransport("127.0.0.1", server.port, timeout_seconds=2)
        yield transport, server
        await transport.rest()


async def test_messages_one_after_another_go_over_one_connection_until_rest(
    smtp: tuple[SMTPMailTransport, MailServer],
) -> None:
    transport, server = smtp
    for _ in range(3):
        await transport.send(letter())
    assert (len(server.accepted), server.connections) == (3, 1)
    await transport.rest()
    await transport.send(letter())
    assert (len(server.accepted), server.connections) == (4, 2)


async def test_no_connection_carries_more_messages_than_some_servers_take(
    smtp: tuple[SMTPMailTransport, MailServer],
) -> None:
    transport, server = smtp
    for _ in range(MESSAGES_PER_CONNECTION_MAX + 1):
        await transport.send(letter())
    assert server.connections == 2


async def test_a_server_that_has_enough_of_a_kept_connection_gets_the_message_over_another(
    smtp: tuple[SMTPMailTransport, MailServer],
) -> None:
    transport, server = smtp
    await transport.send(letter())
    server.answers = ["421 too many messages in this connection"]
    await transport.send(letter())
    assert (len(server.accepted), server.attempts, server.connections) == (2, 3, 2)


async def test_421_to_the_first_message_of_a_connection_defers(
    smtp: tuple[SMTPMailTransport, MailServer],
) -> None:
    transport, server = smtp
    server.answers = ["421 shutting down"]
    with pytest.raises(DeferredError):
        await transport.send(letter())
    assert server.attempts == 1


async def test_a_kept_connection_is_asked_whether_it_lives_once_it_was_idle(
    smtp: tuple[SMTPMailTransport, MailServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_adapter, "FRESH_SECONDS", 0.0)
    transport, server = smtp
    for _ in range(2):
        await transport.send(letter())
    assert (server.resets, server.connections) == (1, 1)
    server.reset_answer = "421 idle for too long"
    await transport.send(letter())
    assert (len(server.accepted), server.connections) == (3, 2)


async def test_a_kept_message_is_written_anew_or_removed_and_what_a_server_took_stays(
    carrier: Carrier,
) -> None:
    await carrier.transport.rewrite(letter("nothing is kept yet"))
    await carrier.transport.send(letter("a name"))
    other = letter("another")
    other.replace_header("Message-ID", "<two@example.gov>")
    await carrier.transport.send(other)
    await carrier.transport.rewrite(letter("no name"))
    texts = {str(one["Message-ID"]): _text(one) for one in carrier.arrived()}
    is_kept_here = carrier.server is None
    assert texts["<one@example.gov>"] == ("no name" if is_kept_here else "a name")
    assert texts["<two@example.gov>"] == "another"
    await carrier.transport.remove("<one@example.gov>")
    assert len(carrier.arrived()) == (1 if is_kept_here else 2)


def _text(message: Message) -> str:
    content = message.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode().strip()
