import httpx
import pytest

from shared.web.static_files import static_url

FOR_EVER = "public, max-age=31536000, immutable"


@pytest.mark.parametrize("name", ["nutmeg.css", "nutmeg.js", "favicon.svg", "logo.svg"])
async def test_a_hashed_address_is_cached_for_ever(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.get(static_url(name))
    assert (answer.status_code, answer.headers["cache-control"]) == (200, FOR_EVER)
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("query", ["", "?v=", "?v=000000000000"])
async def test_any_other_address_is_checked_each_time(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/static/nutmeg.css{query}")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")


async def test_a_copy_that_is_still_good_is_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get("/static/nutmeg.css")
    again = await client.get("/static/nutmeg.css", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/static/absent.css", "/static/", "/static/..%2Ftemplating.py?v=1"])
async def test_nothing_else_is_served(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


def test_an_unknown_file_is_answered_with_those_there_are() -> None:
    with pytest.raises(
        FileNotFoundError, match=r"There are: favicon\.svg, logo\.svg, nutmeg\.css, nutmeg\.js"
    ):
        static_url("nutmeg.scss")
