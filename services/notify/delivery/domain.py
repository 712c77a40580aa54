"""What a message says, and when it is tried again. Pure: text in, text out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from html import escape
from typing import Protocol
from uuid import UUID

from services.notify.inbox.domain.items import Change, InboxItem

__all__ = [
    "DeferredError",
    "MailTransport",
    "NotifiedItem",
    "OutgoingEmail",
    "RefusedError",
    "compose",
    "longest_wait",
    "message_id",
    "next_attempt",
]

SUBJECT_CHARACTERS_MAX = 150
FIRST_WAIT = timedelta(seconds=30)
WAIT_MAX = timedelta(hours=4)
ATTEMPTS_MAX = 12
DETAILS_MAX = 20

CHANGE_WORDS = {
    Change.OPENED: "needs you",
    Change.WORSENED: "got worse",
    Change.RESOLVED: "is well again",
    Change.SUBMITTED: "was asked for",
    Change.DECIDED: "your request",
    Change.NOTICED: "for your information",
    Change.ESCALATED: "waits for somebody",
}


@dataclass(frozen=True, slots=True)
class NotifiedItem:
    """One item inside a message: what is told of it, and why to this person."""

    item: InboxItem
    change: Change
    reason: str


@dataclass(frozen=True, slots=True)
class OutgoingEmail:
    """A message that is being tried. ``address`` is ``None`` for a person without notified."""

    delivery_id: UUID
    person_id: UUID
    address: str | None
    display_name: str
    items: tuple[NotifiedItem, ...]
    attempts: int
    created_at: datetime


def message_id(delivery_id: UUID, domain: str) -> str:
    """Return the Message-ID of a delivery: the same at every attempt, so that a repeat can be told."""
    return f"<{delivery_id}@{domain}>"


def compose(
    email: OutgoingEmail, *, sender: str, base_url: str, domain: str, installation: str
) -> EmailMessage:
    """Return the message: what happened, since when, why to you, what to do, and where to do it."""
    message = EmailMessage()
    message["From"] = f"{installation} <{sender}>"
    message["To"] = email.address or ""
    message["Subject"] = _one_line(_subject(email.items, installation))
    message["Date"] = email.created_at
    message["Message-ID"] = message_id(email.delivery_id, domain)
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    blocks = [_block(one, base_url) for one in email.items]
    foot = f"Your inbox: {base_url}/inbox"
    message.set_content("\n\n".join([*blocks, foot]) + "\n")
    message.add_alternative(_html(email.items, base_url, installation), subtype="html")
    return message


def next_attempt(attempts: int, now: datetime, *, jitter: float) -> datetime | None:
    """Return when to try again after ``attempts`` failures: doubling from 30 s to 4 h; ``None``: give up.

    ``jitter``, 0 to 1, lengthens the wait by up to a quarter, so that a crowd does not return at once.
    """
    return None if attempts >= ATTEMPTS_MAX else now + _wait(attempts) * (1 + jitter / 4)


def longest_wait(attempts: int) -> timedelta:
    """Return what :func:`next_attempt` never waits longer than; a message not tried yet waits for nothing."""
    return _wait(attempts) * 1.25 if attempts else timedelta(0)


def _wait(attempts: int) -> timedelta:
    doublings = max(attempts - 1, 0)
    return min(FIRST_WAIT * (1 << doublings), WAIT_MAX)


def _subject(items: Sequence[NotifiedItem], installation: str) -> str:
    first = items[0]
    if len(items) > 1:
        return f"{installation}: {len(items)} items for you, first “{first.item.title}”"
    if first.change is Change.DECIDED:
        return f"{first.item.title}: {first.item.cause}"
    if first.change is Change.NOTICED:
        return f"{installation}: {first.item.title}"
    if first.change is Change.RESOLVED:
        return f"{first.item.title} {CHANGE_WORDS[first.change]}"
    return f"{first.item.title} {CHANGE_WORDS[first.change]}: {first.item.cause}"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SUBJECT_CHARACTERS_MAX else f"{line[: SUBJECT_CHARACTERS_MAX - 1]}…"


def _block(notified: NotifiedItem, base_url: str) -> str:
    item = notified.item
    lines = [
        f"{item.title} {CHANGE_WORDS[notified.change]}"
        if notified.change is not Change.NOTICED
        else item.title,
        "",
        _cause(notified),
        *(f"  - {line}" for line in _detail_lines(item)),
        "",
        f"Since: {item.opened_at:%d %B %Y, %H:%M} UTC",
    ]
    if notified.change is not Change.RESOLVED:
        lines.append(f"What to do: {item.next_act}")
    lines += [f"{words}: {base_url}{path}" for words, path in item.links]
    lines += [f"Where: {base_url}/inbox/{item.item_id}", f"Why you get this: {notified.reason}"]
    return "\n".join(lines)


def _cause(notified: NotifiedItem) -> str:
    return (
        f"What was wrong: {notified.item.cause}"
        if notified.change is Change.RESOLVED
        else notified.item.cause
    )


def _detail_lines(item: InboxItem) -> list[str]:
    lines = []
    for name, expected, observed in item.details[:DETAILS_MAX]:
        words = f"{observed} (expected: {expected})" if expected else observed
        lines.append(f"{name}: {words}")
    if len(item.details) > DETAILS_MAX:
        lines.append(f"… and {len(item.details) - DETAILS_MAX} more")
    return lines


def _html(items: Sequence[NotifiedItem], base_url: str, installation: str) -> str:
    parts = []
    for notified in items:
        item = notified.item
        details = "".join(f"<li>{escape(line)}</li>" for line in _detail_lines(item))
        act = (
            ""
            if notified.change is Change.RESOLVED
            else f"<p><strong>What to do:</strong> {escape(item.next_act)}</p>"
        )
        links = "".join(
            f'<li><a href="{escape(base_url)}{escape(path)}">{escape(words)}</a></li>'
            for words, path in item.links
        )
        act += f"<ul>{links}</ul>" if links else ""
        parts.append(
            f"<h2>{escape(item.title)}</h2><p>{escape(_cause(notified))}</p><ul>{details}</ul>{act}"
            f'<p><a href="{escape(base_url)}/inbox/{item.item_id}">Open it in your inbox</a></p>'
            f"<p><small>Why you get this: {escape(notified.reason)}</small></p>"
        )
    return f"<html><head><title>{escape(installation)}</title></head><body>{''.join(parts)}</body></html>"


class DeferredError(Exception):
    """The message was not taken this time; trying again may help. The text is the server's, bounded."""


class RefusedError(Exception):
    """The message will never be taken. The text is the server's, bounded."""


class MailTransport(Protocol):
    """Hands a message to whatever carries it."""

    channel: str

    async def send(self, message: EmailMessage) -> str:
        """Hand over one message; return the receiver's own words.

        Raises ``DeferredError`` (4xx, refused or lost connection, time-out) or ``RefusedError`` (5xx, an
        address that no server takes). OutgoingEmail the same Message-ID twice is allowed.
        """
        ...

    async def rewrite(self, message: EmailMessage) -> None:
        """Put a message in place of the kept one of the same Message-ID, where this transport keeps any.

        Raises ``DeferredError``. What another server took is its receiver's, and stays.
        """
        ...

    async def remove(self, message_id: str) -> None:
        """Delete the kept message of this Message-ID, as :meth:`rewrite` changes it."""
        ...

    async def rest(self) -> None:
        """Let go of what is kept from one message to the next. Idempotent; the next message may follow."""
        ...
