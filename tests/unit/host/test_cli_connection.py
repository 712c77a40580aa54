"""What a command tells of a problem that the API answered with."""

import httpx
import pytest

from services.host.cli.connection import Connection
from services.host.cli.errors import CommandError

SAID = {"pointer": "#", "detail": "The body is empty.", "cure": "Send a feed."}
NEW = {"parameter": "from", "detail": "is no date", "cure": "Write 2026-01-31."}


async def told(status: int, **answer: object) -> str:
    """Return the one line that a command ends with."""
    transport = httpx.MockTransport(lambda _request: httpx.Response(status, **answer))  # type: ignore[arg-type]
    async with httpx.AsyncClient(base_url="http://127.0.0.1", transport=transport) as client:
        with pytest.raises(CommandError) as raised:
            await Connection(client).get("/api/v1/datasets")
    return str(raised.value)


async def test_a_field_is_named_with_its_cure_unless_the_detail_has_said_it() -> None:
    problem = {"title": "Not so", "detail": "The body is empty. Send a feed.", "errors": [SAID, NEW]}
    assert await told(422, json=problem) == (
        "Not so: The body is empty. Send a feed. [from: is no date Write 2026-01-31.]"
    )


async def test_a_problem_without_detail_is_its_title() -> None:
    assert await told(404, json={"title": "There is nothing here"}) == "There is nothing here"


@pytest.mark.parametrize("text", ["<h1>Bad gateway</h1>", "[]", ""])
async def test_what_is_no_problem_document_is_told_by_its_status(text: str) -> None:
    assert await told(502, text=text) == "the server answered 502"
