"""What a message says, and when it is tried again. Pure: text in, text out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from html import escape
from uuid import UUID

from services.notify.domain.matters import Change, Matter

__all__ = ["Sending", "ToldMatter", "compose", "longest_wait", "message_id", "next_attempt"]

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
class ToldMatter:
    """One matter inside a message: what is told of it, and why to this person."""

    matter: Matter
    change: Change
    reason: str


@dataclass(frozen=True, slots=True)
class Sending:
    """A message that is being tried. ``address`` is ``None`` for a person without one."""

    delivery_id: UUID
    person_id: UUID
    address: str | None
    display_name: str
    told: tuple[ToldMatter, ...]
    attempts: int
    created_at: datetime


def message_id(delivery_id: UUID, domain: str) -> str:
    """Return the Message-ID of a delivery: the same at every attempt, so that a repeat can be told."""
    return f"<{delivery_id}@{domain}>"


def compose(sending: Sending, *, sender: str, base_url: str, domain: str, installation: str) -> EmailMessage:
    """Return the message: what happened, since when, why to you, what to do, and where to do it."""
    message = EmailMessage()
    message["From"] = f"{installation} <{sender}>"
    message["To"] = sending.address or ""
    message["Subject"] = _one_line(_subject(sending.told, installation))
    message["Date"] = sending.created_at
    message["Message-ID"] = message_id(sending.delivery_id, domain)
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    blocks = [_block(one, base_url) for one in sending.told]
    foot = f"Your inbox: {base_url}/inbox"
    message.set_content("\n\n".join([*blocks, foot]) + "\n")
    message.add_alternative(_html(sending.told, base_url, installation), subtype="html")
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


def _subject(told: Sequence[ToldMatter], installation: str) -> str:
    first = told[0]
    if len(told) > 1:
        return f"{installation}: {len(told)} matters for you, first “{first.matter.title}”"
    if first.change is Change.DECIDED:
        return f"{first.matter.title}: {first.matter.cause}"
    if first.change is Change.NOTICED:
        return f"{installation}: {first.matter.title}"
    if first.change is Change.RESOLVED:
        return f"{first.matter.title} {CHANGE_WORDS[first.change]}"
    return f"{first.matter.title} {CHANGE_WORDS[first.change]}: {first.matter.cause}"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SUBJECT_CHARACTERS_MAX else f"{line[: SUBJECT_CHARACTERS_MAX - 1]}…"


def _block(told: ToldMatter, base_url: str) -> str:
    matter = told.matter
    lines = [
        f"{matter.title} {CHANGE_WORDS[told.change]}" if told.change is not Change.NOTICED else matter.title,
        "",
        _cause(told),
        *(f"  - {line}" for line in _detail_lines(matter)),
        "",
        f"Since: {matter.opened_at:%d %B %Y, %H:%M} UTC",
    ]
    if told.change is not Change.RESOLVED:
        lines.append(f"What to do: {matter.next_act}")
    lines += [f"{words}: {base_url}{path}" for words, path in matter.links]
    lines += [f"Where: {base_url}/inbox/{matter.matter_id}", f"Why you get this: {told.reason}"]
    return "\n".join(lines)


def _cause(told: ToldMatter) -> str:
    return f"What was wrong: {told.matter.cause}" if told.change is Change.RESOLVED else told.matter.cause


def _detail_lines(matter: Matter) -> list[str]:
    lines = []
    for name, expected, observed in matter.details[:DETAILS_MAX]:
        told = f"{observed} (expected: {expected})" if expected else observed
        lines.append(f"{name}: {told}")
    if len(matter.details) > DETAILS_MAX:
        lines.append(f"… and {len(matter.details) - DETAILS_MAX} more")
    return lines


def _html(told: Sequence[ToldMatter], base_url: str, installation: str) -> str:
    parts = []
    for one in told:
        matter = one.matter
        details = "".join(f"<li>{escape(line)}</li>" for line in _detail_lines(matter))
        act = (
            ""
            if one.change is Change.RESOLVED
            else f"<p><strong>What to do:</strong> {escape(matter.next_act)}</p>"
        )
        links = "".join(
            f'<li><a href="{escape(base_url)}{escape(path)}">{escape(words)}</a></li>'
            for words, path in matter.links
        )
        act += f"<ul>{links}</ul>" if links else ""
        parts.append(
            f"<h2>{escape(matter.title)}</h2><p>{escape(_cause(one))}</p><ul>{details}</ul>{act}"
            f'<p><a href="{escape(base_url)}/inbox/{matter.matter_id}">Open it in your inbox</a></p>'
            f"<p><small>Why you get this: {escape(one.reason)}</small></p>"
        )
    return f"<html><head><title>{escape(installation)}</title></head><body>{''.join(parts)}</body></html>"
