"""What people do with a whole Nutmeg over HTTP, for the tests that follow a thread through all services."""

import time
from collections.abc import Callable, Sequence
from email.message import Message
from typing import Any, TypeVar

import httpx

from tests.support.installation import Installation

__all__ = ["answer_of", "client_of", "dataset_titled", "eventually", "inbox_of", "plain_text", "sent_about"]

T = TypeVar("T")
WAIT_SECONDS_MAX = 180.0


def answer_of(response: httpx.Response, status: int = 200) -> Any:
    """Return the JSON of an answer that must have this status."""
    assert response.status_code == status, f"{response.request.url}: {response.status_code} {response.text}"
    return response.json()


def client_of(installation: Installation, email: str) -> httpx.Client:
    """Return a client that acts as this person, with a token of theirs."""
    with installation.client() as admin:
        people = answer_of(admin.get("/api/v1/directory/people"))["items"]
        (person_id,) = [one["person_id"] for one in people if one["email"] == email]
        order = {"person_id": person_id, "label": "test", "days": 30}
        token = answer_of(admin.post("/api/v1/tokens", json=order), 201)["token"]
    return installation.client(token)


def dataset_titled(client: httpx.Client, title: str) -> dict[str, Any]:
    """Return the search result with exactly this title."""
    results = answer_of(client.get("/api/v1/datasets", params={"q": title, "limit": 50}))["results"]
    (found,) = [one for one in results if one["title"] == title]
    return dict(found)


def inbox_of(client: httpx.Client, state: str = "open") -> list[dict[str, Any]]:
    """Return the lines of the client's inbox in this state."""
    return list(answer_of(client.get("/api/v1/inbox", params={"state": state}))["items"])


def plain_text(message: Message) -> str:
    """Return the plain part of a message as one line of words."""
    for part in message.walk():
        if part.get_content_type() == "text/plain":
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            return " ".join(payload.decode().split())
    raise AssertionError("the message has no plain text")


def sent_about(messages: Sequence[Message], words: str) -> list[Message]:
    """Return the messages whose subject has these words."""
    return [one for one in messages if words in " ".join(str(one["Subject"]).split())]


def eventually(look: Callable[[], T], what: str, *, seconds_max: float = WAIT_SECONDS_MAX) -> T:
    """Look again and again until there is something to see; fail with ``what`` was waited for."""
    until = time.monotonic() + seconds_max
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds_max:.0f} s in vain for {what}")
